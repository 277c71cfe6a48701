"""Blobs by content: atomic, checked on reading, safe under two processes, closed to paths."""

import hashlib
import subprocess
import sys

import pytest

from citrus_agent.core.blobs import FileBlobStore, MemoryBlobStore
from citrus_agent.core.errors import TraceError
from citrus_agent.core.protocols import BlobStore

WRITER = """
import sys
from pathlib import Path
from citrus_agent.core.blobs import FileBlobStore
store = FileBlobStore(Path(sys.argv[1]))
for n in range(60):
    data = bytes([n]) * 20_000
    assert store.get(store.put(data)) == data
"""


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path):
    return FileBlobStore(tmp_path / "blobs") if request.param == "file" else MemoryBlobStore()


def test_put_and_get(store):
    assert isinstance(store, BlobStore)
    digest = store.put(b"pixels")
    assert digest == hashlib.sha256(b"pixels").hexdigest()
    assert store.put(b"pixels") == digest
    assert store.get(digest) == b"pixels"
    assert digest in store
    assert "0" * 64 not in store
    with pytest.raises(TraceError, match="missing"):
        store.get("0" * 64)


def test_changed_blob_is_noticed(tmp_path):
    store = FileBlobStore(tmp_path)
    digest = store.put(b"pixels")
    store.path(digest).write_bytes(b"pixelz")
    with pytest.raises(TraceError, match="changed"):
        store.get(digest)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63 + "/", "0" * 65, "0" * 64 + "\n"])
def test_no_path_traversal(tmp_path, name):
    with pytest.raises(TraceError, match="not a sha256"):
        FileBlobStore(tmp_path).get(name)


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    store = FileBlobStore(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.put(b"pixels")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_two_processes_write_the_same_blobs(tmp_path):
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in running] == [0, 0]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 60
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in files)
