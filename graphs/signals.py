"""Ctrl-C and SIGTERM as a request to stop. Knows no run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_stop(action: Callable[[], Any]) -> Iterator[None]:
    """Call ``action`` at the first SIGINT or SIGTERM inside the block; the next one does what it did before.

    Python hands signals to the main thread only; in any other thread the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def handle(number: int, frame: FrameType | None) -> None:
        restore()
        action()

    for number in STOP_SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        # A generator that holds this block may be closed by another thread, which may not set handlers.
        if threading.current_thread() is threading.main_thread():
            restore()


def raise_keyboard_interrupt() -> None:
    """An action for ``on_stop`` where there is nothing to wind down: no ``except Exception`` on the way can swallow it."""
    raise KeyboardInterrupt
