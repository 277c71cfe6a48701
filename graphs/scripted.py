"""A planner that follows a script: for tests of tools, nodes and workflows without a model. Knows no tool and decides nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from citrus_agent.core.errors import PlannerError

Step = AIMessage | dict[str, Any] | Callable[[Sequence[BaseMessage]], Any]


class ScriptedPlanner(BaseChatModel):
    """A chat model whose n-th reply is the n-th step of ``steps``.

    A step is an ``AIMessage``, a call ``{"name": ..., "args": {...}}``, or a function from the messages so far to one of these.
    Which step is next follows from the messages alone (how many replies they hold), so a resumed run goes on where it was.
    Usage metadata counts words, not tokens.
    """

    steps: list[Any]
    simulated: bool = True

    def __init__(self, steps: Sequence[Step], **fields: Any) -> None:
        super().__init__(steps=list(steps), **fields)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The planner itself: a script calls what it calls."""
        return self

    def reply(self, messages: Sequence[BaseMessage]) -> AIMessage:
        """The next step as a message; ``PlannerError`` when the script has ended or the step is none of the three kinds."""
        position = sum(isinstance(message, AIMessage) for message in messages)
        if position >= len(self.steps):
            raise PlannerError(
                f"the script has {len(self.steps)} steps and step {position + 1} was asked for: add a step, or end with conclude"
            )
        step = self.steps[position]
        if callable(step):
            step = step(messages)
        if isinstance(step, dict):
            step = _call(step, position)
        if not isinstance(step, AIMessage):
            raise PlannerError(
                f"step {position + 1} is a {type(step).__name__}: give an AIMessage, a dict with name and args, or a function"
            )
        return step if step.usage_metadata else step.model_copy(update={"usage_metadata": _usage(messages, step)})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.reply(messages))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for part in _parts(self.reply(messages)):
            chunk = ChatGenerationChunk(message=part)
            if run_manager is not None:
                run_manager.on_llm_new_token(str(part.text), chunk=chunk)
            yield chunk


def _call(step: dict[str, Any], position: int) -> AIMessage:
    unknown = set(step) - {"name", "args", "id"}
    if unknown or "name" not in step:
        raise PlannerError(f"step {position + 1} must have name and args, and may have id; it has {', '.join(sorted(step)) or 'nothing'}")
    call = {"name": step["name"], "args": step.get("args", {}), "id": step.get("id", f"call_{position + 1}"), "type": "tool_call"}
    return AIMessage(content="", tool_calls=[call])


def _usage(messages: Sequence[BaseMessage], reply: AIMessage) -> UsageMetadata:
    read = sum(len(str(message.text).split()) for message in messages)
    written = len(str(reply.text).split()) + sum(len(json.dumps(call["args"], default=str).split()) + 1 for call in reply.tool_calls)
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)


def _parts(reply: AIMessage) -> Iterator[AIMessageChunk]:
    """The content, then each call in two pieces, then the usage: what a streaming planner sends."""
    if reply.content:
        yield AIMessageChunk(content=reply.content)
    for index, call in enumerate(reply.tool_calls):
        text = json.dumps(call["args"], default=str)
        half = len(text) // 2
        yield AIMessageChunk(
            content="", tool_call_chunks=[tool_call_chunk(name=call["name"], args=text[:half], id=call["id"], index=index)]
        )
        yield AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args=text[half:], index=index)])
    yield AIMessageChunk(content="", usage_metadata=reply.usage_metadata)
