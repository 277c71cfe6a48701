"""The Python face: files and a question in, a consultation out. Knows no tool, no node and no file format of its own."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from citrus_agent.app.consultation import Consultation, ConsultationStream
from citrus_agent.app.load import load_study
from citrus_agent.app.offline import offline_defaults
from citrus_agent.app.render import write_outputs
from citrus_agent.core.blobs import MemoryBlobStore
from citrus_agent.core.case import Case
from citrus_agent.core.errors import CitrusError, Interrupted, TraceError, UsageError
from citrus_agent.core.protocols import BlobStore
from citrus_agent.core.settings import load_settings
from citrus_agent.core.study import Study
from citrus_agent.core.trace import Event, Trace, TraceWriter

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from citrus_agent.graphs.assembly import Assembly

Paths = str | Path | Sequence[str | Path]
_FACTS = frozenset({"modality", "body_part", "laterality", "slice_index", "frame"})
_STOPPED = "the run was stopped: run it again with --resume to go on"


@dataclass(frozen=True)
class _Request:
    """What one call asks for."""

    paths: tuple[Path, ...]
    question: str | None
    sample: bool
    resume: bool
    facts: dict[str, Any]
    cancel: threading.Event | None


class CitrusAgent:
    """Reads studies with tools. What it loads once, it uses for every consultation."""

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly

    @classmethod
    def from_pretrained(cls, model: str = "citrus-v-nano", *, planner: str | BaseChatModel | None = None, **settings: Any) -> Self:
        """An agent on a shipped model or a model's folder. Nothing is downloaded.

        Args:
            model: name or folder.
            planner: another planner: a LangChain chat model with tools, ``openai:MODEL@URL`` or ``PROVIDER:MODEL``.
            **settings: fields of ``Settings``, for example ``max_seconds=60``.
        """
        offline_defaults()
        from citrus_agent.graphs.assembly import assemble

        name = planner if isinstance(planner, str) else None
        chat = None if isinstance(planner, str) else planner
        return cls(assemble(load_settings(model=model, planner=name, **settings), chat))

    def consult(self, paths: Paths = (), question: str | None = None, out: str | Path | None = None, **options: Any) -> Consultation:
        """Read the images and answer the question; ``options`` as in ``stream``."""
        stream = self.stream(paths, question, out, **options)
        with closing(stream):  # an error between two events, Ctrl-C above all, leaves a sealed trace
            for _ in stream:
                pass
        return stream.consultation

    def stream(
        self,
        paths: Paths = (),
        question: str | None = None,
        out: str | Path | None = None,
        *,
        sample: bool = False,
        resume: bool = False,
        cancel: threading.Event | None = None,
        **facts: Any,
    ) -> ConsultationStream:
        """The same as ``consult``, event by event.

        Args:
            paths: image files of one study.
            question: what is asked; a resumed run has it from its trace.
            out: folder for trace, report and overlay; it must not hold a trace yet unless ``resume``. None: a temporary one.
            sample: read the phantom that the program renders instead of files; all that comes of it is marked simulated.
            resume: go on with the interrupted run in ``out``; its events so far come first.
            cancel: set it, from any thread, to stop the run at its next step.
            **facts: what the files do not say: ``modality``, ``body_part``, ``laterality``; ``slice_index`` and ``frame`` choose.

        Raises:
            UsageError: question, paths or ``resume`` do not fit together.
            InputError: a file cannot be used; ``out`` then holds a trace of the attempt.
            Interrupted: stopped by Ctrl-C, SIGTERM or ``cancel``; the trace is sealed, and ``resume`` goes on.
            TraceError: ``out`` holds a trace already, or none that can be resumed.
        """
        asked = _Request(_as_paths(paths), question, sample, resume, facts, cancel)
        _check(asked, out)
        return ConsultationStream(self._work(asked, None if out is None else Path(out)))

    def _work(self, asked: _Request, out: Path | None) -> Generator[Event, None, Consultation]:
        directory = out or Path(tempfile.mkdtemp(prefix="citrus-agent-"))
        try:
            if not (asked.resume and _is_complete(directory)):
                yield from self._run(asked, directory)
            else:
                yield from Trace.load(directory).events
            with _stoppable():
                consultation = _finish(directory)
        except BaseException:
            if out is None:
                shutil.rmtree(directory, ignore_errors=True)
            raise
        if out is None:
            weakref.finalize(consultation, shutil.rmtree, directory, ignore_errors=True)
        return consultation

    def _run(self, asked: _Request, directory: Path) -> Generator[Event, None, None]:
        from citrus_agent.graphs.run import recorded_study, run_consultation

        if asked.resume:
            _check_same(asked, Trace.load(directory), self.assembly.settings.max_pixels)
        header = self.assembly.header(simulated=asked.sample)
        with TraceWriter.resume(directory) if asked.resume else TraceWriter.create(directory, header) as writer:
            trace = Trace.load(directory)
            with _sealing(writer):
                yield from trace.events
                study = recorded_study(trace) or self._study(asked, writer)
            yield from run_consultation(
                self.assembly, writer, study=study, question=asked.question, thread_id=trace.header.run_id, cancel=asked.cancel
            )

    def open_case(self, paths: Paths = (), *, sample: bool = False, **facts: Any) -> Case:
        """A case held in memory, for a workflow of one's own; arguments as in ``stream``."""
        asked = _Request(_as_paths(paths), "open", sample, False, facts, None)
        _check(asked, None)
        blobs = MemoryBlobStore()
        return Case(self._read(asked, blobs), blobs)

    def _study(self, asked: _Request, writer: TraceWriter) -> Study:
        with _stoppable():
            return self._read(asked, writer.blobs)

    def _read(self, asked: _Request, blobs: BlobStore) -> Study:
        from citrus_agent.app.phantom import phantom_study

        settings = self.assembly.settings
        if asked.sample:
            return phantom_study(blobs, settings.seed)
        return load_study(asked.paths, blobs, max_pixels=settings.max_pixels, **asked.facts)


