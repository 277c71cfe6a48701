"""``citrus-agent trace``: check a run's trace and show it. Knows no model and no tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citrus_agent.app.commands.output import ExitCode, JsonOption, answering, print_json

if TYPE_CHECKING:
    from citrus_agent.core.trace import Event, Trace

app = typer.Typer(no_args_is_help=True, help="Check a run's trace and show it.")
Directory = Annotated[Path, typer.Argument(help="The folder that a consultation wrote (--out).")]


@app.command()
def verify(
    directory: Directory,
    head: Annotated[
        str | None, typer.Option(help="The head that you kept elsewhere; finds a trace that was rewritten or cut back.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every hash, commitment and blob of a trace; exit 3 when one does not hold, with the first bad event."""
    from citrus_agent.core.trace import verify_trace

    with answering(as_json):
        check = verify_trace(directory, expected_head=head)
    if as_json:
        print_json(check.model_dump(mode="json"))
    elif check.ok:
        typer.echo(f"ok: {check.events} events, sealed as {check.status}, head {check.head}")
    else:
        where = "" if check.first_bad is None else f" at event {check.first_bad}"
        typer.echo(f"the trace does not verify{where}: {check.problem}", err=True)
    if not check.ok:
        raise typer.Exit(ExitCode.BAD_INPUT)


@app.command()
def show(directory: Directory, as_json: JsonOption = False) -> None:
    """Show a run: its events, its evidence and its claims."""
    from citrus_agent.core.trace import Trace

    with answering(as_json):
        trace = Trace.load(directory)
    if as_json:
        print_json(_as_json(trace))
    else:
        _print_tables(trace)


def _as_json(trace: Trace) -> dict[str, Any]:
    return {
        "header": trace.header.model_dump(mode="json"),
        "events": [event.model_dump(mode="json") for event in trace.events],
        "evidence": {item.id: item.model_dump(mode="json") for item in trace.evidence},
        "report": None if trace.report is None else trace.report.model_dump(mode="json"),
    }


def _print_tables(trace: Trace) -> None:
    from rich.console import Console

    from citrus_agent.app.live import table
    from citrus_agent.core.phrases import evidence_line

    console = Console()
    header = trace.header
    mark = ", SIMULATED" if header.simulated else ""
    console.print(f"run {header.run_id}, {header.created}{mark}", highlight=False, markup=False)
    console.print(table(("event", "time", "actor", "kind", "summary"), [_event_row(event) for event in trace.events]))
    lines = [evidence_line(item, trace.evidence.handle(item.id)).split(" ", 2) for item in trace.evidence]
    console.print(table(("evidence", "kind", "value"), lines))
    if trace.report is not None:
        rows = [(c.id, c.section, c.status, ", ".join(_handles(trace, c.evidence)), c.text) for c in trace.report.claims]
        console.print(table(("claim", "section", "status", "evidence", "text"), rows))


def _handles(trace: Trace, ids: tuple[str, ...]) -> list[str]:
    return [trace.evidence.handle(one) if one in trace.evidence else one for one in ids]


def _event_row(event: Event) -> tuple[str, ...]:
    return (str(event.seq), event.time[11:23], event.actor, event.kind, _summary(event.payload or {}))


def _summary(payload: dict[str, Any]) -> str:
    parts = [str(payload[key]) for key in ("name", "code", "message", "status", "text", "budget") if payload.get(key)]
    if "evidence" in payload:
        parts.append(f"{len(payload['evidence'])} evidence")
    if payload.get("seconds") is not None:
        parts.append(f"{payload['seconds']:.2f} s")
    return " ".join(parts)
