"""What a consultation leaves, and the events on the way to it. Knows neither how it is run nor how it is laid out."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from citrus_agent.core.errors import UsageError
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.report import Report
from citrus_agent.core.study import Study
from citrus_agent.core.trace import Event, Trace


@dataclass(frozen=True, eq=False)
class Consultation:
    """A finished consultation. Where no folder was named, ``directory`` is a temporary one that goes with this object."""

    report: Report
    evidence: EvidenceGraph
    trace: Trace
    directory: Path
    study: Study


class ConsultationStream(Iterator[Event]):
    """Events as they are written; ``consultation`` is there once they have ended. Close it to stop the run."""

    def __init__(self, events: Generator[Event, None, Consultation]) -> None:
        self._events = events
        self._consultation: Consultation | None = None

    def __next__(self) -> Event:
        try:
            return next(self._events)
        except StopIteration as end:
            self._consultation = end.value or self._consultation
            raise StopIteration from None

    @property
    def consultation(self) -> Consultation:
        """The result; ``UsageError`` while events are still to come."""
        if self._consultation is None:
            raise UsageError("the consultation has not ended: read the stream to its end first")
        return self._consultation

    def close(self) -> None:
        """Stop the run and seal its trace as interrupted."""
        self._events.close()
