"""The sentences that training teaches for a conclusion. Knows no image and no number: every value is a placeholder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from citrus_agent.core.graph import EvidenceGraph

Claim = dict[str, Any]
_SIZES = {
    "diameter": ("longest_diameter", "The longest diameter is {}."),
    "area": ("area", "The area is {}."),
    "ratio": ("taller_than_wide_ratio", "The taller-than-wide ratio is {}."),
}
_FEATURES = {
    "shape": "Shape: {}.",
    "orientation": "Orientation: {}.",
    "margin": "Margin: {}.",
    "echo_pattern": "Echo pattern: {}.",
    "posterior_features": "Posterior features: {}.",
}
ASSESSING = ("report", "category", "malignancy", "management")


class Handles:
    """Evidence of a case by what it says."""

    def __init__(self, graph: EvidenceGraph) -> None:
        self.finding: str | None = None
        self.mask: str | None = None
        self.rule: str | None = None
        self.category: str | None = None
        self.view: str | None = None
        self.regions: list[str] = []
        self.passages: list[str] = []
        self.sizes: dict[str, str] = {}
        self.features: dict[str, str] = {}
        for index, item in enumerate(graph, start=1):
            self._take(f"E{index}", item)

    def _take(self, handle: str, item: Any) -> None:
        match item.kind:
            case "finding" | "mask":
                setattr(self, item.kind, handle)
            case "region":
                self.regions.append(handle)
            case "passage":
                self.passages.append(handle)
            case "measurement":
                self.sizes[item.quantity] = handle
            case "descriptor":
                self.features[item.feature] = handle
            case "rule_outcome":
                self.rule, self.category = handle, item.category
            case "document_field":
                self.view = handle


def conclusion(wants: Sequence[str], graph: EvidenceGraph) -> dict[str, Any] | None:
    """Arguments of ``conclude`` for what is wanted, or None where there is nothing to say."""
    handles = Handles(graph)
    claims = list({claim["text"]: claim for claim in _claims(wants, handles)}.values())  # two wants may share a sentence
    if not claims:
        return None
    assessed = handles.rule is not None and handles.category is not None and any(want in ASSESSING for want in wants)
    return {"claims": claims, "category": f"{{{handles.rule}}}"} if assessed else {"claims": claims}


def _claims(wants: Sequence[str], handles: Handles) -> Iterable[Claim]:
    if any(want in ASSESSING for want in wants):
        yield from _assessment(wants, handles)
        if "guideline" in wants:
            yield from _guideline(handles)
        return
    image_wants = [want for want in wants if want != "guideline"]
    if image_wants and handles.finding and not handles.regions and not handles.mask:
        yield _claim("findings", "observation", f"No lesion is detected; image impression: {{{handles.finding}}}.", [handles.finding])
    else:
        for want in image_wants:
            yield from _answer(want, handles)
    if "guideline" in wants:
        yield from _guideline(handles)


def _claim(section: str, kind: str, text: str, evidence: Sequence[str]) -> Claim:
    return {"section": section, "kind": kind, "text": text, "evidence": list(evidence)}


def _places(handles: Handles) -> Iterable[Claim]:
    for number, handle in enumerate(handles.regions):
        text = "A lesion is marked at {}." if number == 0 else "A further candidate region lies at {}."
        yield _claim("findings", "observation", text.format(f"{{{handle}}}"), [handle])


def _answer(want: str, handles: Handles) -> Iterable[Claim]:
    """Findings that answer one want; where a tool failed, what is known instead."""
    if want in ("locate", "presence"):
        yield from _places(handles)
        if want == "presence" and handles.finding:
            yield _claim("impression", "interpretation", f"Image impression: {{{handles.finding}}}.", [handles.finding])
    elif want == "view":
        yield from _view(handles)
    elif not handles.mask:
        yield from _without_outline(handles)
    elif want == "segment":
        yield _claim("findings", "observation", f"The outlined area covers {{{handles.mask}}}.", [handles.mask])
    elif want == "measure" or want in _SIZES:
        yield from _sizes(want, handles)
    else:
        yield from _features(want, handles)


def _view(handles: Handles) -> Iterable[Claim]:
    if handles.view and handles.regions:
        place = handles.regions[0]
        yield _claim("findings", "observation", f"The enlarged view shows the lesion at {{{place}}}.", [place, handles.view])
    elif handles.view:
        yield _claim("findings", "observation", "The enlarged view shows the chosen part of the image.", [handles.view])
    else:
        yield from _places(handles)


def _without_outline(handles: Handles) -> Iterable[Claim]:
    if handles.regions:
        place = handles.regions[0]
        yield _claim("findings", "observation", f"A lesion is marked at {{{place}}}, but it could not be outlined.", [place])


def _sizes(want: str, handles: Handles) -> Iterable[Claim]:
    if not handles.sizes:
        yield _claim(
            "findings",
            "observation",
            f"The outlined area covers {{{handles.mask}}}; it could not be measured further.",
            [str(handles.mask)],
        )
    elif want == "measure":
        long, short, area = (handles.sizes[name] for name in ("longest_diameter", "perpendicular_diameter", "area"))
        text = f"The lesion measures {{{long}}} in its longest diameter and {{{short}}} perpendicular to it."
        yield _claim("findings", "observation", text, [long, short])
        yield _claim("findings", "observation", f"The area is {{{area}}}.", [area])
        yield _ratio(handles)
    else:
        quantity, text = _SIZES[want]
        yield _claim("findings", "observation", text.format(f"{{{handles.sizes[quantity]}}}"), [handles.sizes[quantity]])


def _ratio(handles: Handles) -> Claim:
    handle = handles.sizes["taller_than_wide_ratio"]
    return _claim("findings", "observation", f"The taller-than-wide ratio is {{{handle}}}.", [handle])


def _features(want: str, handles: Handles) -> Iterable[Claim]:
    if not handles.features:
        yield _claim(
            "findings", "observation", f"The outlined area covers {{{handles.mask}}}; it could not be described.", [str(handles.mask)]
        )
    elif want == "describe":
        yield from _all_features(handles)
    elif want not in handles.features:
        name = _FEATURES[want].split(":")[0]
        yield _claim(
            "findings", "observation", f"{name} cannot be judged here; the outlined area covers {{{handles.mask}}}.", [str(handles.mask)]
        )
    else:
        handle = handles.features[want]
        yield _claim("findings", "observation", _FEATURES[want].format(f"{{{handle}}}"), [handle])


def _all_features(handles: Handles) -> Iterable[Claim]:
    """Two sentences; a feature that the tool left out is not spoken of."""
    for names in (("shape", "orientation", "margin"), ("echo_pattern", "posterior_features")):
        known = [name for name in names if name in handles.features]
        parts = [_FEATURES[name].format(f"{{{handles.features[name]}}}").rstrip(".") for name in known]
        text = "; ".join([parts[0], *(part[0].lower() + part[1:] for part in parts[1:])]) if parts else ""
        if text:
            yield _claim("findings", "observation", f"{text}.", [handles.features[name] for name in known])


def _assessment(wants: Sequence[str], handles: Handles) -> Iterable[Claim]:
    """Findings, impression and recommendation; a short question gets the findings in brief."""
    lesion = bool(handles.regions or handles.mask)
    if handles.finding and not lesion:
        yield _claim("findings", "observation", "No lesion is detected in this image.", [handles.finding])
    if "report" in wants or "locate" in wants:
        yield from _places(handles)
    if handles.sizes and ("report" in wants or "measure" in wants):
        yield from _sizes("measure", handles)
    elif handles.mask and "report" in wants:
        yield from _answer("segment", handles)
    if handles.features:
        yield from _all_features(handles)
    if handles.finding:
        yield _claim("impression", "interpretation", f"Image impression: {{{handles.finding}}}.", [handles.finding])
    yield from _verdict(handles)


def _verdict(handles: Handles) -> Iterable[Claim]:
    if handles.rule and handles.category:
        rule = handles.rule
        yield _claim("impression", "interpretation", f"By the guideline's rules the assessment is {{{rule}}}.", [rule])
        yield _claim("recommendation", "recommendation", f"{{{rule}.recommendation}}", [rule])
    elif handles.rule:
        text = f"By the guideline's rules the assessment is {{{handles.rule}}}, because findings that they need are missing."
        yield _claim("impression", "interpretation", text, [handles.rule])
    if handles.passages:
        passage = handles.passages[0]
        yield _claim("recommendation", "recommendation", f"For the guideline's wording see {{{passage}}}.", [passage])


def _guideline(handles: Handles) -> Iterable[Claim]:
    for number, handle in enumerate(handles.passages):
        text = f"{{{handle}.text}} ({{{handle}}})" if number == 0 else f"See also {{{handle}}}."
        yield _claim("impression", "interpretation", text, [handle])
