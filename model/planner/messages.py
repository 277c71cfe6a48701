"""LangChain messages to the planner's own turns, with their images decoded. Knows no token and no network."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from numpy.typing import NDArray
from PIL import Image as PILImage

from citrus_agent.core.errors import PlannerError
from citrus_agent.model.planner.grammar import Context
from citrus_agent.model.planner.names import Names
from citrus_agent.model.planner.prompt import Turn, question_of

MAX_PIXELS = 64_000_000
_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_COUNT = re.compile(r"^Study: .*?\b(\d+) images?,", re.MULTILINE)


@dataclass
class Conversation:
    """Turns, the images in order of appearance, and what a call may refer to."""

    turns: list[Turn]
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    context: Context = field(default_factory=Context)
    names: Names = field(default_factory=Names)


def read(messages: Sequence[BaseMessage], tool_names: Sequence[str]) -> Conversation:
    """The conversation that the planner continues. Its system text is its own: a system message is not read."""
    conversation = Conversation([Turn("system", names=tuple(tool_names))])
    for message in messages:
        if isinstance(message, HumanMessage):
            _read_human(message, conversation)
        elif isinstance(message, AIMessage):
            _read_ai(message, conversation)
        elif isinstance(message, ToolMessage):
            reply = _text(message.content)
            conversation.turns.append(Turn("reply", text=conversation.names.reply(reply)))
            conversation.context.read_outcomes(reply)
            conversation.context.handles = conversation.names.kinds
        elif not isinstance(message, SystemMessage):
            raise PlannerError(f"this planner cannot read a {message.type} message: give system, human, ai and tool messages")
    if not any(turn.role == "user" for turn in conversation.turns):
        raise PlannerError("there is no question: give at least one human message")
    return conversation


def _read_human(message: HumanMessage, conversation: Conversation) -> None:
    images = [] if isinstance(message.content, str) else [_image(block) for block in message.content if _is_image(block)]
    text = _text(message.content)
    conversation.images += images
    conversation.turns.append(Turn("user", text=text, images=len(images)))
    context = conversation.context
    said = _COUNT.search(text)
    context.images = max(context.images, len(conversation.images), int(said[1]) if said else 0)
    context.read_question(question_of(text))


def _read_ai(message: AIMessage, conversation: Conversation) -> None:
    if message.invalid_tool_calls or not message.tool_calls:
        raise PlannerError("an ai message without a valid tool call cannot stand in this planner's conversation: leave it out")
    for call in message.tool_calls:
        conversation.turns.append(Turn("call", name=call["name"], arguments=conversation.names.arguments(call["args"])))
        calls = conversation.context.calls
        calls[call["name"]] = calls.get(call["name"], 0) + 1


def _text(content: str | list[Any]) -> str:
    if isinstance(content, str):
        return content
    parts = [
        part if isinstance(part, str) else part.get("text", "") for part in content if isinstance(part, str) or part.get("type") == "text"
    ]
    return "\n".join(parts)


def _is_image(block: Any) -> bool:
    return isinstance(block, Mapping) and block.get("type") in {"image", "image_url"}


def _image(block: Mapping[str, Any]) -> NDArray[np.uint8]:
    """uint8 (H, W) or (H, W, 3) from a standard image block or a data URI."""
    address = block.get("image_url", block.get("url"))
    address = address.get("url", "") if isinstance(address, Mapping) else address
    encoded = block.get("base64") or (block.get("data") if block.get("source_type") == "base64" else None)
    if encoded is None and isinstance(address, str) and _DATA_URI.match(address):
        encoded = address.split(",", 1)[1]
    if encoded is None:
        raise PlannerError("an image is only a reference: put its bytes into the message as base64; nothing is fetched")
    try:
        with PILImage.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PlannerError(f"an image of the message has more than {MAX_PIXELS} pixels: make it smaller")
            return np.asarray(image.convert("L" if image.mode in {"1", "L", "I;16", "I", "F"} else "RGB"))
    except (OSError, ValueError, binascii.Error) as error:
        raise PlannerError("an image of the message cannot be decoded: give PNG or JPEG bytes as base64") from error
