"""A run as it happens, on the terminal: one block a step. Knows events only, neither graph nor model."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from citrus_agent.core.evidence import EVIDENCE_ADAPTER
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.phrases import evidence_line, words

if TYPE_CHECKING:
    from rich.status import Status

    from citrus_agent.core.report import Report
    from citrus_agent.core.trace import Event


def plain(text: str) -> Text:
    """The text as it is: no markup, and no control character that a file or a model could steer the terminal with."""
    return Text("".join(char for char in text if char == "\n" or unicodedata.category(char) not in ("Cc", "Cf")))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table without lines; cells are taken literally."""
    grid = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        grid.add_row(*map(plain, row))
    return grid


class LiveSteps:
    """Shows events: the call with its arguments, what came back, and the seconds it took; a spinner where there is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._graph = EvidenceGraph()
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("reading the study")
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, event: Event) -> None:
        """Show one event; kinds that say nothing to a reader are passed over."""
        show = getattr(self, f"_on_{event.kind}", None)
        if show is not None:
            show(event.payload or {})

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(plain(text), style=style)

    def _wait(self, text: str) -> None:
        if self._status is not None:
            self._status.update(plain(text))

    def _on_study(self, payload: dict[str, Any]) -> None:
        self._wait("planning")

    def _on_resumed(self, payload: dict[str, Any]) -> None:
        self._line("resumed", "bold")

    def _on_tool_call(self, payload: dict[str, Any]) -> None:
        arguments = " ".join(f"{name}={value}" for name, value in payload["arguments"].items() if value is not None)
        self._line(f"{payload['name']} {arguments}".rstrip(), "bold")
        self._wait(f"{payload['name']} is running")

    def _on_tool_result(self, payload: dict[str, Any]) -> None:
        for item in map(EVIDENCE_ADAPTER.validate_python, payload["evidence"]):
            self._line(f"  {evidence_line(item, self._graph.add(item))}")
        self._line(f"  {payload['seconds']:.2f} s", "dim")
        self._wait("planning")

    def _on_tool_error(self, payload: dict[str, Any]) -> None:
        self._line(f"  {payload['code']}: {payload['message']}", "red")
        self._line(f"  {payload['seconds']:.2f} s", "dim")
        self._wait("planning")

    def _on_verification(self, payload: dict[str, Any]) -> None:
        held = sum(claim.get("status") == "supported" for claim in payload["claims"])
        self._line(f"verified {held} of {len(payload['claims'])} claims", "bold")

    def _on_budget(self, payload: dict[str, Any]) -> None:
        self._line(f"stopped by its budget: {payload.get('budget', payload)}", "yellow")


def show_report(console: Console, report: Report, evidence: EvidenceGraph) -> None:
    """The report in short: answer, claims with their handles, disclaimer. What is not supported says so before its text."""
    console.print()
    if report.simulated:
        console.print("SIMULATED: nothing here is about a person.", style="bold yellow")
    if report.abstention is not None:
        console.print(plain(f"No answer ({words(report.abstention.reason)}): {report.abstention.message}"), style="bold")
    else:
        console.print(plain(report.category or "No category"), style="bold")
    if report.stopped_by is not None:
        console.print(plain(f"Stopped by its budget of {report.stopped_by}; what was found until then:"), style="yellow")
    for section in dict.fromkeys(claim.section for claim in report.claims):
        console.print(plain(f"\n{section.capitalize()}"), style="bold")
        for claim in (one for one in report.claims if one.section == section):
            mark = "" if claim.status == "supported" else f"{claim.status.upper()}: "
            handles = ", ".join(evidence.handle(one) for one in claim.evidence if one in evidence)
            console.print(Padding(plain(f"{mark}{claim.text} [{handles}]"), (0, 0, 0, 2)), style="" if not mark else "red")
    console.print(plain(f"\n{report.disclaimer}"), style="dim")
