"""The Python face on drawn images, with a scripted planner and real tools over heads that see dark pixels."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading

import pytest
from PIL import Image

from citrus_agent import CitrusAgent, InputError, Interrupted, ScriptedPlanner, Trace, TraceError, UsageError, verify_trace
from citrus_agent.app import agent as agent_module
from citrus_agent.app.offline import OFFLINE_DEFAULTS

CLAIM = {"section": "impression", "kind": "interpretation", "text": "The image looks {E1.value}.", "evidence": ["E1"]}
STEPS = [{"name": "detect_lesions"}, {"name": "conclude", "args": {"claims": [CLAIM]}}]
QUESTION = "Is there a lesion?"
FACTS = {"modality": "US", "body_part": "breast"}


@pytest.fixture
def agent(simulated_model):
    return CitrusAgent.from_pretrained(planner=ScriptedPlanner(STEPS))


@pytest.fixture
def image(tmp_path, picture):
    path = tmp_path / "image.png"
    Image.fromarray(picture([(60, 50, 20, 14, 10)])[0]).save(path)
    return path


def test_a_consultation(agent, image, tmp_path):
    done = agent.consult(image, QUESTION, out=tmp_path / "out", **FACTS)
    assert done.report.claims[0].text == "The image looks suspicious."
    assert [claim.status for claim in done.report.claims] == ["supported"]
    assert all(key in done.evidence for claim in done.report.claims for key in claim.evidence)
    assert done.study.modality == "US"
    assert done.directory == tmp_path / "out"
    check = verify_trace(done.directory, expected_head=done.trace.head)
    assert check.ok, check.problem
    written = json.loads((done.directory / "report.json").read_text())
    assert written["trace_head"] == done.trace.head
    assert written["simulated"] is True
    assert {path.name for path in done.directory.iterdir()} == {
        "blobs", "checkpoints.sqlite", "overlay.png", "report.json", "report.md", "trace.jsonl"
    }  # fmt: skip


def test_a_second_consultation_uses_what_is_loaded(agent, image, tmp_path, monkeypatch):
    first = agent.consult([str(image)], QUESTION, out=str(tmp_path / "a"), **FACTS)
    monkeypatch.setattr("citrus_agent.graphs.assembly._load_model", None)
    second = agent.consult([image], QUESTION, out=tmp_path / "b", **FACTS)
    assert [item.id for item in first.evidence] == [item.id for item in second.evidence]
    assert first.trace.header.run_id != second.trace.header.run_id


def test_a_temporary_folder_lives_as_long_as_the_consultation(agent, image):
    done = agent.consult(image, QUESTION, **FACTS)
    directory = done.directory
    assert (directory / "report.md").is_file()
    del done
    gc.collect()
    assert not directory.exists()


def test_the_stream_yields_the_whole_trace(agent, image, tmp_path):
    stream = agent.stream(image, QUESTION, tmp_path / "out", **FACTS)
    first = next(stream)
    with pytest.raises(UsageError, match="has not ended"):
        _ = stream.consultation
    events = [first, *stream]
    assert list(stream) == []
    assert events == list(stream.consultation.trace.events)
    assert [event.seq for event in events] == list(range(len(events)))
    assert events[-1].kind == "seal"


def test_a_folder_with_a_trace_is_left_alone(agent, image, tmp_path):
    agent.consult(image, QUESTION, out=tmp_path / "out", **FACTS)
    before = (tmp_path / "out" / "trace.jsonl").read_bytes()
    with pytest.raises(TraceError, match="holds a trace already"):
        agent.consult(image, QUESTION, out=tmp_path / "out", **FACTS)
    assert (tmp_path / "out" / "trace.jsonl").read_bytes() == before


def test_a_bad_file_leaves_a_trace_of_the_attempt_only(agent, tmp_path):
    bad = tmp_path / "doe_jane.png"
    bad.write_bytes(b"not an image")
    with pytest.raises(InputError):
        agent.consult(bad, QUESTION, out=tmp_path / "out")
    check = verify_trace(tmp_path / "out")
    assert (check.ok, check.status) == (True, "failed")
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"trace.jsonl", "blobs"}
    events = Trace.load(tmp_path / "out").events
    assert [event.kind for event in events] == ["run_started", "attempt_failed", "seal"]
    assert events[1].payload["code"] == "input_error"
    assert "doe" not in (tmp_path / "out" / "trace.jsonl").read_text()


def test_a_bad_file_without_a_folder_leaves_nothing(agent, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with pytest.raises(InputError):
        agent.consult(tmp_path / "missing.png", QUESTION)
    assert not list((tmp_path / "tmp").iterdir())


def test_the_sample_is_marked_everywhere(agent, tmp_path):
    done = agent.consult(question=QUESTION, out=tmp_path / "out", sample=True)
    assert (done.study.simulated, done.trace.header.simulated, done.report.simulated) == (True, True, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"question": " "}, "ask a question"),
        ({"paths": ()}, "name at least one image"),
        ({"sample": True}, "not both"),
        ({"resume": True}, "name the folder"),
        ({"bodypart": "breast"}, "no argument bodypart"),
    ],
)
def test_a_wrong_call_is_refused_at_once(agent, image, arguments, says):
    with pytest.raises(UsageError, match=says):
        agent.stream(**{"paths": image, "question": QUESTION, **arguments})


@pytest.fixture
def stopped(simulated_model, image, tmp_path):
    """A run stopped while the planner wrote its conclusion."""
    cancel = threading.Event()
    steps = [STEPS[0], lambda messages: cancel.set() or STEPS[1]]
    agent = CitrusAgent.from_pretrained(planner=ScriptedPlanner(steps))
    with pytest.raises(Interrupted):
        agent.consult(image, QUESTION, tmp_path / "out", cancel=cancel, **FACTS)
    assert verify_trace(tmp_path / "out").status == "interrupted"
    return tmp_path / "out"


def test_a_stopped_run_goes_on(agent, image, stopped):
    stream = agent.stream(image, None, stopped, resume=True, **FACTS)
    kinds = [event.kind for event in stream]
    assert kinds[0] == "run_started"
    assert "resumed" in kinds
    assert stream.consultation.report.claims[0].status == "supported"
    assert verify_trace(stopped).status == "complete"


def test_a_resumed_run_takes_no_other_question_or_image(agent, image, stopped, tmp_path, picture):
    before = (stopped / "trace.jsonl").read_bytes()
    with pytest.raises(UsageError, match="another question"):
        agent.consult(image, "Write a poem", stopped, resume=True)
    Image.fromarray(picture(seed=5)[0]).save(tmp_path / "other.png")
    with pytest.raises(UsageError, match="other images"):
        agent.consult(tmp_path / "other.png", QUESTION, stopped, resume=True)
    assert (stopped / "trace.jsonl").read_bytes() == before


def test_a_run_stopped_while_it_laid_out_its_report_ends_on_resume(agent, image, tmp_path, monkeypatch):
    def stop(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(agent_module, "write_outputs", stop)
        with pytest.raises(Interrupted):
            agent.consult(image, QUESTION, tmp_path / "out", **FACTS)
    done = agent.consult(out=tmp_path / "out", resume=True)
    assert (done.directory / "report.md").is_file()
    assert verify_trace(done.directory).ok


def test_a_run_stopped_while_it_read_the_files_goes_on(agent, image, tmp_path, monkeypatch):
    def stop(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(agent_module, "load_study", stop)
        with pytest.raises(Interrupted):
            agent.consult(image, QUESTION, tmp_path / "out", **FACTS)
    assert verify_trace(tmp_path / "out").status == "interrupted"
    with pytest.raises(UsageError, match="give files and question again"):
        agent.consult(out=tmp_path / "out", resume=True)
    done = agent.consult(image, QUESTION, tmp_path / "out", resume=True, **FACTS)
    assert done.report.claims[0].status == "supported"


def test_a_stream_that_is_closed_is_an_interrupted_run(agent, image, tmp_path):
    stream = agent.stream(image, QUESTION, tmp_path / "out", **FACTS)
    next(stream)
    stream.close()
    assert verify_trace(tmp_path / "out").status == "interrupted"


def test_the_environment_is_quiet_once_an_agent_is_made(monkeypatch, simulated_model):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    for name in set(OFFLINE_DEFAULTS) - {"HF_HUB_OFFLINE"}:
        monkeypatch.delenv(name, raising=False)
    CitrusAgent.from_pretrained(planner=ScriptedPlanner(STEPS))
    assert os.environ["ANONYMIZED_TELEMETRY"] == "False"
    assert os.environ["LANGSMITH_TRACING"] == "false"
    assert os.environ["HF_HUB_OFFLINE"] == "0"
