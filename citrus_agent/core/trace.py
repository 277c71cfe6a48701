"""The trace of one run, read back; writer and check are at hand here too. Knows nothing of graphs, tools or planners."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from citrus_agent.core.blobs import FileBlobStore
from citrus_agent.core.chain import Event, TraceHeader
from citrus_agent.core.errors import CitrusError, TraceError
from citrus_agent.core.evidence import EVIDENCE_ADAPTER
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.report import Report
from citrus_agent.core.trace_check import BLOBS_NAME, TraceCheck, read_chain, read_trace, verify_trace
from citrus_agent.core.trace_writer import TraceWriter

__all__ = ["Event", "Trace", "TraceCheck", "TraceHeader", "TraceWriter", "verify_trace"]


@dataclass(frozen=True)
class Trace:
    """A run read back. The chain was followed on loading; blobs are checked when they are read, and by ``verify_trace``."""

    directory: Path
    header: TraceHeader
    events: tuple[Event, ...]

    @classmethod
    def load(cls, directory: Path) -> Trace:
        """Read a trace, sealed or not; a last line still being written is left out. ``TraceError`` names a broken event."""
        directory = Path(directory)
        reading = read_chain(read_trace(directory))
        if reading.problem or not reading.events:
            raise TraceError(f"event {len(reading.events)} does not hold: {reading.problem or 'the trace is empty'}")
        payload = reading.events[0].payload
        if payload is None:
            raise TraceError("the header of this trace was redacted: only verification is possible")
        return cls(directory, TraceHeader.model_validate(payload), reading.events)

    @property
    def blobs(self) -> FileBlobStore:
        """The run's blobs."""
        return FileBlobStore(self.directory / BLOBS_NAME)

    @property
    def head(self) -> str:
        """Hash of the last event."""
        return self.events[-1].hash

    @property
    def status(self) -> str | None:
        """How the run ended; None while it has no seal at its end."""
        payload = self.events[-1].payload
        return str(payload["status"]) if payload and self.events[-1].kind == "seal" else None

    @cached_property
    def evidence(self) -> EvidenceGraph:
        """The evidence graph, rebuilt from the tool results in order."""
        graph = EvidenceGraph()
        for event in self.events:
            try:
                if event.kind == "tool_result" and event.payload is not None:
                    for raw in event.payload["evidence"]:
                        graph.add(EVIDENCE_ADAPTER.validate_python(raw))
            except (KeyError, TypeError, ValidationError, CitrusError) as error:
                raise TraceError(f"the evidence of event {event.seq} cannot be rebuilt: {error}") from error
        return graph

    @property
    def report(self) -> Report | None:
        """The last report of the run, or None."""
        for event in reversed(self.events):
            if event.kind == "report" and event.payload is not None:
                try:
                    return Report.model_validate(event.payload["report"])
                except (KeyError, ValidationError) as error:
                    raise TraceError(f"the report of event {event.seq} cannot be read: {error}") from error
        return None
