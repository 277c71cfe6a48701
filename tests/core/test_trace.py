"""Writing, sealing, resuming and reading a trace."""

import json
import os
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest

from citrus_agent.core.blobs import FileBlobStore
from citrus_agent.core.chain import GENESIS, commitment_of
from citrus_agent.core.errors import ResourceError, TraceError
from citrus_agent.core.trace import Trace, TraceHeader, TraceWriter, verify_trace

HEADER = TraceHeader(run_id="r1")


def test_a_finished_run_verifies_and_reads_back(tmp_path, made, chain):
    made.trace(tmp_path, chain)
    check = verify_trace(tmp_path)
    assert check.ok, check.problem
    assert (check.sealed, check.status, check.events, check.first_bad, check.unnamed) == (True, "complete", 6, None, ())
    trace = Trace.load(tmp_path)
    assert trace.head == check.head
    assert trace.status == "complete"
    assert trace.header.seeds == {"planner": 0}
    assert list(trace.evidence) == list(chain.values())
    assert trace.report.claims[0].evidence == (chain["shape"].id,)
    assert trace.blobs.get(trace.events[1].blobs[0]) == b"image"


def test_format_of_lines(tmp_path, made, chain):
    made.trace(tmp_path, chain)
    lines = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(6))
    assert [line["kind"] for line in lines] == ["run_started", "study", "question", "tool_result", "report", "seal"]
    assert lines[0]["previous"] == GENESIS
    assert all(after["previous"] == before["hash"] for before, after in pairwise(lines))
    assert all(line["commitment"] == commitment_of(line["salt"], line["payload"]) for line in lines)
    assert len({line["salt"] for line in lines}) == 6
    assert lines[-1]["payload"] == {"status": "complete", "events": 5, "head": lines[-2]["hash"]}
    assert len(lines[-1]["blobs"]) == 1, "the seal names the blob that no event named"


def test_events_are_on_disk_when_append_returns(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd)))
    with TraceWriter.create(tmp_path, HEADER) as writer:
        seen = []
        writer.listeners.append(lambda event: seen.append((event.seq, (tmp_path / "trace.jsonl").read_bytes().count(b"\n"))))
        before = len(synced)
        writer.append("user", "question", {"text": "a"})
        writer.append("user", "question", {"text": "b"})
        assert seen == [(1, 2), (2, 3)]
        assert len(synced) == before + 2
        assert writer.head == Trace.load(tmp_path).head


def test_one_writer_at_a_time(tmp_path):
    writer = TraceWriter.create(tmp_path, HEADER)
    with pytest.raises(TraceError, match="another run is writing"):
        TraceWriter.resume(tmp_path)
    code = f"from pathlib import Path; from citrus_agent.core.trace import TraceWriter; TraceWriter.resume(Path({str(tmp_path)!r}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another run is writing" in other.stderr
    with pytest.raises(TraceError, match="holds a trace already"):
        TraceWriter.create(tmp_path, HEADER)
    writer.close()
    TraceWriter.resume(tmp_path).close()
    assert [event.kind for event in Trace.load(tmp_path).events] == ["run_started", "resumed"]


