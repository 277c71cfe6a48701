"""No test of this room may reach the network; one library with the real embedder is shared."""

import socket

import pytest

from citrus_agent.knowledge import open_library


@pytest.fixture(scope="session", autouse=True)
def no_network():
    real = socket.socket.connect

    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise AssertionError(f"a test tried to reach {address}")
        return real(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    opened = open_library(tmp_path_factory.mktemp("cache"))
    yield opened
    opened.close()
