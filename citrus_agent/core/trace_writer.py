"""Writes the trace of one run: ``trace.jsonl`` and ``blobs/`` in a folder. Knows nothing of graphs, tools or planners.

Each event is on disk before ``append`` returns. One writer at a time holds a POSIX lock on ``trace.jsonl``; readers need none.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from citrus_agent.core.blobs import FileBlobStore
from citrus_agent.core.chain import RESUMABLE, Actor, Event, Kind, Position, SealStatus, TraceHeader, encode_line
from citrus_agent.core.errors import ResourceError, TraceError
from citrus_agent.core.trace_check import (
    BLOBS_NAME,
    TRACE_NAME,
    blob_problem,
    is_blob_place,
    read_chain,
    read_trace,
    unnamed_files,
)


class _WriterBlobStore(FileBlobStore):
    """Refuses blobs after the seal, which has named all that were there: a tool that ran past its limit may still be at work."""

    def __init__(self, root: Path, lock: threading.RLock, closed: Callable[[], bool]) -> None:
        super().__init__(root)
        self._lock, self._closed = lock, closed

    def put(self, data: bytes) -> str:
        with self._lock:
            if self._closed():
                raise TraceError("the trace is closed: no blob can be added to it")
            return super().put(data)


class TraceWriter:
    """The one writer of a run's trace. Safe under threads; ``listeners`` are called with each event once it is on disk."""

    def __init__(
        self, directory: Path, descriptor: int, events: Iterable[Event] = (), position: Position | None = None, size: int = 0
    ) -> None:
        self.directory = directory
        self.listeners: list[Callable[[Event], None]] = []
        self._lock = threading.RLock()
        self._close = weakref.finalize(self, os.close, descriptor)
        self._descriptor = descriptor
        self._events = list(events)
        # One attribute, assigned once an event: a signal handler that raises cannot leave half of it behind.
        self._end = (position or Position(), size)
        close = self._close  # not ``self``: a cycle would keep the lock of a writer that nobody holds any more
        self.blobs: FileBlobStore = _WriterBlobStore(directory / BLOBS_NAME, self._lock, lambda: not close.alive)

    @classmethod
    def create(cls, directory: Path, header: TraceHeader) -> Self:
        """Start a trace in ``directory``, which must not hold one yet."""
        directory = Path(directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(directory / TRACE_NAME):
                raise TraceError("this folder holds a trace already: name another folder, or resume")
            descriptor = _open_locked(directory, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise ResourceError(f"no trace can be written here: {error.strerror}") from error
        writer = cls(directory, descriptor)
        try:
            writer.append("system", "run_started", header.model_dump(mode="json"))
        except BaseException:
            writer.close()
            (directory / TRACE_NAME).unlink(missing_ok=True)
            raise
        _sync_folder(directory)
        return writer

    @classmethod
    def resume(cls, directory: Path) -> Self:
        """Go on with a trace that was interrupted, stopped by a budget, or killed; a line torn in mid-write is cut off first."""
        directory = Path(directory)
        try:
            descriptor = _open_locked(directory, os.O_RDWR)
        except OSError as error:
            raise TraceError(f"there is no trace to resume here: {error.strerror}") from error
        try:
            reading = read_chain(read_trace(directory))
            problem = reading.problem or (None if reading.events else "it has no whole event")
            bad = blob_problem(reading.events, FileBlobStore(directory / BLOBS_NAME))
            if problem or bad:
                raise TraceError(f"the trace cannot be resumed, start a new one: {bad[1] if bad else problem}")
            if reading.position.seal is not None and reading.position.seal not in RESUMABLE:
                raise TraceError(f"the trace is sealed as {reading.position.seal}: there is nothing to resume")
        except BaseException:
            os.close(descriptor)
            raise
        writer = cls(directory, descriptor, reading.events, reading.position, reading.size)
        writer.append("system", "resumed", {"after": reading.position.seal or "killed", "torn_bytes": reading.torn})
        return writer

    @property
    def head(self) -> str:
        """Hash of the last event written."""
        return self._end[0].head

    @property
    def closed(self) -> bool:
        """No event can be added by this writer any more."""
        return not self._close.alive

    def append(self, actor: Actor, kind: Kind, payload: dict[str, Any], blobs: Iterable[str] = ()) -> Event:
        """Write one event and return it. ``blobs`` are digests of the store; each must be there."""
        with self._lock:
            if self.closed:
                raise TraceError("the trace is closed: no event can be added to it")
            named = tuple(blobs)
            for digest in named:
                if digest not in self.blobs:
                    raise TraceError(f"blob {digest[:12]} must be stored before an event names it")
            event = self._end[0].make(actor, kind, payload, named)
            self._write(event)
        # Outside the lock, so that a listener may wait for another thread that writes.
        for listener in tuple(self.listeners):
            listener(event)
        return event

    def seal(self, status: SealStatus) -> Event:
        """Write the last event and close. It names the blobs that no event named (those of a tool that failed midway)."""
        with self._lock:
            self._remove_leftovers()
            strays = [Path(name).name for name in unnamed_files(self.blobs.root, self._events) if is_blob_place(name)]
            payload = {"status": status, "events": self._end[0].count, "head": self.head}
            event = self.append("system", "seal", payload, strays)
            self.close()
        return event

    def close(self) -> None:
        """Let go of the folder without sealing; the trace can be resumed."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, event: Event) -> None:
        position, size = self._end
        data = encode_line(event)
        try:
            # Bytes past the known end are of an event whose writing was broken off; nobody has seen that event.
            os.ftruncate(self._descriptor, size)
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], size + written)
            os.fsync(self._descriptor)
        except OSError as error:
            raise ResourceError(f"the trace cannot be written: {error.strerror}") from error
        self._end = (position.after(event), size + len(data))
        self._events.append(event)

    def _remove_leftovers(self) -> None:
        for path in self.blobs.root.glob("*/.new-*"):  # of a process that was killed while it stored a blob
            path.unlink(missing_ok=True)


def _open_locked(directory: Path, flags: int) -> int:
    descriptor = os.open(directory / TRACE_NAME, flags | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise TraceError("another run is writing this trace: wait for it, or name another folder") from error
    return descriptor


def _sync_folder(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
