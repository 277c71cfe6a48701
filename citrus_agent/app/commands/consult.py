"""``citrus-agent consult``: one study, one question, one report. Knows no model, no tool and no node."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citrus_agent.app.commands.output import ExitCode, JsonOption, answering

if TYPE_CHECKING:
    from citrus_agent.app.agent import Consultation

QUESTION = "Give a full report with a BI-RADS category."

Paths = Annotated[list[Path] | None, typer.Argument(metavar="PATH...", help="Images of one study: PNG, JPEG, TIFF, BMP, DICOM, NIfTI.")]
Question = Annotated[str | None, typer.Option("--question", "-q", help=f"What is asked. Default: {QUESTION}")]
Out = Annotated[Path | None, typer.Option(help="Folder for report, overlay and trace. Default: ./citrus-run-TIME.")]
Model = Annotated[str, typer.Option(help="A shipped model or a model's folder; nothing is downloaded.", envvar="CITRUS_MODEL")]
Planner = Annotated[str | None, typer.Option(help="Another planner: openai:MODEL@URL, or PROVIDER:MODEL as LangChain names it.")]
Modality = Annotated[str | None, typer.Option(help="DICOM modality, US say, where the files do not tell.")]
BodyPart = Annotated[str | None, typer.Option(help="Body part, breast say, where the files do not tell.")]
Laterality = Annotated[str | None, typer.Option(help="left or right, where the files do not tell.")]
Slice = Annotated[int | None, typer.Option("--slice", min=0, help="Slice of a NIfTI volume. Default: the middle one.")]
Frame = Annotated[int | None, typer.Option(min=0, help="Frame of a multi-frame file. Default: the middle one.")]
MaxSteps = Annotated[int | None, typer.Option(min=1, help="Planner turns. Default: 16.")]
MaxSeconds = Annotated[float | None, typer.Option(help="Wall time, s. Default: 300.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Tokens that the planner may write. Default: 8192.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the stopped run in --out.")]
Sample = Annotated[bool, typer.Option("--sample", help="Read a speckle phantom that the program renders; all of it is marked simulated.")]


def consult(
    paths: Paths = None,
    question: Question = None,
    out: Out = None,
    model: Model = "citrus-v-nano",
    planner: Planner = None,
    modality: Modality = None,
    body_part: BodyPart = None,
    laterality: Laterality = None,
    slice_index: Slice = None,
    frame: Frame = None,
    max_steps: MaxSteps = None,
    max_seconds: MaxSeconds = None,
    max_tokens: MaxTokens = None,
    resume: Resume = False,
    sample: Sample = False,
    as_json: JsonOption = False,
) -> None:
    """Read a study, answer the question, and write report.md, report.json, overlay.png, trace.jsonl and blobs/.

    Steps are shown on stderr as they happen, the report on stdout; with --json, stdout holds report.json and nothing else.
    """
    facts = {"modality": modality, "body_part": body_part, "laterality": laterality, "slice_index": slice_index, "frame": frame}
    limits = {"max_steps": max_steps, "max_seconds": max_seconds, "max_tokens": max_tokens}
    request = {"paths": paths or [], "sample": sample, "resume": resume, **{k: v for k, v in facts.items() if v is not None}}
    with answering(as_json), _sigterm_like_ctrl_c():
        directory = _directory(out, resume)
        request["question"] = question or _default_question(directory, resume)
        consultation = _run(request, directory, model=model, planner=planner, **limits)
        _show(consultation, as_json)
    raise typer.Exit(_exit_code(consultation))


def _run(request: dict[str, Any], directory: Path, **settings: Any) -> Consultation:
    from citrus_agent.app.agent import CitrusAgent
    from citrus_agent.app.live import LiveSteps

    with LiveSteps() as steps:
        stream = CitrusAgent.from_pretrained(**settings).stream(out=directory, **request)
        with closing(stream):  # a Ctrl-C between two events, too, ends with a sealed trace
            for event in stream:
                steps(event)
    return stream.consultation


def _directory(out: Path | None, resume: bool) -> Path:
    from citrus_agent.core.errors import UsageError

    if out is None and resume:
        raise UsageError("name the folder of the stopped run: --out DIR --resume")
    return out or Path(f"citrus-run-{datetime.now():%Y%m%d-%H%M%S}")


def _default_question(directory: Path, resume: bool) -> str | None:
    """None where the stopped run knows its own question."""
    if resume:
        from citrus_agent.core.trace import Trace

        if any(event.kind == "question" for event in Trace.load(directory).events):
            return None
    return QUESTION


def _exit_code(consultation: Consultation) -> ExitCode:
    if consultation.report.stopped_by is not None:
        return ExitCode.BUDGET
    return ExitCode.DONE if consultation.report.abstention is None else ExitCode.ABSTAINED


def _show(consultation: Consultation, as_json: bool) -> None:
    if as_json:
        typer.echo((consultation.directory / "report.json").read_text(encoding="utf-8"), nl=False)
        return
    from rich.console import Console

    from citrus_agent.app.live import show_report

    show_report(Console(), consultation.report, consultation.evidence)
    typer.echo(f"\nWritten to {consultation.directory}: report.md, report.json, overlay.png, trace.jsonl, blobs/")


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """SIGTERM stops the program as Ctrl-C does, so that a run under a job scheduler is sealed as well."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
