"""A run with its trace and checkpoints: events, seals, interruption at every node, resume."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading

import pytest

from citrus_agent.core.errors import CitrusError, Interrupted, ResourceError, TraceError
from citrus_agent.core.trace import Trace, TraceWriter, verify_trace
from citrus_agent.graphs import acting, concluding
from citrus_agent.graphs.checkpoints import CHECKPOINTS_NAME, open_checkpoints
from citrus_agent.graphs.run import run_consultation
from citrus_agent.graphs.scripted import ScriptedPlanner

QUESTION = "Is there a lesion?"


def drain(generator):
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return events, end.value


@pytest.fixture
def start(bench, parts):
    """Start a run in the bench's folder and drain it."""

    def begin(assembly, side=64, name="run", **options):
        with bench.writer(name) as writer:
            study = parts.make_study(writer.blobs, side)
            return drain(run_consultation(assembly, writer, study=study, question=QUESTION, **options))

    return begin


@pytest.fixture
def again(bench):
    """Resume the run in the bench's folder and drain it."""

    def go_on(assembly, name="run", **options):
        with TraceWriter.resume(bench.folder / name) as writer:
            return drain(run_consultation(assembly, writer, **options))

    return go_on


def kinds(events):
    return [event.kind for event in events]


def calls_of(folder):
    return [event.payload["name"] for event in Trace.load(folder).events if event.kind == "tool_result"]


def test_a_whole_run_verifies(bench, parts, start):
    events, report = start(bench.assembly([*parts.CALLS, parts.CONCLUSION]))
    assert report.category == "BI-RADS 4A"
    assert report.question == QUESTION
    assert report.simulated
    assert kinds(events)[:2] == ["study", "question"]
    assert kinds(events)[-2:] == ["report", "seal"]
    check = verify_trace(bench.folder / "run")
    assert check.ok, check.problem
    assert check.status == "complete"
    trace = Trace.load(bench.folder / "run")
    assert trace.report == report
    assert all(key in trace.evidence for claim in report.claims for key in claim.evidence)
    masks = trace.evidence.of_kind("mask")
    assert any(masks[0].blob in event.blobs for event in trace.events if event.kind == "tool_result")


def test_a_budget_seals_as_budget_and_a_larger_one_goes_on(bench, parts, start, again):
    script = [*parts.CALLS, parts.CONCLUSION]
    _, report = start(bench.assembly(script, max_steps=2))
    assert report.stopped_by == "steps"
    assert verify_trace(bench.folder / "run").status == "budget"
    _, report = again(bench.assembly(script))
    assert (report.stopped_by, report.category) == (None, "BI-RADS 4A")
    assert verify_trace(bench.folder / "run").status == "complete"
    assert calls_of(bench.folder / "run") == [call["name"] for call in parts.CALLS]


def test_a_run_that_cannot_go_on_seals_as_failed(bench, parts, start, monkeypatch):
    def full(*_):
        raise ResourceError("the disk is full: make room")

    monkeypatch.setattr(concluding, "verify_claims", full)
    with pytest.raises(ResourceError):
        start(bench.assembly([parts.CALLS[0], parts.conclude("{E1}")]))
    check = verify_trace(bench.folder / "run")
    assert (check.ok, check.status) == (True, "failed")
    failed = next(event for event in Trace.load(bench.folder / "run").events if event.kind == "attempt_failed")
    assert failed.payload["code"] == "resource_error"


@pytest.mark.parametrize("after", ["plan", "tool_call", "tool_result", "verification", "report", "question"])
@pytest.mark.parametrize("nth", [1, 3])
def test_stopped_anywhere_it_goes_on_where_it_was(bench, parts, again, after, nth):
    script = [*parts.CALLS, parts.CONCLUSION]
    folder, cancel, seen = bench.folder / "run", threading.Event(), []

    def listen(event):
        seen.append(event.kind)
        if seen.count(after) == nth:
            cancel.set()

    detect, *others = parts.tools()
    with bench.writer() as writer:
        writer.listeners.append(listen)
        study = parts.make_study(writer.blobs)
        run = run_consultation(bench.assembly(script, [detect, *others]), writer, study=study, question=QUESTION, cancel=cancel)
        stops = nth == 1 or after not in {"verification", "report", "question"}
        if stops and after != "report":
            with pytest.raises(Interrupted):
                drain(run)
        else:
            drain(run)
    if verify_trace(folder).status != "complete":
        assert verify_trace(folder).status == "interrupted"
        again(bench.assembly(script, [detect, *others]))
    trace, check = Trace.load(folder), verify_trace(folder)
    assert (check.ok, check.status) == (True, "complete")
    assert [item.kind for item in trace.evidence] == ["finding", "region", "mask", "measurement", "rule_outcome"]
    assert trace.report.category == "BI-RADS 4A"
    assert calls_of(folder) == [call["name"] for call in parts.CALLS]
    assert detect.calls == 1 or after == "tool_call"


def test_a_result_whose_checkpoint_is_missing_is_not_made_again(bench, parts, start, again, monkeypatch):
    script = [*parts.CALLS, parts.CONCLUSION]
    detect, *others = parts.tools()
    with monkeypatch.context() as patch:

        def killed(*_):
            raise Interrupted("between event and checkpoint")

        patch.setattr(acting._Job, "_answer", killed)
        with pytest.raises(Interrupted):
            start(bench.assembly(script, [detect, *others]))
    assert calls_of(bench.folder / "run") == ["detect_lesions"]
    again(bench.assembly(script, [detect, *others]))
    assert detect.calls == 1
    assert calls_of(bench.folder / "run") == [call["name"] for call in parts.CALLS]


