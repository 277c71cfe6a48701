"""The planner as a LangChain chat model: every reply is one valid tool call. Knows no tool's code and no evidence but its handles."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, PrivateAttr

from citrus_agent.core.errors import PlannerError
from citrus_agent.model.planner.grammar import call_schema, matcher
from citrus_agent.model.planner.messages import Conversation, read
from citrus_agent.model.planner.names import Names
from citrus_agent.model.planner.network import CHANNELS, PlannerNetwork, pool
from citrus_agent.model.planner.prompt import Prompt, build
from citrus_agent.model.planner.tokenizer import CALL, CALL_END, PlannerTokenizer
from citrus_agent.model.planner.writer import RESERVE, CallWriter, Sampling, Slots
from citrus_agent.model.sentence import SentenceEncoder

Tools = Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool]


class ChatCitrusV(BaseChatModel):
    """Citrus-V nano's planner. Bind the tools, ``conclude`` and ``abstain`` first: each reply is exactly one call of them.

    ``embed_image``: uint8 (H, W[, 3]) to float32 (256, 64, 64). Greedy unless ``temperature`` is above 0. One call at a time: a lock
    is held while a reply is written. Its system prompt is its own, so system messages are not read.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    network: PlannerNetwork = Field(exclude=True, repr=False)
    tokenizer: PlannerTokenizer = Field(exclude=True, repr=False)
    embed_image: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = Field(exclude=True, repr=False)
    sentences: SentenceEncoder = Field(default_factory=SentenceEncoder, exclude=True, repr=False)
    name_of_model: str = "citrus-v-nano"
    digest: str = ""
    max_tokens: int = Field(default=1024, gt=RESERVE)
    temperature: float = Field(default=0.0, ge=0)
    seed: int = 0
    _lock: Lock = PrivateAttr(default_factory=Lock)

    @property
    def _llm_type(self) -> str:
        return "citrus-v"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model": self.name_of_model,
            "digest": self.digest,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }

    def bind_tools(
        self, tools: Tools, *, tool_choice: str | dict[str, Any] | bool | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind what may be called. ``tool_choice``: a tool's name allows only that one; auto, any and required allow all."""
        described = [convert_to_openai_tool(tool) for tool in tools]
        _chosen(described, tool_choice)
        return self.bind(tools=described, tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        whole: AIMessageChunk | None = None
        for chunk in self._stream(messages, stop, run_manager, **kwargs):
            assert isinstance(chunk.message, AIMessageChunk)
            whole = chunk.message if whole is None else whole + chunk.message
        if whole is None or not whole.tool_calls:
            raise PlannerError("the planner wrote no call: its weights or its tokenizer are damaged, reinstall the package")
        message = AIMessage(
            content="",
            tool_calls=whole.tool_calls,
            usage_metadata=whole.usage_metadata,
            response_metadata=whole.response_metadata,
            id=whole.id,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        tools = _chosen(kwargs.get("tools") or [], kwargs.get("tool_choice"))
        conversation = read(messages, [tool["function"]["name"] for tool in kwargs.get("tools") or []])
        prompt = build(conversation.turns, self.tokenizer, reply=True)
        schema = call_schema(tools, conversation.context)
        run = f"run-{uuid.uuid4()}"
        with self._lock:
            slots = self._slots(conversation, prompt)
            pieces = CallWriter(self.network, self.tokenizer).write(
                prompt, slots, matcher(schema, self.tokenizer), self.max_tokens, Sampling(self.temperature, self.seed)
            )
            yield from self._chunks(pieces, prompt, conversation.names, run, run_manager)

    def _chunks(
        self, pieces: Iterator[list[int]], prompt: Prompt, names: Names, run: str, run_manager: CallbackManagerForLLMRun | None
    ) -> Iterator[ChatGenerationChunk]:
        """Chunks of the call's name and arguments, then one with the usage."""
        splitter, written = _Splitter(f"call_{uuid.uuid4().hex[:24]}", names), []
        for piece in pieces:
            written += piece
            for part in splitter.feed(self.tokenizer.decode(written)):
                chunk = ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part], id=run))
                if run_manager is not None:
                    run_manager.on_llm_new_token("", chunk=chunk)
                yield chunk
        usage = UsageMetadata(input_tokens=len(prompt.ids), output_tokens=len(written), total_tokens=len(prompt.ids) + len(written))
        facts = {"model_name": self.name_of_model, "model_digest": self.digest, "finish_reason": "tool_calls"}
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", usage_metadata=usage, response_metadata=facts, id=run, chunk_position="last")
        )

    def _slots(self, conversation: Conversation, prompt: Prompt) -> Slots:
        pixels = [pool(self.embed_image(image)) for image in conversation.images]
        images = np.concatenate(pixels) if pixels else np.zeros((0, CHANNELS), np.float32)
        return Slots(images, self.sentences.encode([text for _, text in prompt.sentences]))


class _Splitter:
    """Takes the growing text of a call apart into tool-call chunks: the name first, then the arguments' JSON as it grows."""

    def __init__(self, call_id: str, names: Names) -> None:
        self._id = call_id
        self._names = names
        self._named = False
        self._sent = 0

    def feed(self, text: str) -> Iterator[Any]:
        """Chunks for what is new in ``text``, the whole call so far. The last brace closes the call, not its arguments."""
        body = text.removeprefix(CALL).split(CALL_END)[0].strip()
        head, mark, arguments = body.partition(', "arguments": ')
        if not mark:
            return
        if not self._named:
            self._named = True
            yield tool_call_chunk(name=json.loads(head + "}")["name"], args="", id=self._id, index=0)
        closed = text.endswith(CALL_END)
        ready = self._names.handles(arguments[:-1] if closed else arguments.rstrip("}\ufffd"), whole=closed)
        if len(ready) > self._sent:
            yield tool_call_chunk(args=ready[self._sent :], index=0)
            self._sent = len(ready)


def _chosen(tools: Sequence[Mapping[str, Any]], choice: str | dict[str, Any] | bool | None) -> list[Mapping[str, Any]]:
    """The tools that may be called under ``tool_choice``."""
    if not tools or choice == "none":
        raise PlannerError("this planner replies with tool calls only: bind tools, and leave tool_choice at auto, any or a tool's name")
    if choice is None or isinstance(choice, bool) or choice in ("auto", "any", "required"):
        return list(tools)
    name = choice.get("function", {}).get("name") if isinstance(choice, dict) else choice
    chosen = [tool for tool in tools if tool["function"]["name"] == name]
    if not chosen:
        raise PlannerError(f"tool_choice names {name!r}, which is not bound; bound are {', '.join(t['function']['name'] for t in tools)}")
    return chosen
