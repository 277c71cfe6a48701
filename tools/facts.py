"""Evidence turned into the facts that a rule reads. Knows no guideline: names are those of the evidence itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from citrus_agent.core.evidence import Descriptor, DocumentField, Evidence, Finding, Mask, Measurement, Region
from citrus_agent.core.protocols import Fact

IMPRESSION = "image_impression"
NORMAL, LESION = "normal", "lesion"


def facts_of(items: Iterable[Evidence]) -> dict[str, Fact]:
    """Facts by name, from evidence in order of arrival: the latest of a name wins.

    Facts of one call are about one lesion: descriptors and measurements of another mask than the latest one described or measured
    are left out, so that the size of one lesion never meets the margin of another.
    """
    ordered = _one_lesion(list(items))
    facts: dict[str, Fact] = {}
    for item in ordered:
        match item:
            case Finding(name=name) if name == IMPRESSION:
                facts["finding"] = Fact(NORMAL if item.value == NORMAL else LESION, evidence=(item.id,))
                if "suspicious" in item.probabilities:
                    facts["probability_suspicious"] = Fact(item.probabilities["suspicious"], unit="1", evidence=(item.id,))
            case Descriptor():
                facts[item.feature] = Fact(item.term, evidence=(item.id,))
            case Measurement():
                facts[item.quantity] = Fact(item.value, item.unit, item.low, item.high, (item.id,))
    shown = [item for item in ordered if isinstance(item, Region) or (isinstance(item, Mask) and item.area_px)]
    if shown:
        # A lesion that was marked outweighs an impression of the whole image; regions come best first within one call.
        facts["finding"] = Fact(LESION, evidence=(shown[0].id,))
    # What a document or a person says is the last word.
    facts.update({item.name: Fact(item.value, evidence=(item.id,)) for item in ordered if isinstance(item, DocumentField)})
    return facts


def _one_lesion(items: Sequence[Evidence]) -> list[Evidence]:
    described = [item for item in items if isinstance(item, Descriptor | Measurement)]
    if not described:
        return list(items)
    lesion = described[-1].derived_from
    return [item for item in items if not isinstance(item, Descriptor | Measurement) or item.derived_from == lesion]
