"""The ``plan`` node: asks the planner for the next call. Knows no planner, no tool's work and no trace format.

A reply that cannot be used goes back to the planner once, with the reason; the second one ends the run as ``planner_failed``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ValidationError

from citrus_agent.core.dialogue import TERMINAL_CALLS
from citrus_agent.core.errors import BudgetExceeded, ConfigurationError, Interrupted, PlannerError, ToolArgumentError
from citrus_agent.graphs.bounded import call_bounded
from citrus_agent.graphs.budget import Budget, exceeded
from citrus_agent.graphs.state import ConsultState, Desk
from citrus_agent.graphs.words import call_ids, clean, hydrate, kept, plain_json, told

Planner = Runnable[Any, AIMessage]
ATTEMPTS = 2


class Node(Protocol):
    """A LangGraph node: state and config in, what changes in the state out."""

    def __call__(self, state: ConsultState, config: RunnableConfig) -> dict[str, Any]:
        """What changes in the state."""


def make_plan(planner: BaseChatModel, tools: Sequence[BaseTool], *, budget: Budget | None = None, images: bool = True) -> Node:
    """The node that asks ``planner`` for the next call.

    Args:
        planner: a chat model with ``bind_tools``.
        tools: what it may call, besides ``conclude`` and ``abstain``.
        budget: checked before each turn.
        images: False leaves the pixels out of what the planner reads.
    """
    bound = _bind(planner, tools)
    names = frozenset(tool.name for tool in tools)
    limits = budget or Budget()

    def plan(state: ConsultState, config: RunnableConfig) -> dict[str, Any]:
        """Next call of the planner, or the end: a draft, or ``stopped_by``."""
        desk = Desk.of(state, config)
        turn = _Turn(bound, names, limits, desk, state, images)
        try:
            limits.check(state.get("steps", 0), state.get("seconds", 0.0), state.get("tokens", 0))
            draft = turn.play()
        except BudgetExceeded as error:
            desk.record("system", "budget", {"budget": error.budget, "message": str(error)})
            return {**turn.spent(), "stopped_by": error.budget, "draft": None}
        return {**turn.spent(), "steps": 1, "draft": draft}

    return plan


def _bind(planner: BaseChatModel, tools: Sequence[BaseTool]) -> Planner:
    names = [*TERMINAL_CALLS, *(tool.name for tool in tools)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"two tools are named {' and '.join(twice)}: rename one")
    try:
        return planner.bind_tools([*tools, *map(terminal_tool, TERMINAL_CALLS)])
    except NotImplementedError as error:
        raise ConfigurationError(f"{type(planner).__name__} cannot call tools: choose a chat model with bind_tools") from error


def terminal_tool(name: str) -> dict[str, Any]:
    """``conclude`` or ``abstain`` as a tool description that every provider takes."""
    described = convert_to_openai_tool(TERMINAL_CALLS[name])
    described["function"]["name"] = name
    return described


@dataclass
class _Turn:
    """One turn of the planner: at most two attempts."""

    bound: Planner
    names: frozenset[str]
    budget: Budget
    desk: Desk
    state: ConsultState
    images: bool
    new: list[AnyMessage] = field(default_factory=list)
    tokens: int = 0
    started: float = field(default_factory=time.monotonic)

    def spent(self) -> dict[str, Any]:
        return {"messages": self.new, "seconds": time.monotonic() - self.started, "tokens": self.tokens}

    def play(self) -> dict[str, Any] | None:
        """The draft when the planner ended the run (or failed), None when it called tools."""
        problem = ""
        for _ in range(ATTEMPTS):
            reply, problem = self._attempt()
            if reply is not None and not problem:
                call = reply.tool_calls[0]
                ends = call["name"] in TERMINAL_CALLS
                return {"id": call["id"], "name": call["name"], "arguments": call["args"]} if ends else None
            if reply is not None:
                self.new += _feedback(reply, problem)
        return {"id": None, "name": "abstain", "arguments": {"reason": "planner_failed", "message": clean(problem, 500)}}

    def _attempt(self) -> tuple[AIMessage | None, str]:
        started = time.monotonic()
        messages = [*self.state["messages"], *self.new]
        try:
            reply = self._ask(hydrate(messages, self.desk.case.blobs, images=self.images))
        except PlannerError as error:
            self._record(None, str(error), started)
            return None, str(error)
        reply = kept(reply, call_ids(messages), self.state.get("steps", 0))
        problem = problem_of(reply, self.names)
        self.tokens += reply.usage_metadata["output_tokens"] if reply.usage_metadata else 0
        self._record(reply, problem, started)
        self.new.append(reply)
        return reply, problem

    def _ask(self, messages: list[BaseMessage]) -> AIMessage:
        left = self.budget.left(self.state.get("seconds", 0.0) + time.monotonic() - self.started)
        try:
            reply = call_bounded(lambda: self.bound.invoke(messages), left, self.desk.cancel)
        except TimeoutError as error:
            if time.monotonic() - self.started < left:
                raise PlannerError("the planner's own time limit ended the call") from error
            raise exceeded("seconds", self.budget.seconds) from error
        except (Interrupted, PlannerError):
            raise
        except Exception as error:  # a served planner fails in ways that only its library knows
            raise PlannerError(f"the planner raised {type(error).__name__}: {clean(str(error), 300)}") from error
        if not isinstance(reply, AIMessage):
            raise PlannerError(f"the planner returned a {type(reply).__name__}, not an AIMessage")
        return reply

    def _record(self, reply: AIMessage | None, problem: str, started: float) -> None:
        calls = [] if reply is None else [{"id": c["id"], "name": c["name"], "arguments": c["args"]} for c in reply.tool_calls]
        usage = {} if reply is None else plain_json(reply.usage_metadata or {})
        payload = {"content": "" if reply is None else clean(str(reply.text)), "tool_calls": calls, "usage": usage}
        payload["seconds"] = time.monotonic() - started
        if problem:
            payload["problem"] = clean(problem, 2000)
        self.desk.record("planner", "plan", payload)


def problem_of(reply: AIMessage, names: frozenset[str]) -> str:
    """Why a reply cannot be used, as the planner is told; empty when it can."""
    if reply.invalid_tool_calls:
        return "the arguments of the call are not valid JSON: send one call again"
    called = [call["name"] for call in reply.tool_calls]
    if not called:
        return "there is no tool call: call one tool, or conclude, or abstain"
    if unknown := [name for name in called if name not in names and name not in TERMINAL_CALLS]:
        return f"there is no tool {', '.join(unknown)}; there is: {', '.join(sorted(names))}, conclude, abstain"
    if not names.issuperset(called):
        return _terminal_problem(reply)
    return ""


def _terminal_problem(reply: AIMessage) -> str:
    if len(reply.tool_calls) > 1:
        return "conclude or abstain ends the run: call it alone"
    call = reply.tool_calls[0]
    try:
        TERMINAL_CALLS[call["name"]].model_validate(call["args"])
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_input=False)[:4])
        return f"the arguments of {call['name']} are wrong: {wrong}"
    return ""


def _feedback(reply: AIMessage, problem: str) -> list[AnyMessage]:
    replies: list[AnyMessage] = [told(call, ToolArgumentError(problem)) for call in reply.tool_calls]
    replies += [
        ToolMessage(f"error tool_argument: {problem}", tool_call_id=str(call["id"]), status="error")
        for call in reply.invalid_tool_calls
        if call.get("id")
    ]
    return replies or [HumanMessage(problem)]
