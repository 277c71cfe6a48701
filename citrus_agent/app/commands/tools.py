"""``citrus-agent tools``: list the tools, run one alone. Knows no tool by name but for what ``--set`` may carry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citrus_agent.app.commands.output import JsonOption, answering, print_json
from citrus_agent.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from citrus_agent.core.case import Case
    from citrus_agent.core.evidence import Evidence

app = typer.Typer(no_args_is_help=True, help="List the tools and run one alone.")
ModelOption = Annotated[str, typer.Option(help="A shipped model or a model's folder.", envvar="CITRUS_MODEL")]


@app.command("list")
def list_tools(model: ModelOption = "citrus-v-nano", as_json: JsonOption = False) -> None:
    """Show every tool with its arguments and the input that it accepts."""
    with answering(as_json):
        rows = [_describe(tool) for tool in _tools(model).values()]
    if as_json:
        print_json(rows)
        return
    from rich.console import Console

    from citrus_agent.app.live import table

    cells = [(row["name"], ", ".join(row["arguments"]), row["input"], row["description"]) for row in rows]
    Console().print(table(("tool", "arguments", "input", "what it does"), cells))


@app.command("run")
def run_tool(
    name: Annotated[str, typer.Argument(help="A tool of `citrus-agent tools list`.")],
    image: Annotated[list[Path], typer.Argument(help="Image files of one study.")],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="One argument; may be repeated. A value is read as JSON where it is JSON, else as text. "
            "mask=@FILE.png gives a mask image (white is lesion), region=[x1,y1,x2,y2] a box where a tool wants a region.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the mask (0/255) or the view that the tool made as PNG.")] = None,
    modality: Annotated[str | None, typer.Option(help="DICOM modality, US say, where the file does not tell.")] = None,
    body_part: Annotated[str | None, typer.Option(help="Body part, breast say, where the file does not tell.")] = None,
    model: ModelOption = "citrus-v-nano",
    as_json: JsonOption = False,
) -> None:
    """Run one tool on an image and show the evidence that it returns.

    Exit 2: a wrong argument. Exit 3: the image cannot be read. Exit 4: the tool refuses the image.
    """
    with answering(as_json):
        from citrus_agent.app.alone import call_tool, open_case

        arguments = parse_values(values or [])
        case = open_case(image, modality=modality, body_part=body_part)
        arguments = with_evidence(arguments, case)
        tools = _tools(model)
        if name not in tools:
            raise UsageError(f"there is no tool {name!r}; there are: {', '.join(sorted(tools))}")
        items = call_tool(tools[name], case, arguments)
        if out is not None:
            _write_picture(items, case, out)
    _answer(name, items, case, as_json)


def _answer(name: str, items: list[Evidence], case: Case, as_json: bool) -> None:
    from citrus_agent.core.dialogue import tool_reply

    if as_json:
        print_json({"tool": name, "simulated": case.study.simulated, "evidence": [item.model_dump(mode="json") for item in items]})
    else:
        typer.echo(tool_reply(items, case.evidence))


def _tools(model: str) -> dict[str, BaseTool]:
    from citrus_agent.core.settings import load_settings
    from citrus_agent.graphs.assembly import build_tools

    _, tools = build_tools(load_settings(model=model))
    return {tool.name: tool for tool in tools}


def _describe(tool: BaseTool) -> dict[str, Any]:
    contract = getattr(tool, "contract", None)
    return {
        "name": tool.name,
        "description": tool.description,
        "arguments": sorted(tool.args),
        "schema": tool.get_input_jsonschema(),
        "input": "not declared" if contract is None else contract.summary(),
    }


def parse_values(values: list[str]) -> dict[str, Any]:
    """``["k=3", "q=cyst"]`` to ``{"k": 3, "q": "cyst"}``."""
    parsed: dict[str, Any] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise UsageError(f"--set wants KEY=VALUE, {value!r} is none")
        try:
            parsed[key] = json.loads(text)
        except json.JSONDecodeError:
            parsed[key] = text
    return parsed


def with_evidence(arguments: dict[str, Any], case: Case) -> dict[str, Any]:
    """The arguments with a given mask file or box replaced by the handle of evidence that holds it."""
    from citrus_agent.app.alone import give_mask, give_region

    image, mask, region = arguments.get("image", 0), arguments.get("mask"), arguments.get("region")
    changed = dict(arguments)
    if isinstance(mask, str) and mask.startswith("@"):
        changed["mask"] = give_mask(case, Path(mask[1:]), image)
    if isinstance(region, list):
        changed["region"] = give_region(case, region, image)
    return changed


def _write_picture(items: list[Evidence], case: Case, out: Path) -> None:
    from PIL import Image

    from citrus_agent.core.pixels import decode_png

    blobs = [item.blob for item in items if item.kind == "mask"]
    blobs += [item.value for item in items if item.kind == "document_field" and item.name == "view"]
    if not blobs:
        raise UsageError("this tool made no picture: leave --out away")
    try:
        Image.fromarray(decode_png(case.blobs.get(blobs[0]))).save(out, format="PNG")
    except OSError as error:
        raise InputError(f"the picture cannot be written: {error.strerror}") from error
