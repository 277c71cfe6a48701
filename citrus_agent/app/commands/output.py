"""What all commands share: exit codes, one way to fail, JSON on stdout. Knows no command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any

import typer

from citrus_agent.core.errors import (
    BudgetExceeded,
    CitrusError,
    ConfigurationError,
    ContractRefusal,
    InputError,
    Interrupted,
    ResourceError,
    ToolArgumentError,
    TraceError,
    UsageError,
)


class ExitCode(IntEnum):
    """What the process says at its end; 130 is the shell's own number for Ctrl-C."""

    DONE = 0
    FAILED = 1
    WRONG_USE = 2
    BAD_INPUT = 3
    ABSTAINED = 4
    BUDGET = 5
    INTERRUPTED = 130


_CODES: tuple[tuple[type[CitrusError], ExitCode], ...] = (
    (UsageError, ExitCode.WRONG_USE),
    (ConfigurationError, ExitCode.WRONG_USE),
    (ToolArgumentError, ExitCode.WRONG_USE),
    (InputError, ExitCode.BAD_INPUT),
    (TraceError, ExitCode.BAD_INPUT),
    (ResourceError, ExitCode.BAD_INPUT),
    (ContractRefusal, ExitCode.ABSTAINED),
    (BudgetExceeded, ExitCode.BUDGET),
    (Interrupted, ExitCode.INTERRUPTED),
)

JsonOption = Annotated[bool, typer.Option("--json", help="Write the answer as JSON to stdout, nothing else.")]


def exit_code(error: CitrusError) -> ExitCode:
    """The exit code of an error; what no row names is a failure of ours, 1."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


def print_json(value: Any) -> None:
    """One JSON document on stdout; NaN is an error, not a token that no parser reads."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


@contextmanager
def answering(as_json: bool) -> Iterator[None]:
    """Turn every error of the tree into one sentence on stderr (with ``--json`` also an object on stdout) and its exit code."""
    try:
        yield
    except CitrusError as error:
        _fail(error.code, str(error), exit_code(error), as_json)
    except KeyboardInterrupt:
        _fail(Interrupted.code, "stopped", ExitCode.INTERRUPTED, as_json)


def _fail(code: str, message: str, number: ExitCode, as_json: bool) -> None:
    if as_json:
        print_json({"error": {"code": code, "message": message}})
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(number)