def _as_paths(paths: Paths) -> tuple[Path, ...]:
    return (Path(paths),) if isinstance(paths, str | Path) else tuple(map(Path, paths))


def _check(asked: _Request, out: str | Path | None) -> None:
    if unknown := sorted(set(asked.facts) - _FACTS):
        raise UsageError(f"there is no argument {', '.join(unknown)}; there is: {', '.join(sorted(_FACTS))}")
    if asked.sample and asked.paths:
        raise UsageError("give image files or the sample, not both")
    if asked.resume and out is None:
        raise UsageError("name the folder of the run to resume")
    if not asked.resume and not (asked.question or "").strip():
        raise UsageError("ask a question")
    if not asked.resume and not asked.sample and not asked.paths:
        raise UsageError("name at least one image file, or ask for the sample")


def _check_same(asked: _Request, trace: Trace, max_pixels: int) -> None:
    """A resumed run goes on with its own study and question; others are refused, never mixed up."""
    from citrus_agent.graphs.run import recorded_question, recorded_study

    study, question = recorded_study(trace), recorded_question(trace)
    if question is not None and asked.question not in (None, question):
        raise UsageError("the run to resume was asked another question: leave the question out, or start a new run")
    if (study is None and not (asked.paths or asked.sample)) or (question is None and not asked.question):
        raise UsageError("the run was stopped before it had read all it was given: give files and question again")
    if study is None or not asked.paths:
        return
    given = load_study(asked.paths, MemoryBlobStore(), max_pixels=max_pixels, **asked.facts)
    if [image.blob for image in given.images] != [image.blob for image in study.images]:
        raise UsageError("the run to resume read other images: leave the files out, or start a new run")


def _is_complete(directory: Path) -> bool:
    """Whether the run had ended, and was stopped, if at all, while its report was laid out."""
    trace = Trace.load(directory)
    return trace.status == "complete" and trace.report is not None


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM inside the block raise ``Interrupted``."""
    from citrus_agent.graphs.signals import on_stop, raise_keyboard_interrupt

    try:
        with on_stop(raise_keyboard_interrupt):
            yield
    except KeyboardInterrupt as error:
        raise Interrupted(_STOPPED) from error


@contextmanager
def _sealing(writer: TraceWriter) -> Iterator[None]:
    """Seal the trace when the study is not read to its end: as interrupted when stopped, else as failed, with the error's code."""
    from citrus_agent.graphs.run import record_failure

    try:
        yield
    except (Interrupted, KeyboardInterrupt, GeneratorExit):
        writer.seal("interrupted")
        raise
    except CitrusError as error:
        record_failure(writer, error)
        raise


def _finish(directory: Path) -> Consultation:
    from citrus_agent.graphs.run import recorded_study

    trace = Trace.load(directory)
    study, report = recorded_study(trace), trace.report
    if study is None or report is None:
        raise TraceError("the trace holds no report: start a new run")
    write_outputs(directory, report=report, graph=trace.evidence, study=study, blobs=trace.blobs, trace_head=trace.head)
    return Consultation(report, trace.evidence, trace, directory, study)
