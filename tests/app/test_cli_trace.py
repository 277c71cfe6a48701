"""``trace verify`` and ``trace show`` on traces written here: what they print, how they end, and what one byte does."""

import json
import random

import pytest
from typer.testing import CliRunner

from citrus_agent.app.cli import app
from citrus_agent.core.evidence import Finding
from citrus_agent.core.report import Claim, Report
from citrus_agent.core.trace import TraceHeader, TraceWriter

runner = CliRunner()


@pytest.fixture
def run(tmp_path):
    writer = TraceWriter.create(tmp_path / "run", TraceHeader(run_id="r1", simulated=True))
    blob = writer.blobs.put(b"pixels")
    writer.append("user", "question", {"text": "what is it?"}, [blob])
    finding = Finding(tool="detect_lesions", name="image_impression", value="normal", score=0.9)
    writer.append("tool", "tool_call", {"id": "c1", "name": "detect_lesions", "arguments": {"image": 0}, "node": "act"})
    writer.append(
        "tool", "tool_result", {"id": "c1", "name": "detect_lesions", "evidence": [finding.model_dump(mode="json")], "seconds": 0.25}
    )
    claim = Claim(
        id="c1", section="findings", kind="observation", text="Nothing is [seen].", evidence=(finding.id,), status="supported", score=1
    )
    writer.append("system", "report", {"report": Report(question="what is it?", claims=(claim,)).model_dump(mode="json")})
    writer.seal("complete")
    return tmp_path / "run"


def test_verify_says_ok_and_gives_the_head(run):
    result = runner.invoke(app, ["trace", "verify", str(run), "--json"])
    answer = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (answer["ok"], answer["sealed"], answer["events"]) == (True, True, 6)
    assert runner.invoke(app, ["trace", "verify", str(run), "--head", answer["head"]]).exit_code == 0
    assert runner.invoke(app, ["trace", "verify", str(run), "--head", "0" * 64]).exit_code == 3


def test_one_flipped_byte_exits_3_and_names_the_first_bad_event(run):
    path = run / "trace.jsonl"
    data = path.read_bytes()
    starts = [0] + [i + 1 for i, byte in enumerate(data) if byte == 10]
    for at in random.Random(0).sample(range(len(data)), 20):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        result = runner.invoke(app, ["trace", "verify", str(run), "--json"])
        answer = json.loads(result.stdout)
        assert result.exit_code == 3
        assert answer["first_bad"] == max(i for i, start in enumerate(starts) if start <= at), f"byte {at}"
    path.write_bytes(data)
    blob = next((run / "blobs").glob("*/*"))
    blob.write_bytes(b"pixelz")
    result = runner.invoke(app, ["trace", "verify", str(run)])
    assert result.exit_code == 3
    assert "at event 1" in result.stderr


def test_show_lists_events_evidence_and_claims(run):
    result = runner.invoke(app, ["trace", "show", str(run)], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for text in ("SIMULATED", "detect_lesions 1 evidence 0.25 s", "image_impression normal", "Nothing is [seen].", "supported"):
        assert text in result.stdout
    answer = json.loads(runner.invoke(app, ["trace", "show", str(run), "--json"]).stdout)
    assert [event["seq"] for event in answer["events"]] == list(range(6))
    assert answer["report"]["claims"][0]["evidence"][0] in answer["evidence"]


@pytest.mark.parametrize("command", ["verify", "show"])
def test_a_folder_without_trace_is_bad_input(tmp_path, command):
    result = runner.invoke(app, ["trace", command, str(tmp_path), "--json"])
    assert result.exit_code == 3
    assert "trace.jsonl" in result.stdout
