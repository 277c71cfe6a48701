"""Ctrl-C and SIGTERM in a running ``consult``: the trace is sealed, and ``--resume`` goes on with it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from citrus_agent.core.trace import Trace, verify_trace

SLOW = f"""
import importlib.util, time
spec = importlib.util.spec_from_file_location("simulated", {str(Path(__file__).with_name("conftest.py"))!r})
simulated = importlib.util.module_from_spec(spec)
spec.loader.exec_module(simulated)
import citrus_agent.graphs.assembly as assembly
model = simulated.SimulatedModel()
model.script = simulated.READING
quick = simulated.DarkHeads.segment
simulated.DarkHeads.segment = lambda self, *a, **k: (time.sleep(3), quick(self, *a, **k))[1]
assembly._load_model = lambda settings: model
from citrus_agent.app.cli import main
main()
"""
REAL = "from citrus_agent.app.cli import main; main()"


def start(code, tmp_path, *arguments):
    environment = os.environ | {"CITRUS_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code, "consult", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path, kind, process, seconds=120):
    """Until an event of the kind is in the trace; fails when the run ends before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and f'"kind":"{kind}"' in path.read_text():
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.kill()
    pytest.fail(f"no {kind} within {seconds} s")


def stop_and_resume(code, tmp_path, number, kind, *arguments):
    out = tmp_path / "run"
    process = start(code, tmp_path, *arguments, "--out", out)
    wait_for(out / "trace.jsonl", kind, process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert verify_trace(out).status == "interrupted"
    assert not (out / "report.md").exists()
    before = (out / "trace.jsonl").read_bytes()

    process = start(code, tmp_path, *arguments, "--out", out, "--resume", "--json")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode in (0, 4), stderr
    assert (out / "trace.jsonl").read_bytes().startswith(before)
    assert verify_trace(out, expected_head=json.loads(stdout)["trace_head"]).status == "complete"
    return Trace.load(out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_inside_a_tool_goes_on_without_repeating_what_was_done(tmp_path, picture, number):
    Image.fromarray(picture([(60, 50, 30, 15, 40)])[0]).save(tmp_path / "image.png")
    trace = stop_and_resume(SLOW, tmp_path, number, "tool_result", tmp_path / "image.png")
    done = [event.payload["name"] for event in trace.events if event.kind == "tool_result"]
    assert done == ["detect_lesions", "segment_lesion", "measure_lesion", "describe_lesion", "apply_guideline"]
    assert trace.report.category.startswith("BI-RADS")


@pytest.mark.usefixtures("weights")
def test_the_embedded_model_is_stopped_and_goes_on(tmp_path):
    trace = stop_and_resume(REAL, tmp_path, signal.SIGINT, "plan", "--sample")
    assert trace.report is not None
    assert any(event.kind == "resumed" for event in trace.events)
