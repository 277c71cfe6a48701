"""The embedded model through the command line: real images end to end, what is out of its scope, and a whole run without network."""

import json
import random
import socket

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from citrus_agent.app.agent import CitrusAgent
from citrus_agent.app.cli import app
from citrus_agent.app.image_folder import find_images
from citrus_agent.core.trace import verify_trace

pytestmark = pytest.mark.usefixtures("weights")
ABSTENTIONS = {"question_out_of_scope", "image_out_of_scope", "image_quality", "contract_refused", "no_evidence", "planner_failed"}


@pytest.fixture(scope="module")
def loaded(weights, tmp_path_factory):
    """One agent for all runs here: loading takes longer than reading."""
    return CitrusAgent.from_pretrained("citrus-v-nano", cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def run(loaded, monkeypatch, tmp_path):
    """``consult`` on the loaded agent; gives exit code, report and the run's folder."""
    monkeypatch.setattr(CitrusAgent, "from_pretrained", classmethod(lambda cls, *a, **k: loaded))

    def consult(*arguments, out="run"):
        result = CliRunner().invoke(app, ["consult", *map(str, arguments), "--out", str(tmp_path / out), "--json"])
        assert result.exit_code in (0, 4), result.stderr
        return result.exit_code, json.loads(result.stdout), tmp_path / out

    return consult


def flipped(path, at):
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    return data


def images(busi):
    """Twenty images, the same ones every time."""
    return sorted(random.Random(20).sample(find_images(busi), 20), key=lambda image: image.name)


def test_twenty_real_images_end_with_evidence_for_every_claim_or_a_typed_reason(run, busi):
    answered = 0
    for image in images(busi):
        code, report, out = run(image.path, out=image.name)
        assert verify_trace(out, expected_head=report["trace_head"]).ok, image.name
        if code == 4:
            assert report["reason"] in ABSTENTIONS, image.name
            assert report["category"] is None
            continue
        answered += 1
        assert report["claims"], image.name
        for claim in report["claims"]:
            assert claim["evidence"], (image.name, claim)
            assert set(claim["evidence"]) <= set(report["evidence"]), (image.name, claim)
    assert answered >= 10  # a model that always abstains passes the rest


def test_one_flipped_byte_in_a_real_run_is_found_and_its_event_named(run):
    _, report, out = run("--sample")
    trace = out / "trace.jsonl"
    lines = trace.read_bytes().splitlines(keepends=True)
    for at in random.Random(1).sample(range(trace.stat().st_size), 25):
        before = flipped(trace, at)
        check = verify_trace(out)
        bad = next(seq for seq in range(len(lines)) if at < sum(map(len, lines[: seq + 1])))
        assert (check.ok, check.first_bad) == (False, bad), at
        trace.write_bytes(before)
    for blob in sorted(path for path in (out / "blobs").rglob("*") if path.is_file()):
        before = flipped(blob, blob.stat().st_size // 2)
        check = verify_trace(out)
        first = next(seq for seq, line in enumerate(lines) if blob.name in json.loads(line)["blobs"])
        assert (check.ok, check.first_bad) == (False, first), blob.name
        blob.write_bytes(before)
    assert verify_trace(out, expected_head=report["trace_head"]).ok


@pytest.mark.parametrize("question", ["Write a poem about autumn.", "Prescribe a drug for this patient."])
def test_another_question_is_declined_with_what_can_be_asked(run, question):
    code, report, _ = run("--sample", "-q", question)
    assert (code, report["reason"], report["category"]) == (4, "question_out_of_scope", None)
    assert len(report["message"]) > 20


def cat(size=224):
    """No cat, but as little an ultrasound image: smooth colours and round shapes."""
    rows, columns = np.mgrid[:size, :size] / size
    pixels = np.stack([200 * rows + 40, 150 * columns + 90, 120 + 60 * np.sin(6 * rows * columns)], axis=-1)
    for x, y, r in ((0.35, 0.4, 0.07), (0.65, 0.4, 0.07), (0.5, 0.65, 0.12)):
        pixels[(columns - x) ** 2 + (rows - y) ** 2 < r**2] = (30, 60, 20)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("facts", [(), ("--modality", "CT"), ("--modality", "US", "--body-part", "liver")])
def test_another_image_gets_a_typed_reason_and_never_a_category(run, tmp_path, facts):
    cat().save(tmp_path / "cat.png")
    code, report, _ = run(tmp_path / "cat.png", *facts)
    assert (code, report["category"]) == (4, None)
    assert report["reason"] in {"image_out_of_scope", "contract_refused"}
    assert "BI-RADS 1" not in json.dumps(report["claims"])


def test_a_whole_consultation_asks_for_no_connection(monkeypatch, tmp_path):
    asked = []

    def refuse(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            asked.append(address)
            raise OSError("no network here")
        return real(self, address)

    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **named: asked.append(arguments) or [])
    monkeypatch.setenv("CITRUS_CACHE_DIR", str(tmp_path / "cache"))
    result = CliRunner().invoke(app, ["consult", "--sample", "--out", str(tmp_path / "run"), "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["simulated"]
    assert asked == []
