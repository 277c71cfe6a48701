"""Evidence in words: the line a planner reads, and the phrase a ``{E4}`` placeholder becomes. Knows nothing of layout."""

from __future__ import annotations

import re

from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import Evidence
from citrus_agent.core.graph import EvidenceGraph

_UNITS = {"{pixel}": "px", "{pixel2}": "px²", "mm2": "mm²", "1": ""}
PLACEHOLDER = re.compile(r"\{(E\d+)(?:\.([a-z_]+))?\}")


def unit_text(unit: str) -> str:
    """UCUM code to what is printed: ``{pixel}`` is px, ``1`` is nothing."""
    return _UNITS.get(unit, unit)


def number(value: float) -> str:
    """A number as printed in reports: two decimals below 10, one below 100, none above."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def quantity(value: float, low: float, high: float, unit: str) -> str:
    """``12.3 mm (11.8 to 12.9)``."""
    return f"{number(value)} {unit_text(unit)}".strip() + f" ({number(low)} to {number(high)})"


def words(name: str) -> str:
    """``not_parallel`` to ``not parallel``."""
    return name.replace("_", " ")


def phrase(item: Evidence) -> str:
    """What a bare placeholder becomes."""
    match item.kind:
        case "measurement":
            return quantity(item.value, item.low, item.high, item.unit)
        case "descriptor":
            return words(item.term)
        case "finding":
            return words(item.value) if item.score is None else f"{words(item.value)} (probability {number(item.score)})"
        case "region":
            return f"x {item.box[0]:.0f} to {item.box[2]:.0f}, y {item.box[1]:.0f} to {item.box[3]:.0f} px"
        case "mask":
            return f"{item.area_px} px²"
        case "passage":
            return item.citation
        case "rule_outcome":
            return item.category or words(item.status)
        case "document_field":
            return item.value
        case "comparison":
            return f"{item.before} to {item.after}"
        case "human_edit":
            return item.replacement


def evidence_line(item: Evidence, handle: str) -> str:
    """One compact line for the planner, e.g. ``E4 measurement longest_diameter 12.3 mm (11.8 to 12.9)``."""
    match item.kind:
        case "measurement":
            detail = f"{item.quantity} {phrase(item)}"
        case "descriptor":
            detail = f"{item.feature} {item.term} {number(item.score)}"
        case "finding":
            detail = f"{item.name} {phrase(item)}"
        case "region":
            detail = f"{item.label} score {number(item.score)} {phrase(item)}"
        case "mask":
            detail = f"{item.label} area {phrase(item)}"
        case "passage":
            detail = f"{item.guideline}/{item.section}"
        case "rule_outcome":
            missing = f" missing {', '.join(item.missing)}" if item.missing else ""
            detail = f"{item.guideline} {item.status} {item.category or 'no category'}{missing}"
        case "document_field" | "comparison":
            detail = f"{item.name if item.kind == 'document_field' else item.quantity} {phrase(item)}"
        case "human_edit":
            detail = f"of {item.target}"
    return f"{handle} {item.kind} {detail}"


def fill(text: str, graph: EvidenceGraph) -> str:
    """Replace ``{E4}`` by the evidence's phrase and ``{E4.category}`` by that field; an unknown one is an error the planner can mend."""

    def replace(match: re.Match[str]) -> str:
        item, attribute = graph.resolve(match[1]), match[2]
        if attribute is None:
            return phrase(item)
        value = getattr(item, attribute, None)
        if not isinstance(value, str | int | float) or value == "":
            raise ToolArgumentError(f"{match[1]} ({item.kind}) has no printable field {attribute!r}")
        return number(value) if isinstance(value, float) else str(value)

    return PLACEHOLDER.sub(replace, text)
