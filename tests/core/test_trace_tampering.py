"""Whatever is changed in a trace is found, and the first bad event is named."""

import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from citrus_agent.core.chain import Event, Position, encode_line, link_hash
from citrus_agent.core.errors import TraceError
from citrus_agent.core.trace import Trace, verify_trace
from citrus_agent.core.trace_check import read_chain


@pytest.fixture(scope="module")
def original(tmp_path_factory, made, chain):
    directory = tmp_path_factory.mktemp("original")
    made.trace(directory, chain)
    return directory


@pytest.fixture(scope="module")
def data(original):
    return (original / "trace.jsonl").read_bytes()


@pytest.fixture
def copy(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


@pytest.fixture(scope="module")
def scratch(original, tmp_path_factory):
    return shutil.copytree(original, tmp_path_factory.mktemp("scratch") / "copy")


def changed(directory, data):
    (directory / "trace.jsonl").write_bytes(data)
    return verify_trace(directory)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 10**9), flip=st.integers(1, 255))
def test_any_changed_byte_of_the_trace_is_found(scratch, data, where, flip):
    where %= len(data)
    check = changed(scratch, data[:where] + bytes([data[where] ^ flip]) + data[where + 1 :])
    assert not check.ok
    assert check.first_bad == data[:where].count(b"\n")
    assert check.problem.startswith(f"event {check.first_bad} ")


def test_every_byte_counts(data):
    """All positions, one bit each; the same reader as verification, without the disk."""
    for where in range(len(data)):
        reading = read_chain(data[:where] + bytes([data[where] ^ 0x20]) + data[where + 1 :])
        assert reading.problem or reading.torn, f"byte {where}"
        assert len(reading.events) == data[:where].count(b"\n")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pick=st.integers(0, 10**9), where=st.integers(0, 10**9), flip=st.integers(1, 255))
def test_any_changed_byte_of_a_blob_is_found(scratch, data, pick, where, flip):
    (scratch / "trace.jsonl").write_bytes(data)
    blobs = sorted(path for path in (scratch / "blobs").rglob("*") if path.is_file())
    path = blobs[pick % len(blobs)]
    kept = path.read_bytes()
    where %= len(kept)
    path.write_bytes(kept[:where] + bytes([kept[where] ^ flip]) + kept[where + 1 :])
    try:
        check = verify_trace(scratch)
    finally:
        path.write_bytes(kept)
    named = [event.seq for event in Trace.load(scratch).events if path.name in event.blobs]
    assert not check.ok
    assert check.first_bad == named[0]
    assert verify_trace(scratch).ok


def test_missing_blob(copy):
    digest = Trace.load(copy).events[3].blobs[0]
    path = Trace.load(copy).blobs.path(digest)
    path.unlink()
    assert (verify_trace(copy).first_bad, verify_trace(copy).problem) == (3, f"event 3 names blob {digest[:12]}, which is missing")
    path.mkdir()
    assert verify_trace(copy).first_bad == 3


def test_file_that_no_event_names(copy):
    (copy / "blobs" / "note.txt").write_text("hello")
    check = verify_trace(copy)
    assert (check.ok, check.first_bad, check.unnamed) == (False, 5, ("note.txt",))
    (copy / "blobs" / "note.txt").unlink()
    (copy / "blobs" / "link").symlink_to(copy, target_is_directory=True)
    assert verify_trace(copy).unnamed == ("link",)


def test_lines_deleted_inserted_swapped_or_cut(copy, data):
    lines = data.splitlines(keepends=True)
    for index in range(len(lines) - 1):
        assert changed(copy, b"".join(lines[:index] + lines[index + 1 :])).first_bad == index
        assert changed(copy, b"".join(lines[: index + 1] + lines[index:])).first_bad == index + 1
        swapped = [*lines[:index], lines[index + 1], lines[index], *lines[index + 2 :]]
        assert changed(copy, b"".join(swapped)).first_bad == index
    for index in range(1, len(lines)):
        cut = changed(copy, b"".join(lines[:index]))
        assert (cut.ok, cut.sealed, cut.problem, cut.events) == (False, False, "not sealed", index)
        assert verify_trace(copy, allow_unsealed=True).ok
    assert changed(copy, data + lines[-1]).first_bad == len(lines)
    assert changed(copy, data + b"\n").first_bad == len(lines)
    assert changed(copy, data + b" ").first_bad == len(lines)
    assert changed(copy, data[:-1]).first_bad == len(lines) - 1
    assert changed(copy, b"").first_bad == 0
    assert changed(copy, data).ok


