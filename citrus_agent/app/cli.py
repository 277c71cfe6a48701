"""The command line ``citrus-agent``: names the commands and nothing else. Importing it loads neither torch nor transformers."""

from __future__ import annotations

import os
import sys
import threading

import typer

from citrus_agent.app.commands import evaluate, tools, trace
from citrus_agent.app.commands.consult import consult
from citrus_agent.app.commands.doctor import doctor
from citrus_agent.app.offline import offline_defaults
from citrus_agent.graphs.bounded import CALL_THREAD

app = typer.Typer(
    name="citrus-agent",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reads a medical image with tools and writes a report whose every sentence names its evidence. Research use only.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 3 bad input, 4 abstained, 5 stopped by budget, 130 interrupted.",
)
app.command()(consult)
app.add_typer(trace.app, name="trace")
app.add_typer(tools.app, name="tools")
app.add_typer(evaluate.app, name="eval")
app.command()(doctor)


@app.callback(invoke_without_command=True)
def _start(version: bool = typer.Option(False, "--version", help="Show the version and stop.", is_eager=True)) -> None:
    offline_defaults()
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"citrus-agent {installed('citrus-agent')}")
        raise typer.Exit


def main() -> None:
    """Entry point of the command ``citrus-agent``."""
    try:
        app()
    except SystemExit as end:
        _leave(end)


def _leave(end: SystemExit) -> None:
    """End the process. A call that was abandoned inside native code would abort Python's own shutdown, so then there is none."""
    if not any(thread.daemon and thread.name == CALL_THREAD for thread in threading.enumerate()):
        raise end
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))
