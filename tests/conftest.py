"""What all tests share: no network, and the real images where they are at hand."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")

BUSI = Path(__file__).resolve().parents[2] / "shared" / "busi"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Any attempt to reach another machine fails the test that made it."""
    real = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address[0]}")
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def busi() -> Path:
    """The folder of real breast ultrasound images; skips where it is not beside the checkout."""
    if not (BUSI / "benign").is_dir():
        pytest.skip("needs the BUSI images in ../shared/busi")
    return BUSI