def test_threads_keep_one_chain(tmp_path):
    with TraceWriter.create(tmp_path, HEADER) as writer:
        threads = [threading.Thread(target=lambda n=n: [writer.append("tool", "plan", {"n": n}) for _ in range(10)]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.seal("complete")
    assert verify_trace(tmp_path).events == 42
    assert verify_trace(tmp_path).ok


@pytest.mark.parametrize("payload", [{"x": float("nan")}, {"x": np.float32(1)}, {"x": object()}, {"x": "\ud800"}, {("a",): 1}])
def test_payload_that_is_not_json_is_refused_and_leaves_nothing(tmp_path, payload):
    with TraceWriter.create(tmp_path, HEADER) as writer:
        size = (tmp_path / "trace.jsonl").stat().st_size
        with pytest.raises(TraceError, match="plain, finite JSON"):
            writer.append("tool", "plan", payload)
        assert (tmp_path / "trace.jsonl").stat().st_size == size
        writer.append("tool", "plan", {1: (2, 3)})
    assert Trace.load(tmp_path).events[-1].payload == {"1": [2, 3]}


def test_blobs_must_be_stored_first(tmp_path):
    with TraceWriter.create(tmp_path, HEADER) as writer:
        with pytest.raises(TraceError, match="must be stored"):
            writer.append("tool", "plan", {}, ["0" * 64])
        with pytest.raises(TraceError, match="not a sha256"):
            writer.append("tool", "plan", {}, ["../trace.jsonl"])
        digest = writer.blobs.put(b"x")
        assert writer.append("tool", "plan", {}, [digest, digest]).blobs == (digest,)


def test_nothing_follows_the_seal(tmp_path):
    writer = TraceWriter.create(tmp_path, HEADER)
    seal = writer.seal("complete")
    assert writer.closed
    assert seal.hash == Trace.load(tmp_path).head
    for late in (lambda: writer.append("tool", "plan", {}), lambda: writer.seal("complete"), lambda: writer.blobs.put(b"late")):
        with pytest.raises(TraceError, match="closed"):
            late()
    with pytest.raises(TraceError, match="nothing to resume"):
        TraceWriter.resume(tmp_path)
    assert verify_trace(tmp_path).ok


def test_order_of_kinds(tmp_path):
    with TraceWriter.create(tmp_path, HEADER) as writer:
        with pytest.raises(TraceError, match="run_started, once"):
            writer.append("system", "run_started", HEADER.model_dump())
        with pytest.raises(TraceError, match="seal does not say"):
            writer.append("system", "seal", {"status": "complete"})


@pytest.mark.parametrize("status", ["interrupted", "budget", None])
def test_resume_goes_on(tmp_path, made, chain, status):
    writer = made.trace(tmp_path, chain, seal=status)
    if writer is not None:
        writer.close()
    first = verify_trace(tmp_path, allow_unsealed=True)
    assert first.ok
    assert first.status == status
    with TraceWriter.resume(tmp_path) as again:
        again.append("planner", "plan", {"content": "", "tool_calls": []})
        assert not verify_trace(tmp_path).ok
        again.seal("complete")
    trace = Trace.load(tmp_path)
    assert trace.events[first.events].payload == {"after": status or "killed", "torn_bytes": 0}
    assert [event.kind for event in trace.events[first.events :]] == ["resumed", "plan", "seal"]
    assert verify_trace(tmp_path, expected_head=first.head).ok
    assert list(trace.evidence) == list(chain.values())


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_resume_cuts_a_torn_line(tmp_path, made, chain, kept):
    made.trace(tmp_path, chain)
    path = tmp_path / "trace.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:kept])
    check = verify_trace(tmp_path, allow_unsealed=True)
    assert (check.ok, check.first_bad) == (False, 3)
    assert len(Trace.load(tmp_path).events) == 3
    with TraceWriter.resume(tmp_path) as writer:
        writer.seal("complete")
    assert verify_trace(tmp_path).ok
    assert Trace.load(tmp_path).events[3].payload == {"after": "killed", "torn_bytes": len(lines[3][:kept])}


def test_resume_refuses_a_broken_chain_and_leaves_it(tmp_path, made, chain):
    made.trace(tmp_path, chain, seal="interrupted")
    path = tmp_path / "trace.jsonl"
    whole = path.read_bytes()
    for broken in (whole.replace(b"gro\xc3\x9f", b"klein"), whole.replace(b'"seq":2', b'"seq":3') + b"torn", b"", b"torn"):
        path.write_bytes(broken)
        with pytest.raises(TraceError, match="cannot be resumed"):
            TraceWriter.resume(tmp_path)
        assert path.read_bytes() == broken
    path.write_bytes(whole)
    digest = Trace.load(tmp_path).events[1].blobs[0]
    FileBlobStore(tmp_path / "blobs").path(digest).unlink()
    with pytest.raises(TraceError, match="missing"):
        TraceWriter.resume(tmp_path)
    with pytest.raises(TraceError, match="no trace to resume"):
        TraceWriter.resume(tmp_path / "elsewhere")


def test_an_exception_in_mid_write_does_not_fork_the_chain(tmp_path, monkeypatch):
    real = os.pwrite

    def interrupted(descriptor, data, offset):
        real(descriptor, data[: len(data) // 2], offset)
        raise KeyboardInterrupt

    with TraceWriter.create(tmp_path, HEADER) as writer:
        monkeypatch.setattr(os, "pwrite", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.append("planner", "plan", {"content": "x" * 500})
        monkeypatch.setattr(os, "pwrite", real)
        writer.seal("interrupted")
    check = verify_trace(tmp_path)
    assert (check.ok, check.status, check.events) == (True, "interrupted", 2)


def test_a_full_disk_is_the_operators(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with TraceWriter.create(tmp_path, HEADER) as writer:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(ResourceError, match="No space left"):
            writer.append("planner", "plan", {})
    with pytest.raises(ResourceError, match="No space left"):
        TraceWriter.create(tmp_path / "new", HEADER)
    assert not (tmp_path / "new" / "trace.jsonl").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="File exists"):
        TraceWriter.create(tmp_path / "file", HEADER)


def test_seal_clears_what_a_killed_store_left(tmp_path):
    with TraceWriter.create(tmp_path, HEADER) as writer:
        digest = writer.blobs.put(b"x")
        left = writer.blobs.path(digest).with_name(".new-abc")
        left.write_bytes(b"half")
        assert verify_trace(tmp_path, allow_unsealed=True).unnamed == (f"{digest[:2]}/.new-abc", f"{digest[:2]}/{digest}")
        writer.seal("complete")
    assert not left.exists()
    assert verify_trace(tmp_path).ok


def test_loading_says_what_is_wrong(tmp_path):
    with pytest.raises(TraceError, match=r"no trace.jsonl"):
        Trace.load(tmp_path)
    with TraceWriter.create(tmp_path, HEADER) as writer:
        writer.append("tool", "tool_result", {"id": "1", "name": "t", "evidence": [{"kind": "finding"}], "seconds": 0})
        writer.append("system", "report", {"report": {"claims": 3}})
    trace = Trace.load(tmp_path)
    assert trace.status is None
    with pytest.raises(TraceError, match="event 1"):
        _ = trace.evidence
    with pytest.raises(TraceError, match="event 2"):
        _ = trace.report
