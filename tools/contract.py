"""What a tool needs of a study, declared as data and checked before the tool runs. Knows no tool and looks at no pixel."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from citrus_agent.core.errors import ContractRefusal, ToolArgumentError
from citrus_agent.core.protocols import Scope
from citrus_agent.core.study import Noun, Study

UNKNOWN = "unknown"


class InputContract(Noun):
    """Allowed values by field; an empty set means: any.

    A study whose value is ``unknown`` passes unless ``strict``: an image file without a header says nothing of its modality, and the
    tool then judges by the pixels or marks its evidence as outside the validated scope.
    """

    modalities: frozenset[str] = frozenset()
    body_parts: frozenset[str] = frozenset()
    views: frozenset[str] = frozenset()
    dimensionality: frozenset[int] = Field(default=frozenset({2}), description="of one image")
    needs_spacing: bool = False
    photometric: frozenset[str] = Field(default=frozenset(), description="DICOM PhotometricInterpretation of the display pixels")
    strict: bool = False

    def check(self, study: Study, index: int = 0) -> None:
        """Raise ``ContractRefusal`` for the first field that the study's image ``index`` does not meet."""
        if not 0 <= index < len(study.images):
            raise ToolArgumentError(f"there is no image {index}; the study has images 0 to {len(study.images) - 1}")
        image = study.images[index]
        self._one_of("modality", study.modality, self.modalities)
        self._one_of("body_part", study.body_part, self.body_parts)
        self._one_of("view", study.view, self.views)
        self._one_of("photometric", image.photometric, self.photometric)
        if image.dimensionality not in self.dimensionality:
            raise ContractRefusal(f"needs images of dimension {_listed(map(str, self.dimensionality))}", "dimensionality")
        if self.needs_spacing and image.spacing is None:
            raise ContractRefusal(f"needs a known pixel spacing; {image.spacing_reason or 'the study has none'}", "spacing")

    def summary(self) -> str:
        """One line for people, e.g. ``modality US, body part breast, 2-D``."""
        sets = {"modality": self.modalities, "body part": self.body_parts, "view": self.views, "photometric": self.photometric}
        parts = [f"{name} {_listed(values)}" for name, values in sets.items() if values]
        parts.append(f"{_listed(map(str, self.dimensionality))}-D")
        return ", ".join([*parts, "spacing known"] if self.needs_spacing else parts)

    def _one_of(self, field: str, value: str, allowed: frozenset[str]) -> None:
        if not allowed or contains(allowed, value) or (value == UNKNOWN and not self.strict):
            return
        raise ContractRefusal(f"needs {field.replace('_', ' ')} {_listed(allowed)}, the study is {value}", field)


def contains(allowed: frozenset[str], value: str) -> bool:
    """Membership without regard to case: DICOM writes ``BREAST``, people write ``breast``."""
    return value.casefold() in {item.casefold() for item in allowed}


def scope_of(study: Study, scope: Scope) -> bool | None:
    """True or False where the study is inside or outside of ``scope``; None where the study does not say."""
    pairs = ((scope.modalities, study.modality), (scope.body_parts, study.body_part))
    checked = [(allowed, value) for allowed, value in pairs if allowed]
    if any(value != UNKNOWN and not contains(allowed, value) for allowed, value in checked):
        return False
    return None if any(value == UNKNOWN for _, value in checked) else True


def _listed(values: Iterable[str]) -> str:
    return " or ".join(sorted(values))


BREAST_ULTRASOUND = InputContract(modalities=frozenset({"US"}), body_parts=frozenset({"breast"}))
ANY_IMAGE = InputContract()
