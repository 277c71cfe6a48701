"""Runs a call in a thread of its own, with a time limit and a way to stop waiting. Knows nothing of what is called.

Python cannot stop a thread. A call past its limit is abandoned: it may go on, but nobody waits for it, its result is dropped, and as
a daemon thread it does not keep the process alive.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from citrus_agent.core.errors import Interrupted

Result = TypeVar("Result")
CALL_THREAD = "citrus-agent-call"
_POLL = 0.05  # s between looks at the cancel event; a result is seen at once


def stop_if_cancelled(cancel: threading.Event | None) -> None:
    """Raise ``Interrupted`` when the run is to stop."""
    if cancel is not None and cancel.is_set():
        raise Interrupted("the run was stopped: run it again with --resume to go on")


def call_bounded(function: Callable[[], Result], seconds: float, cancel: threading.Event | None = None) -> Result:
    """What ``function`` returns or raises; ``TimeoutError`` past ``seconds``, ``Interrupted`` when ``cancel`` is set meanwhile."""
    results: list[Result] = []
    errors: list[BaseException] = []
    done = threading.Event()
    context = contextvars.copy_context()  # LangChain finds its callbacks there

    def work() -> None:
        try:
            results.append(context.run(function))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=work, daemon=True, name=CALL_THREAD).start()
    deadline = time.monotonic() + seconds
    while not done.wait(max(min(_POLL, deadline - time.monotonic()), 0.0)):
        stop_if_cancelled(cancel)
        if time.monotonic() >= deadline:
            raise TimeoutError
    if errors:
        raise errors[0]
    return results[0]
