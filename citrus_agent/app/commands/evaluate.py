"""``citrus-agent eval``: predictions and metrics over a folder of images. Knows no metric and no model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from citrus_agent.app.commands.output import JsonOption, answering, print_json

app = typer.Typer(no_args_is_help=True, help="Measure the automatic reading.")


Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Images in BUSI's layout (NAME.png, NAME_mask.png), or a flat folder.")]
Predictions = Annotated[Path | None, typer.Option(help="Folder for NAME_pred.png (0/255, source size) and predictions.csv.")]
Subset = Annotated[Path | None, typer.Option(help="Text file with one image name a line; only these are read.")]
Fold = Annotated[int | None, typer.Option(min=0, max=4, help="Only this fold of the near-duplicate groups; 0 is not trained on.")]


@app.command()
def images(
    directory: Directory,
    predictions: Predictions = None,
    subset: Subset = None,
    fold: Fold = None,
    model: Annotated[str, typer.Option(help="A shipped model or a model's folder.", envvar="CITRUS_MODEL")] = "citrus-v-nano",
    as_json: JsonOption = False,
) -> None:
    """Read every image by the automatic path, without planner; a broken file never stops the run.

    With masks there: Dice, AP50, AUC and false alarms, each with its 95 % bootstrap interval over images.
    """
    with answering(as_json):
        from citrus_agent.app.evaluate import evaluate_folder

        result = evaluate_folder(directory, model=model, predictions=predictions, subset=subset, fold=fold, progress=_progress())
    if as_json:
        print_json(result)
        return
    from rich.console import Console

    from citrus_agent.app.live import table

    Console().print(table(("metric", "value", "95 % interval", "images"), [_row(name, entry) for name, entry in result["metrics"].items()]))
    counts = ", ".join(f"{count} {status}" for status, count in result["statuses"].items())
    typer.echo(f"{result['images']} images: {counts}; model {result['model']} {result['model_digest'][:12]}")


def _row(name: str, entry: dict[str, float | int | None]) -> tuple[str, ...]:
    if entry["value"] is None:
        return (name, "not defined", "", str(entry["n"]))
    return (name, f"{entry['value']:.3f}", f"{entry['low']:.3f} to {entry['high']:.3f}", str(entry["n"]))


def _progress() -> Callable[[int, int], None] | None:
    """A line on stderr every 25 images, where stderr is a terminal."""
    import sys

    if not sys.stderr.isatty():
        return None
    return lambda done, total: typer.echo(f"\r{done} of {total}", err=True, nl=done == total) if done % 25 == 0 or done == total else None
