"""One consultation from first event to seal, with resume and cancellation. Knows no file format of studies and no rendering."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig

from citrus_agent.core.case import Case
from citrus_agent.core.errors import CitrusError, Interrupted
from citrus_agent.core.report import Report
from citrus_agent.core.study import Study
from citrus_agent.core.trace import Event, Trace, TraceWriter
from citrus_agent.graphs.acting import call_key
from citrus_agent.graphs.checkpoints import CHECKPOINTS_NAME, open_checkpoints
from citrus_agent.graphs.consult import ConsultGraph
from citrus_agent.graphs.signals import on_stop
from citrus_agent.graphs.state import first_state

_STEPS_OF_THE_GRAPH = 10_000  # budgets end a run; LangGraph's own limit must not come first


class BuildsGraph(Protocol):
    """What a run needs of an assembly."""

    def graph(self, checkpointer: Any = None) -> ConsultGraph:
        """The compiled graph on this checkpointer."""


def run_consultation(
    assembly: BuildsGraph,
    recorder: TraceWriter,
    *,
    study: Study | None = None,
    question: str | None = None,
    checkpoints: Path | None = None,
    thread_id: str = "consult",
    cancel: threading.Event | None = None,
) -> Generator[Event, None, Report]:
    """Run, or go on with, a consultation; yields each event as soon as it is on disk and returns the report. Always seals the trace.

    Args:
        assembly: builds the graph.
        recorder: the open trace; its blobs hold the study's images.
        study: what to read; None takes what the trace holds (a resumed run).
        question: likewise.
        checkpoints: SQLite file of the checkpointer; by default ``checkpoints.sqlite`` beside the trace.
        thread_id: LangGraph's thread; the same one goes on where the last run stopped.
        cancel: set it to stop the run within a moment, at any step.

    Raises:
        Interrupted: on ``cancel``, Ctrl-C or SIGTERM, after the trace was sealed as interrupted.
    """
    stop = cancel or threading.Event()
    work = _Work(assembly, recorder, study, question, checkpoints or recorder.directory / CHECKPOINTS_NAME, thread_id, stop)
    recorder.listeners.append(work.events.put)
    # The graph runs in a thread of its own, so that this one is free for signals and for whoever reads the events.
    thread = threading.Thread(target=work.run, name="citrus-agent-run", daemon=True)
    try:
        with on_stop(stop.set):
            thread.start()
            while (event := _next(work.events)) is not None:
                yield event
    except KeyboardInterrupt as error:
        stop.set()
        raise Interrupted("the run was stopped: run it again with --resume to go on") from error
    except GeneratorExit:
        stop.set()
        raise
    finally:
        thread.join()
        recorder.listeners.remove(work.events.put)
    if work.error is not None:
        raise work.error
    assert work.report is not None  # the thread ends with one or the other
    return work.report


def _next(events: queue.SimpleQueue[Event | None]) -> Event | None:
    while True:
        with suppress(queue.Empty):  # a bounded wait, so that signals are served on every platform
            return events.get(timeout=0.5)


@dataclass
class _Work:
    """What the run's thread does, and what it leaves behind."""

    assembly: BuildsGraph
    recorder: TraceWriter
    study: Study | None
    question: str | None
    checkpoints: Path
    thread_id: str
    cancel: threading.Event
    events: queue.SimpleQueue[Event | None] = field(default_factory=queue.SimpleQueue)
    report: Report | None = None
    error: BaseException | None = None

    def run(self) -> None:
        try:
            with open_checkpoints(self.checkpoints) as checkpointer:
                self.report = self._walk(self.assembly.graph(checkpointer))
            self.recorder.seal("budget" if self.report.stopped_by else "complete")
        except Interrupted as error:
            self.error = error
            with suppress(CitrusError):
                self.recorder.seal("interrupted")
        except BaseException as error:  # noqa: BLE001 - raised again by the generator
            self.error = error
            with suppress(CitrusError):  # where the trace itself cannot be written there is nothing to seal
                record_failure(self.recorder, error)
        finally:
            self.events.put(None)

    def _walk(self, graph: ConsultGraph) -> Report:
        trace = Trace.load(self.recorder.directory)
        study, question = self._input(trace)
        config: RunnableConfig = {
            "configurable": {
                "thread_id": self.thread_id,
                "case": Case(study, self.recorder.blobs),
                "recorder": self.recorder,
                "cancel": self.cancel,
                "finished": finished_calls(trace),
            },
            "recursion_limit": _STEPS_OF_THE_GRAPH,
        }
        start = _start(graph, config, study, question)
        if start is not _ENDED:
            for _ in graph.stream(start, config, stream_mode="updates", durability="sync"):
                pass
        return Report.model_validate(graph.get_state(config).values["report"])

    def _input(self, trace: Trace) -> tuple[Study, str]:
        """The study and question of the trace; what it lacks is taken from the arguments and written."""
        study, question = recorded_study(trace), recorded_question(trace)
        if study is None:
            study = _required(self.study, "study")
            blobs = [digest for image in study.images for digest in (image.blob, image.raw_blob) if digest]
            self.recorder.append("user", "study", {"study": study.model_dump(mode="json")}, blobs)
        if question is None:
            question = _required(self.question, "question")
            self.recorder.append("user", "question", {"text": question})
        return study, question


_ENDED: Any = object()


def _start(graph: ConsultGraph, config: RunnableConfig, study: Study, question: str) -> Any:
    """What the graph is called with: a first state, None to go on at the checkpoint, or ``_ENDED``."""
    known = graph.get_state(config)
    if not known.values:
        return first_state(study, question)
    if known.next:
        return None
    if known.values.get("stopped_by"):  # stopped by a budget that may have been raised since: plan again
        graph.update_state(config, {"stopped_by": None, "draft": None, "claims": [], "report": None}, as_node="act")
        return None
    return _ENDED


def _required(value: Any, name: str) -> Any:
    if value is None:
        raise CitrusError(f"the trace holds no {name} yet: give it again")
    return value


def _payloads(trace: Trace, kind: str) -> list[dict[str, Any]]:
    return [event.payload for event in trace.events if event.kind == kind and event.payload is not None]


def recorded_study(trace: Trace) -> Study | None:
    """The study of a trace, or None when it was not written yet."""
    found = _payloads(trace, "study")
    return Study.model_validate(found[-1]["study"]) if found else None


def recorded_question(trace: Trace) -> str | None:
    """The question of a trace, or None when it was not written yet."""
    found = _payloads(trace, "question")
    return str(found[-1]["text"]) if found else None


def finished_calls(trace: Trace) -> dict[str, dict[str, Any]]:
    """Results by call, so that a call whose result is in the trace but not in the checkpoint is not made again."""
    keys = {call["id"]: f"{call['id']} {call_key(call['name'], call['arguments'])}" for call in _payloads(trace, "tool_call")}
    return {keys[result["id"]]: result for result in _payloads(trace, "tool_result") if result["id"] in keys}


def record_failure(recorder: TraceWriter, error: BaseException) -> None:
    """Write what ended the attempt and seal the trace as failed."""
    code = error.code if isinstance(error, CitrusError) else "internal_error"
    message = str(error) if isinstance(error, CitrusError) else type(error).__name__
    recorder.append("system", "attempt_failed", {"code": code, "message": message})
    recorder.seal("failed")
