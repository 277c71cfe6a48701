"""``citrus-agent doctor``: what is here, what is missing, what mends it. Knows no check."""

from __future__ import annotations

import typer

from citrus_agent.app.commands.output import ExitCode, JsonOption, answering, print_json


def doctor(as_json: JsonOption = False) -> None:
    """Show versions, device, disk and weights, and for what is missing the command that mends it; exit 3 when the default cannot run."""
    from dataclasses import asdict

    with answering(as_json):
        from citrus_agent.app.doctor import can_run, examine

        checks = examine()
    ready = can_run(checks)
    if as_json:
        print_json({"ready": ready, "checks": [asdict(check) for check in checks]})
    else:
        from rich.console import Console

        from citrus_agent.app.live import table

        Console().print(table(("what", "status", "detail"), [(c.name, c.status, c.detail) for c in checks]))
        for check in checks:
            if check.mend:
                typer.echo(f"{check.name} ({check.status}): {check.mend}")
        typer.echo("ready" if ready else "not ready: run the commands above")
    if not ready:
        raise typer.Exit(ExitCode.BAD_INPUT)