def test_missing_trace(tmp_path):
    check = verify_trace(tmp_path)
    assert not check.ok
    assert "no trace.jsonl" in check.problem


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"null", b"NaN", b"[" * 100_000, b"\xff", b'{"seq":' + b"9" * 5000 + b"}", b'{"schema_version":2}'],
)
def test_a_line_that_is_no_event(copy, data, line):
    lines = data.splitlines(keepends=True)
    assert changed(copy, b"".join([*lines[:2], line + b"\n", *lines[2:]])).first_bad == 2


def rewritten(event, **changes):
    """An event changed and hashed again, as somebody would who knows the format."""
    fields = {**event.model_dump(), **changes}
    return Event.model_validate({**fields, "hash": link_hash(fields)})


def test_same_content_in_another_form(copy, data):
    lines = data.splitlines(keepends=True)
    record = json.loads(lines[2])
    spaced = json.dumps(record, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    upper = lines[2].replace(record["hash"].encode(), record["hash"].upper().encode())
    doubled = lines[2].replace(b'{"actor"', b'{"actor":"user","actor"')
    for other in (spaced, upper, doubled, lines[2].replace(b'"seq":2', b'"seq":2.0'), lines[2].replace(b'"seq":2', b'"seq":"2"')):
        assert other != lines[2]
        assert changed(copy, b"".join([*lines[:2], other, *lines[3:]])).first_bad == 2


def test_rehashed_event_breaks_the_next_link(copy, data, original):
    lines = data.splitlines(keepends=True)
    event = Trace.load(original).events[2]
    later = encode_line(rewritten(event, time="2031-01-01T00:00:00.000+00:00"))
    assert changed(copy, b"".join([*lines[:2], later, *lines[3:]])).first_bad == 3
    local = {**event.model_dump(), "time": "2031-01-01T00:00:00.000+02:00"}
    line = json.dumps(local, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    assert changed(copy, b"".join([*lines[:2], line, *lines[3:]])).first_bad == 2


def test_redaction_is_legal_and_reported(copy, data):
    lines = data.splitlines(keepends=True)
    header, event = (Trace.load(copy).events[seq] for seq in (0, 2))
    redacted = encode_line(event.model_copy(update={"payload": None, "salt": None}))
    check = changed(copy, b"".join([*lines[:2], redacted, *lines[3:]]))
    assert (check.ok, check.redacted) == (True, (2,))
    half = encode_line(event.model_copy(update={"salt": None}))
    assert changed(copy, b"".join([*lines[:2], half, *lines[3:]])).first_bad == 2
    first = encode_line(header.model_copy(update={"payload": None, "salt": None}))
    assert changed(copy, first + b"".join(lines[1:])).redacted == (0,)
    with pytest.raises(TraceError, match="header of this trace was redacted"):
        Trace.load(copy)


def test_seal_must_be_true_and_readable(copy, data):
    lines = data.splitlines(keepends=True)
    position = read_chain(b"".join(lines[:-1])).position
    seal = {"status": "complete", "events": 4, "head": position.head}
    with pytest.raises(TraceError, match="another count or head"):
        position.make("system", "seal", seal)
    event = position.make("system", "seal", {**seal, "events": 5})
    bare = encode_line(event.model_copy(update={"payload": None, "salt": None}))
    assert changed(copy, b"".join([*lines[:-1], bare])).first_bad == 5


def test_only_resumed_follows_a_stop():
    start = Position()
    start = start.after(start.make("system", "run_started", {"run_id": "r", "created": "2030-01-01T00:00:00+00:00"}))
    for status in ("interrupted", "budget", "complete", "failed"):
        sealed = start.after(start.make("system", "seal", {"status": status, "events": 1, "head": start.head}))
        with pytest.raises(TraceError, match="follows the seal"):
            sealed.make("planner", "plan", {})
        if status in ("interrupted", "budget"):
            assert sealed.after(sealed.make("system", "resumed", {})).seal is None
        else:
            with pytest.raises(TraceError, match="follows the seal"):
                sealed.make("system", "resumed", {})


def test_rollback_is_found_with_a_known_head(copy):
    head = Trace.load(copy).events[3].hash
    assert verify_trace(copy, expected_head=head).ok
    check = verify_trace(copy, expected_head="0" * 64)
    assert (check.ok, check.first_bad) == (False, 6)
