"""Messages and JSON made fit for state and trace: small, finite, valid UTF-8. Knows no node."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage

from citrus_agent.core.dialogue import error_reply
from citrus_agent.core.errors import ContractRefusal, ToolError
from citrus_agent.core.protocols import BlobStore

_KEPT_METADATA = ("finish_reason", "model_name", "model_provider", "output_version")
_REFERENCE = "blob:"


def clean(text: str, limit: int = 20_000) -> str:
    """Text that can be written as UTF-8, cut at ``limit`` characters."""
    return text[:limit].encode("utf-8", "replace").decode()


def plain_json(value: Any) -> Any:
    """The value as JSON that a trace takes: NaN and infinity become strings, unknown objects their ``str``."""
    text = json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "replace").decode()
    return json.loads(text, parse_constant=str)


def hydrate(messages: Sequence[AnyMessage], blobs: BlobStore, *, images: bool) -> list[BaseMessage]:
    """The messages with image references replaced by base64 PNG blocks, or left out where the planner reads text only."""
    return [_hydrated(message, blobs, images) for message in messages]


def _hydrated(message: AnyMessage, blobs: BlobStore, images: bool) -> BaseMessage:
    if not isinstance(message, HumanMessage) or isinstance(message.content, str):
        return message
    blocks: list[str | dict[str, Any]] = []
    for block in message.content:
        digest = _reference(block)
        if digest is None:
            blocks.append(block)
        elif images:
            blocks.append({"type": "image", "base64": base64.b64encode(blobs.get(digest)).decode(), "mime_type": "image/png"})
    return message.model_copy(update={"content": blocks})


def _reference(block: str | dict[str, Any]) -> str | None:
    if isinstance(block, str) or block.get("type") != "image" or not str(block.get("id", "")).startswith(_REFERENCE):
        return None
    return str(block["id"]).removeprefix(_REFERENCE)


def kept(reply: AIMessage, taken: Iterable[str], step: int) -> AIMessage:
    """The reply as it is kept: without bulky metadata, with finite arguments, each call with an id that no other call of the run has."""
    used = set(taken)
    calls: list[ToolCall] = []
    for index, call in enumerate(reply.tool_calls):
        identity = call.get("id") or ""
        if not identity or identity in used:
            identity = f"call_{step + 1}_{index + 1}"
        used.add(identity)
        calls.append(ToolCall(name=call["name"], args=plain_json(call["args"]), id=identity, type="tool_call"))
    return AIMessage(
        content=clean(reply.content) if isinstance(reply.content, str) else plain_json(reply.content),
        tool_calls=calls,
        invalid_tool_calls=plain_json(reply.invalid_tool_calls),
        usage_metadata=reply.usage_metadata,
        response_metadata={name: reply.response_metadata[name] for name in _KEPT_METADATA if name in reply.response_metadata},
    )


def call_ids(messages: Iterable[AnyMessage]) -> list[str]:
    """Ids of all calls so far."""
    return [str(call["id"]) for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]


def told(call: ToolCall, error: ToolError) -> ToolMessage:
    """The reply to a failed call; ``artifact`` keeps code and field for the nodes and is not sent to the planner."""
    field = error.field if isinstance(error, ContractRefusal) else None
    content = clean(error_reply(error), 2000)
    return ToolMessage(
        content, tool_call_id=str(call["id"]), name=call["name"], status="error", artifact={"error": error.code, "field": field}
    )


def refusals(messages: Iterable[AnyMessage]) -> list[str]:
    """Fields of the input contract for which tools refused the study, in order."""
    marks = [message.artifact for message in messages if isinstance(message, ToolMessage) and isinstance(message.artifact, dict)]
    return [str(mark.get("field")) for mark in marks if mark.get("error") == ContractRefusal.code]
