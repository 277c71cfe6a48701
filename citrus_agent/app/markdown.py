"""A report as Markdown: claims by section with numbered evidence links, and the table that resolves them. Knows no files.

Text that a model, a file or a guideline wrote is escaped: it can neither start a heading, a link or an image, nor hold HTML.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from citrus_agent.core.dialogue import study_line
from citrus_agent.core.evidence import Evidence, Passage, RuleOutcome
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.phrases import evidence_line, words
from citrus_agent.core.report import Claim, Report
from citrus_agent.core.study import Study

SIMULATED = "SIMULATED: the input or the model is simulated. Nothing here is about a person."
_SECTIONS = ("findings", "impression", "recommendation")
_MARKS = {"unsupported": "UNSUPPORTED", "contradicted": "CONTRADICTED BY ITS EVIDENCE", "unchecked": "NOT CHECKED"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!@^])")
_LINK = re.compile(r"(?i)(\bwww)(\.)|([a-z])(:)(?=//)")
_LIST = re.compile(r"^(\d+)([.)])(?=\s|$)|^([-+=])")


def escape(text: str) -> str:
    """``text`` as one literal line: control and direction characters gone, Markdown's own characters escaped."""
    plain = "".join(" " if char.isspace() else "" if unicodedata.category(char) in ("Cc", "Cf") else char for char in text)
    plain = _SPECIAL.sub(r"\\\1", " ".join(plain.split()))
    plain = _LINK.sub(lambda m: f"{m[1] or m[3]}\\{m[2] or m[4]}", plain)
    return _LIST.sub(lambda m: f"{m[1] or ''}\\{m[2] or m[3]}", plain)


def report_markdown(report: Report, graph: EvidenceGraph, study: Study, trace_head: str, *, simulated: bool) -> str:
    """The whole text, ending in a newline."""
    lines = [f"# Consultation: {_answer(report)}", "", f"> **{escape(report.disclaimer)}**"]
    if simulated:
        lines += [">", f"> **{SIMULATED}**"]
    lines += ["", *_summary(report, study), ""]
    if report.abstention is not None:
        lines += ["## No answer", "", f"Reason: {words(report.abstention.reason)}. {escape(report.abstention.message)}", ""]
    for section in dict.fromkeys([*_SECTIONS, *(claim.section for claim in report.claims)]):
        claims = [claim for claim in report.claims if claim.section == section]
        if claims:
            lines += [f"## {escape(section.capitalize())}", "", *(_claim(claim, graph) for claim in claims), ""]
    lines += [*_evidence(graph), *_sources(graph), "## Trace", "", f"Head: `{_code(trace_head) or 'none'}`"]
    return "\n".join(lines) + "\n"


def _answer(report: Report) -> str:
    if report.abstention is not None:
        return "no answer"
    return escape(report.category) if report.category else "no category"


def _summary(report: Report, study: Study) -> Iterator[str]:
    first = study.images[0]
    spacing = f"from {first.spacing.source}" if first.spacing else f"unknown: {first.spacing_reason or 'no reason given'}"
    model = f"{report.model or 'none'} {(report.model_digest or '')[:12]}".strip()
    rows = [("Question", report.question), ("Study", study_line(study)), ("Pixel spacing", spacing), ("Model", model)]
    if report.stopped_by:
        rows.append(("Stopped early by", report.stopped_by))
    yield from ("| | |", "|---|---|")
    yield from (f"| {name} | {escape(value)} |" for name, value in rows)


def _claim(claim: Claim, graph: EvidenceGraph) -> str:
    """One list item. What is not supported says so before its text, never after it."""
    links = ", ".join(f"[{handle}](#{handle.lower()})" for handle in _handles(claim, graph))
    missing = sum(reference not in graph for reference in claim.evidence)
    reference = f" [{links}]" if links else ""
    if missing:
        reference += f" ({missing} evidence missing)"
    text = escape(claim.text)
    body = text if claim.status == "supported" else f"**{_MARKS[claim.status]}:** *{text}*"
    problems = f" ({escape('; '.join(claim.problems))})" if claim.problems else ""
    return f"- {body}{reference}{problems}"


def _handles(claim: Claim, graph: EvidenceGraph) -> list[str]:
    return [graph.handle(graph.resolve(reference).id) for reference in claim.evidence if reference in graph]


def _evidence(graph: EvidenceGraph) -> Iterator[str]:
    yield from ("## Evidence", "")
    if not len(graph):
        yield from ("No evidence was gathered.", "")
        return
    yield from ("| | kind | says | tool | id |", "|---|---|---|---|---|")
    for item in graph:
        handle = graph.handle(item.id)
        yield f'| <a id="{handle.lower()}"></a>{handle} | {words(item.kind)} | {_says(item, handle)} | {escape(item.tool)} | `{item.id}` |'
    yield ""


def _says(item: Evidence, handle: str) -> str:
    text = escape(words(evidence_line(item, handle).removeprefix(f"{handle} {item.kind} ")))
    notes = [note for note, holds in (("simulated", item.simulated), ("outside the validated scope", not item.validated_scope)) if holds]
    return f"{text} (**{', '.join(notes)}**)" if notes else text


def _sources(graph: EvidenceGraph) -> Iterator[str]:
    """Citations and text of passages, and the rule books that were applied."""
    cited = [f"- {graph.handle(item.id)}: {escape(item.citation)}. *{escape(item.text)}*" for item in graph if isinstance(item, Passage)]
    ruled = [f"- {graph.handle(item.id)}: {_rule(item)}" for item in graph if isinstance(item, RuleOutcome)]
    if cited or ruled:
        yield from ("## Sources", "", *cited, *ruled, "")


def _rule(item: RuleOutcome) -> str:
    return escape(f"{words(item.guideline)}, version {item.version}. {item.uncertainty or ''}".rstrip())


def _code(text: str) -> str:
    return "".join(char for char in text if char.isalnum())
