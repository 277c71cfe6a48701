"""``consult`` with a simulated model and a scripted planner: what it writes, what it prints, and how it ends."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from citrus_agent.app.cli import app
from citrus_agent.core.trace import Trace, verify_trace

ARTEFACTS = {"report.md", "report.json", "overlay.png", "trace.jsonl", "blobs"}


def run(*arguments):
    return CliRunner().invoke(app, ["consult", *map(str, arguments)])


@pytest.fixture
def image(tmp_path, picture):
    Image.fromarray(picture([(60, 50, 30, 15, 40)])[0]).save(tmp_path / "image.png")
    return tmp_path / "image.png"


@pytest.fixture(autouse=True)
def model(simulated_model):
    return simulated_model


def test_a_report_is_written_and_every_claim_names_evidence_that_resolves(image, tmp_path):
    result = run(image, "-q", "What is it?", "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} >= ARTEFACTS
    report = json.loads(result.stdout)
    assert report == json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["category"].startswith("BI-RADS")
    assert [claim["status"] for claim in report["claims"]] == ["supported"] * 3
    assert all(claim["evidence"] and set(claim["evidence"]) <= set(report["evidence"]) for claim in report["claims"])
    check = verify_trace(tmp_path / "run", expected_head=report["trace_head"])
    assert (check.ok, check.status) == (True, "complete")


def test_steps_go_to_stderr_and_the_report_to_stdout(image, tmp_path):
    result = run(image, "--out", tmp_path / "run")
    for text in ("segment_lesion seg=True", "E2 region lesion", "verified 3 of 3 claims"):
        assert text in result.stderr
        assert text not in result.stdout
    for text in ("BI-RADS", "Its longest diameter is", "[E", "SIMULATED", "Research use only", "report.md"):
        assert text in result.stdout


def test_the_sample_needs_no_file_and_is_marked_simulated_everywhere(tmp_path):
    result = run("--sample", "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["simulated"]
    assert all(item["simulated"] for item in report["evidence"].values())
    assert Trace.load(tmp_path / "run").header.simulated
    assert "SIMULATED" in (tmp_path / "run" / "report.md").read_text()


def test_without_out_a_folder_is_made_here(image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(image).exit_code == 0
    [made] = tmp_path.glob("citrus-run-*")
    assert (made / "report.md").is_file()


def test_abstention_ends_with_4_and_its_reason(image, tmp_path, model):
    model.script = [{"name": "abstain", "args": {"reason": "question_out_of_scope", "message": "Ask for the findings."}}]
    result = run(image, "-q", "Write a poem.", "--out", tmp_path / "run", "--json")
    assert result.exit_code == 4
    report = json.loads(result.stdout)
    assert (report["abstained"], report["reason"], report["category"]) == (True, "question_out_of_scope", None)


def test_an_image_of_something_else_is_refused_and_never_categorised(tmp_path, model):
    Image.fromarray(np.full((80, 80, 3), (250, 240, 230), np.uint8)).save(tmp_path / "cat.png")
    model.script = [
        {"name": "detect_lesions", "args": {}},
        {"name": "abstain", "args": {"reason": "image_out_of_scope", "message": "This is no breast ultrasound image."}},
    ]
    result = run(tmp_path / "cat.png", "--out", tmp_path / "run")
    assert result.exit_code == 4
    assert "contract_refusal" in result.stderr
    assert "BI-RADS" not in result.stdout
    result = run(tmp_path / "cat.png", "--modality", "CT", "--out", tmp_path / "ct", "--json")
    assert (result.exit_code, json.loads(result.stdout)["category"]) == (4, None)


@pytest.mark.parametrize("limit", [("--max-steps", 2), ("--max-tokens", 3)])
def test_a_used_up_budget_ends_with_5_and_can_be_resumed(image, tmp_path, limit):
    result = run(image, "--out", tmp_path / "run", *limit)
    assert result.exit_code == 5, result.stderr
    assert verify_trace(tmp_path / "run").status == "budget"
    assert f"budget of {limit[0].removeprefix('--max-')}" in result.stdout
    result = run("--resume", "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["category"].startswith("BI-RADS")
    assert verify_trace(tmp_path / "run").status == "complete"


def test_a_tool_that_raises_is_an_error_in_the_trace_and_the_run_goes_on(image, tmp_path, model, monkeypatch):
    answer = model.detector.segment
    calls = []

    def failing(*arguments, **named):
        calls.append(named)
        if len(calls) == 1:
            raise RuntimeError("out of luck")
        return answer(*arguments, **named)

    monkeypatch.setattr(type(model.detector), "segment", lambda self, *a, **k: failing(*a, **k))
    model.script = [model.script[0], model.script[1], {"name": "segment_lesion", "args": {"box": [20, 20, 100, 80]}}, *model.script[2:]]
    result = run(image, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    [error] = [event.payload for event in Trace.load(tmp_path / "run").events if event.kind == "tool_error"]
    assert (error["name"], error["code"]) == ("segment_lesion", "tool_failure")
    assert "tool_failure" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "at least one image"),
        (["--resume"], 2, "--out"),
        (["--sample", "image.png"], 2, "not both"),
        (["image.png", "--no-such-option"], 2, "No such option"),
        (["image.png", "--max-steps", "0"], 2, "max-steps"),
        (["image.png", "--max-seconds", "-1"], 2, "max_seconds"),
        (["image.png", "--planner", "nonsense"], 2, "PROVIDER:MODEL"),
        (["image.png", "--resume", "--out", "nothing"], 3, "trace.jsonl"),
        (["image.png", "--modality", "XX"], 3, "modality"),
        (["image.png", "--slice", "3"], 3, "slice"),
    ],
)
def test_wrong_use_ends_with_one_sentence(image, monkeypatch, arguments, code, words):
    monkeypatch.chdir(image.parent)
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_with_a_finished_run_is_not_overwritten(image, tmp_path):
    assert run(image, "--out", tmp_path / "run").exit_code == 0
    before = (tmp_path / "run" / "trace.jsonl").read_bytes()
    assert run(image, "--out", tmp_path / "run").exit_code == 3
    assert (tmp_path / "run" / "trace.jsonl").read_bytes() == before
