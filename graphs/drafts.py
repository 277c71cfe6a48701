"""Claims out of what the planner wrote, or out of the evidence alone. Knows no node and judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from citrus_agent.core.dialogue import ClaimDraft, Conclude
from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import Evidence
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.phrases import PLACEHOLDER, fill, phrase, words
from citrus_agent.core.report import Claim


@dataclass(frozen=True)
class Draft:
    """Claims ready for verification; ``broken`` maps a claim's id to why its sentence could not be filled in."""

    claims: tuple[Claim, ...]
    category: str | None = None
    broken: tuple[tuple[str, str], ...] = ()


def read_conclusion(conclusion: Conclude, graph: EvidenceGraph) -> Draft:
    """The planner's conclusion with placeholders filled in and handles turned into ids. A bad reference breaks its claim only."""
    claims, broken = list[Claim](), list[tuple[str, str]]()
    for index, written in enumerate(conclusion.claims, start=1):
        claim, problem = _read(f"C{index}", written, graph)
        claims.append(claim)
        if problem:
            broken.append((claim.id, problem))
    category = conclusion.category
    if category is not None:
        try:
            category = fill(category, graph)
        except ToolArgumentError as error:
            broken.append(("category", str(error)))
    return Draft(tuple(claims), category or None, tuple(broken))


def _read(identity: str, written: ClaimDraft, graph: EvidenceGraph) -> tuple[Claim, str]:
    text, problem = written.text, ""
    try:
        text = fill(written.text, graph)
    except ToolArgumentError as error:
        problem = str(error)
    # A sentence rests on what it quotes, named in its list or not.
    references = dict.fromkeys(
        [*(name.strip("{}") for name in written.evidence), *(match[1] for match in PLACEHOLDER.finditer(written.text))]
    )
    known = [reference for reference in references if reference in graph]
    if len(known) < len(references) and not problem:
        problem = f"no evidence {', '.join(reference for reference in references if reference not in graph)}"
    ids = tuple(dict.fromkeys(graph.resolve(reference).id for reference in known))
    return Claim(id=identity, section=written.section, kind=written.kind, text=text, evidence=ids), problem


def claims_from_evidence(items: Sequence[Evidence]) -> tuple[Claim, ...]:
    """One observation for each piece of evidence, in its own words: what a run that was stopped can say."""
    return tuple(
        Claim(id=f"C{index}", section="findings", kind="observation", text=sentence(item), evidence=(item.id,))
        for index, item in enumerate(items, start=1)
    )


def sentence(item: Evidence) -> str:
    """One piece of evidence as a plain sentence."""
    match item.kind:
        case "measurement" | "comparison":
            subject = words(item.quantity)
        case "descriptor":
            subject = words(item.feature)
        case "finding":
            subject = words(item.name)
        case "region":
            subject = f"{words(item.label)} found at"
        case "mask":
            subject = f"{words(item.label)} outline of"
        case "passage":
            subject = "guideline passage"
        case "rule_outcome":
            subject = "outcome of the rule"
        case "document_field" if item.name == "view":
            return "A view of the image was made."  # its value is the digest of the picture
        case "document_field":
            subject = words(item.name)
        case "human_edit":
            subject = "corrected by a person to"
    link = " " if item.kind in {"region", "mask", "human_edit"} else ": "
    return f"{subject[:1].upper()}{subject[1:]}{link}{phrase(item).rstrip('.')}."
