"""The links of a trace: events, their commitments and hashes, and which event may follow which. Knows no file and no blob.

A chain proves that nothing was changed since its head was known. It cannot prove who wrote it: whoever rewrites every event
from some point on, or cuts a trace back to an earlier seal, gets a chain that holds, with another head. Keep the head elsewhere.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from citrus_agent.core.blobs import sha256
from citrus_agent.core.errors import TraceError
from citrus_agent.core.evidence import canonical_json
from citrus_agent.core.study import SCHEMA_VERSION, Noun

Actor = Literal["user", "planner", "tool", "verifier", "system"]
Kind = Literal[
    "run_started", "study", "question", "plan", "tool_call", "tool_result", "tool_error", "verification", "report",
    "budget", "resumed", "attempt_failed", "seal",
]  # fmt: skip
SealStatus = Literal["complete", "interrupted", "budget", "failed"]
RESUMABLE: frozenset[SealStatus] = frozenset({"interrupted", "budget"})
GENESIS = "0" * 64


def _utc(value: str) -> str:
    if datetime.fromisoformat(value).utcoffset() != timedelta(0):
        raise ValueError("a time is ISO 8601 in UTC")
    return value


UtcTime = Annotated[str, AfterValidator(_utc)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Salt = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


def utc_now() -> str:
    """The time as traces write it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class TraceHeader(Noun):
    """Payload of the first event: what ran. ``models`` are sha256 digests by part."""

    run_id: str
    created: UtcTime = Field(default_factory=utc_now)
    versions: dict[str, str] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    configuration: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, str] = Field(default_factory=dict)
    simulated: bool = False


class SealPayload(Noun):
    """Payload of a seal: how the run ended, and the count and head of the events before it."""

    status: SealStatus
    events: int
    head: Digest


class Event(Noun):
    """One line of a trace. ``payload`` and ``salt`` are both None where the payload was redacted; the hash does not cover them."""

    schema_version: Literal[1] = SCHEMA_VERSION
    seq: int = Field(ge=0)
    time: UtcTime
    actor: Actor
    kind: Kind
    payload: dict[str, Any] | None
    salt: Salt | None
    commitment: Digest
    blobs: tuple[Digest, ...] = ()
    previous: Digest
    hash: Digest

    @property
    def redacted(self) -> bool:
        """The payload was taken out after the event was written."""
        return self.payload is None


def commitment_of(salt: str, payload: dict[str, Any]) -> str:
    """sha256 of the salt's bytes followed by the payload's canonical JSON."""
    return sha256(bytes.fromhex(salt) + canonical_json(payload))


def link_hash(fields: dict[str, Any]) -> str:
    """sha256 of the canonical JSON of an event without payload, salt and hash."""
    return sha256(canonical_json({name: value for name, value in fields.items() if name not in {"payload", "salt", "hash"}}))


def encode_line(event: Event) -> bytes:
    """The event's line in ``trace.jsonl``, newline included."""
    return canonical_json(event.model_dump()) + b"\n"


def decode_line(line: bytes) -> Event:
    """The event of a line without its newline; ``TraceError`` unless the line is, byte for byte, what would be written."""
    try:
        event = Event.model_validate(json.loads(line.decode()))
        exact = encode_line(event) == line + b"\n"
    except (ValueError, RecursionError) as error:
        raise TraceError("the line is not an event of this schema") from error
    if not exact:
        raise TraceError("the line is not the canonical JSON of its event")
    return event


@dataclass(frozen=True)
class Position:
    """Where a chain stands: how many events, the last hash, and the status of the seal it ends with, if it ends with one."""

    count: int = 0
    head: str = GENESIS
    seal: SealStatus | None = None

    def make(self, actor: Actor, kind: Kind, payload: dict[str, Any], blobs: Iterable[str] = ()) -> Event:
        """The next event, with a fresh salt; ``TraceError`` when the payload is not JSON or the event is out of order."""
        try:
            plain = json.loads(canonical_json(payload))
            salt = secrets.token_hex(16)
            fields = {
                "schema_version": SCHEMA_VERSION, "seq": self.count, "time": utc_now(), "actor": actor, "kind": kind, "payload": plain,
                "salt": salt, "commitment": commitment_of(salt, plain), "blobs": tuple(dict.fromkeys(blobs)), "previous": self.head,
            }  # fmt: skip
            event = Event.model_validate({**fields, "hash": link_hash(fields)})
        except (TypeError, ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise TraceError(f"the {kind} event cannot be written, give a payload of plain, finite JSON: {reason}") from error
        self.after(event)
        return event

    def after(self, event: Event) -> Position:
        """Where the chain stands with ``event`` added; ``TraceError`` says in one sentence why it cannot be."""
        problem = self._link_problem(event) or _content_problem(event) or self._order_problem(event)
        if problem:
            raise TraceError(problem)
        status = None if event.kind != "seal" else SealPayload.model_validate(event.payload).status
        return Position(self.count + 1, event.hash, status)

    def _link_problem(self, event: Event) -> str | None:
        if event.seq != self.count:
            return f"event {self.count} is expected here and event {event.seq} is found"
        if event.previous != self.head:
            return "it does not name the hash of the event before it"
        if event.hash != link_hash(event.model_dump()):
            return "its hash does not match its content"
        return None

    def _order_problem(self, event: Event) -> str | None:
        if (event.kind == "run_started") != (self.count == 0):
            return "a trace starts with run_started, once"
        if self.seal is not None and (self.seal not in RESUMABLE or event.kind != "resumed"):
            return f"a {event.kind} event follows the seal {self.seal!r}"
        if event.kind == "seal":
            return self._seal_problem(event)
        return None

    def _seal_problem(self, event: Event) -> str | None:
        try:
            seal = SealPayload.model_validate(event.payload)
        except ValidationError:
            return "the seal does not say status, events and head"
        if (seal.events, seal.head) != (self.count, self.head):
            return "the seal names another count or head than the events before it have"
        return None


def _content_problem(event: Event) -> str | None:
    if event.payload is None or event.salt is None:
        return None if event.payload is None and event.salt is None else "payload and salt are redacted together or not at all"
    if event.commitment != commitment_of(event.salt, event.payload):
        return "its payload does not match its commitment"
    if event.kind == "run_started":
        try:
            TraceHeader.model_validate(event.payload)
        except ValidationError:
            return "its payload is not a trace header"
    return None
