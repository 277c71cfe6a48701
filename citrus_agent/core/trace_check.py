"""Reads a trace folder and says whether it holds. Knows nothing of what the events mean, and cannot tell who wrote them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from citrus_agent.core.blobs import FileBlobStore
from citrus_agent.core.chain import Event, Position, SealStatus, decode_line
from citrus_agent.core.errors import TraceError
from citrus_agent.core.study import Noun

TRACE_NAME = "trace.jsonl"
BLOBS_NAME = "blobs"


class TraceCheck(Noun):
    """The result of ``verify_trace``. ``events`` counts those that hold; ``head`` is the hash of the last of them."""

    ok: bool
    events: int
    head: str | None
    sealed: bool
    status: SealStatus | None = None
    first_bad: int | None = None
    problem: str | None = None
    redacted: tuple[int, ...] = ()
    unnamed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """The events of a trace up to the first bad one. ``size``, ``torn``: bytes of whole lines, bytes after the last newline."""

    events: tuple[Event, ...]
    position: Position
    size: int
    torn: int
    problem: str | None = None


def read_chain(data: bytes) -> Reading:
    """Follow the chain through the bytes of ``trace.jsonl``; ``problem`` speaks of the event after the last one that holds."""
    *lines, tail = data.split(b"\n")
    position, events = Position(), list[Event]()
    problem = None
    for line in lines:
        try:
            event = decode_line(line)
            position = position.after(event)
        except TraceError as error:
            problem = str(error)
            break
        events.append(event)
    return Reading(tuple(events), position, len(data) - len(tail), len(tail), problem)


def read_trace(directory: Path) -> bytes:
    """The bytes of the folder's ``trace.jsonl``; ``TraceError`` when there is none."""
    path = directory / TRACE_NAME
    if not path.is_file():
        raise TraceError(f"there is no {TRACE_NAME} here: give the folder that a consultation wrote")
    try:
        return path.read_bytes()
    except OSError as error:
        raise TraceError(f"{TRACE_NAME} cannot be read: {error.strerror}") from error


def stored_files(root: Path) -> list[str]:
    """Every file under a blob folder, as path relative to it, sorted; links to folders are named, not followed."""
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in (*files, *links)]
    return sorted(found)


def is_blob_place(name: str) -> bool:
    """Whether a path relative to the blob folder is one where the store would put a blob."""
    return re.fullmatch(r"([0-9a-f]{2})/\1[0-9a-f]{62}", name) is not None


def unnamed_files(root: Path, events: Iterable[Event]) -> list[str]:
    """Files under the blob folder that no event names."""
    named = {f"{digest[:2]}/{digest}" for event in events for digest in event.blobs}
    return [name for name in stored_files(root) if name not in named]


def blob_problem(events: Iterable[Event], blobs: FileBlobStore) -> tuple[int, str] | None:
    """The first event with a missing or changed blob, and what is wrong with it."""
    sound: set[str] = set()
    for event in events:
        for digest in event.blobs:
            if digest in sound:
                continue
            if not blobs.path(digest).is_file():
                return event.seq, f"event {event.seq} names blob {digest[:12]}, which is missing"
            try:
                blobs.get(digest)
            except TraceError as error:
                return event.seq, f"event {event.seq} names a blob that does not hold: {error}"
            sound.add(digest)
    return None


def verify_trace(directory: Path, *, allow_unsealed: bool = False, expected_head: str | None = None) -> TraceCheck:
    """Check every byte of a trace folder and name the first bad event.

    Args:
        directory: the folder with ``trace.jsonl`` and ``blobs/``.
        allow_unsealed: a run that is still going, or was killed, is no problem up to where it got.
        expected_head: an event's hash known from elsewhere that must be in the trace; finds a trace cut back to an earlier seal.
    """
    try:
        reading = read_chain(read_trace(directory))
    except TraceError as error:
        return TraceCheck(ok=False, events=0, head=None, sealed=False, problem=str(error))
    blobs = FileBlobStore(directory / BLOBS_NAME)
    bad = blob_problem(reading.events, blobs) or _chain_problem(reading)
    whole = bad is None
    unnamed = unnamed_files(blobs.root, reading.events) if whole else []
    sealed = whole and reading.position.seal is not None
    first_bad, problem = bad or _end_problem(reading, unnamed, allow_unsealed, expected_head)
    return TraceCheck(
        ok=problem is None,
        events=reading.position.count,
        head=reading.position.head if reading.events else None,
        sealed=sealed,
        status=reading.position.seal if sealed else None,
        first_bad=first_bad,
        problem=problem,
        redacted=tuple(event.seq for event in reading.events if event.redacted),
        unnamed=tuple(unnamed),
    )


def _chain_problem(reading: Reading) -> tuple[int, str] | None:
    seq = reading.position.count
    if reading.problem:
        return seq, f"event {seq} does not hold: {reading.problem}"
    if reading.torn:
        return seq, f"event {seq} is torn: the last line has no newline"
    return None if reading.events else (0, "event 0 is missing: the trace is empty")


def _end_problem(reading: Reading, unnamed: list[str], allow_unsealed: bool, expected: str | None) -> tuple[int | None, str | None]:
    end = reading.position
    if end.seal is None and not allow_unsealed:
        return None, "not sealed"
    # A running tool may have stored a blob whose event is not written yet; a seal names all that was there.
    if end.seal is not None and unnamed:
        return end.count - 1, f"blobs/{unnamed[0]} is a file that no event names, though event {end.count - 1} sealed the folder"
    if expected is not None and all(event.hash != expected for event in reading.events):
        return end.count, f"event {end.count} is missing: no event has the hash that was expected"
    return None, None