def test_without_its_checkpoints_a_run_starts_over_and_doubles_nothing(bench, parts, start, again):
    script = [*parts.CALLS, parts.CONCLUSION]
    start(bench.assembly(script, max_steps=3))
    (bench.folder / "run" / CHECKPOINTS_NAME).unlink()
    _, report = again(bench.assembly(script))
    trace = Trace.load(bench.folder / "run")
    assert report.category == "BI-RADS 4A"
    assert len(trace.evidence) == 5
    assert calls_of(bench.folder / "run") == [call["name"] for call in parts.CALLS]


def test_a_hanging_tool_is_not_waited_for_when_the_run_is_stopped(bench, parts):
    hang, cancel = parts.Hang(), threading.Event()
    with bench.writer() as writer:
        study = parts.make_study(writer.blobs)
        run = run_consultation(bench.assembly([{"name": "hang"}], [hang]), writer, study=study, question=QUESTION, cancel=cancel)
        threading.Thread(target=lambda: hang.begun.wait(10) and cancel.set()).start()
        with pytest.raises(Interrupted):
            drain(run)
    assert not hang.released.is_set()
    assert verify_trace(bench.folder / "run").status == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_and_the_old_handlers_come_back(bench, parts, number):
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    hang = parts.Hang()
    with bench.writer() as writer:
        study = parts.make_study(writer.blobs)
        run = run_consultation(bench.assembly([{"name": "hang"}], [hang]), writer, study=study, question=QUESTION)
        threading.Thread(target=lambda: hang.begun.wait(10) and os.kill(os.getpid(), number)).start()
        with pytest.raises(Interrupted, match="--resume"):
            drain(run)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    assert verify_trace(bench.folder / "run").status == "interrupted"


def test_a_reader_that_leaves_stops_the_run(bench, parts):
    hang = parts.Hang()
    with bench.writer() as writer:
        study = parts.make_study(writer.blobs)
        run = run_consultation(bench.assembly([{"name": "hang"}], [hang]), writer, study=study, question=QUESTION)
        while next(run).kind != "tool_call":
            pass
        run.close()
        assert not writer.listeners
    assert verify_trace(bench.folder / "run").status == "interrupted"


def test_events_come_while_the_tool_still_runs(bench, parts):
    hang = parts.Hang()
    with bench.writer() as writer:
        study = parts.make_study(writer.blobs)
        run = run_consultation(bench.assembly([{"name": "hang"}, parts.abstain()], [hang]), writer, study=study, question=QUESTION)
        while next(run).kind != "tool_call":
            pass
        hang.released.set()
        events, report = drain(run)
    assert kinds(events)[0] == "tool_result"
    assert report.abstention.reason == "question_out_of_scope"


def test_a_trace_without_study_asks_for_it(bench, parts):
    with bench.writer() as writer, pytest.raises(CitrusError, match="no study yet"):
        drain(run_consultation(bench.assembly([parts.abstain()]), writer))


@pytest.mark.parametrize("side", [200, 4000])
def test_checkpoints_do_not_grow_with_the_image(bench, parts, start, side):
    start(bench.assembly([*parts.CALLS, parts.CONCLUSION]), side=side)
    path = bench.folder / "run" / CHECKPOINTS_NAME
    with sqlite3.connect(path) as connection:
        sizes = [size for (size,) in connection.execute("SELECT length(checkpoint) FROM checkpoints")]
    connection.close()
    assert len(sizes) == 1
    assert sizes[0] < 30_000
    assert path.stat().st_size < 100_000
    assert not list(path.parent.glob(f"{CHECKPOINTS_NAME}-*"))


def test_every_checkpoint_on_the_way_is_small(bench, parts):
    from langgraph.checkpoint.memory import InMemorySaver

    from citrus_agent.graphs import first_state

    saver, case = InMemorySaver(), bench.case(side=1500)
    graph = bench.assembly([*parts.CALLS, parts.CONCLUSION]).graph(saver)
    graph.invoke(first_state(case.study, QUESTION), {"configurable": {"thread_id": "t", "case": case}})
    stored = [len(value) for _, value in saver.blobs.values()]
    assert len(stored) > 10
    assert sum(stored) < 100_000


def test_a_broken_checkpoint_file_is_said(tmp_path):
    (tmp_path / CHECKPOINTS_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(TraceError, match=r"checkpoints.sqlite cannot be read"), open_checkpoints(tmp_path / CHECKPOINTS_NAME):
        pass


def test_the_planner_is_not_waited_for_when_the_run_is_stopped(bench, parts):
    cancel, released = threading.Event(), threading.Event()

    def think(messages):
        cancel.set()
        released.wait(20)
        return parts.abstain()

    with bench.writer() as writer:
        study = parts.make_study(writer.blobs)
        run = run_consultation(bench.assembly(ScriptedPlanner([think])), writer, study=study, question=QUESTION, cancel=cancel)
        with pytest.raises(Interrupted):
            drain(run)
    released.set()
