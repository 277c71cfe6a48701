"""Content-addressed bytes in a folder or in memory. Knows nothing of what the bytes mean."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from citrus_agent.core.errors import TraceError

_DIGEST = re.compile(r"[0-9a-f]{64}")


def sha256(data: bytes) -> str:
    """Hex digest of ``data``."""
    return hashlib.sha256(data).hexdigest()


def write_atomic(target: Path, data: bytes) -> None:
    """Write ``data`` beside ``target`` and rename it into place; nothing is left behind when that fails."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class FileBlobStore:
    """Blobs as files ``root/ab/abcd...``. Two processes may write the same blob: the rename is atomic and the content the same."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where the blob lies; a digest that is not 64 hex digits is refused, so no path can be smuggled in."""
        if not _DIGEST.fullmatch(digest):
            raise TraceError(f"{digest!r} is not a sha256 digest")
        return self.root / digest[:2] / digest

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its digest."""
        digest = sha256(data)
        target = self.path(digest)
        if target.exists():
            return digest
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, data)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes; ``TraceError`` when they are missing or no longer match their digest."""
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            raise TraceError(f"blob {digest[:12]} is missing") from error
        if sha256(data) != digest:
            raise TraceError(f"blob {digest[:12]} was changed after it was written")
        return data

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).exists()


class MemoryBlobStore:
    """Blobs in a dict, for tools run alone and for tests."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its digest."""
        digest = sha256(data)
        self._data[digest] = data
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes; ``TraceError`` when they are missing."""
        if digest not in self._data:
            raise TraceError(f"blob {digest[:12]} is missing")
        return self._data[digest]

    def __contains__(self, digest: str) -> bool:
        return digest in self._data
