"""The ``act`` node: runs the calls that the planner asked for. Knows no tool.

Nothing that a tool does leaves this node but ``Interrupted``: each failure becomes a ``tool_error`` event and a message to the planner.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import BaseModel, ValidationError

from citrus_agent.core.case import Case
from citrus_agent.core.dialogue import tool_reply
from citrus_agent.core.errors import CitrusError, Interrupted, ToolArgumentError, ToolError, ToolFailure, ToolTimeout
from citrus_agent.core.evidence import EVIDENCE_ADAPTER, DocumentField, Evidence, canonical_json
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.graphs.bounded import call_bounded
from citrus_agent.graphs.budget import UNLIMITED, Budget
from citrus_agent.graphs.planning import Node
from citrus_agent.graphs.state import ConsultState, Desk
from citrus_agent.graphs.words import clean, told

SAME_CALL_LIMIT = 2
TEXT_LIMIT = 2000
"""Characters kept of the text that a third party's tool returns."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


def make_act(tools: Sequence[BaseTool], timeout: float = 60.0, *, budget: Budget = UNLIMITED) -> Node:
    """The node that runs the calls of the last message, one after the other.

    Args:
        tools: ours return evidence; the text that any other LangChain tool returns becomes a ``DocumentField``.
        timeout: seconds that one call may take.
        budget: no call is waited for longer than its seconds allow.
    """
    by_name = {tool.name: tool for tool in tools}

    def act(state: ConsultState, config: RunnableConfig) -> dict[str, Any]:
        """The replies to the calls, and their evidence."""
        desk = Desk.of(state, config)
        started, messages, evidence = time.monotonic(), list[AnyMessage](), list[Evidence]()
        for call in pending_calls(state):
            left = budget.left(state.get("seconds", 0.0) + time.monotonic() - started)
            job = _Job(call, by_name.get(call["name"]), desk, min(timeout, left), config)
            message, items = job.done(_times_before(state, call))
            messages.append(message)
            evidence += items
        raw = [item.model_dump(mode="json") for item in evidence]
        return {"messages": messages, "evidence": raw, "seconds": time.monotonic() - started}

    return act


def pending_calls(state: ConsultState) -> list[ToolCall]:
    """The calls of the last message."""
    last = state["messages"][-1]
    return list(last.tool_calls) if isinstance(last, AIMessage) else []


def call_key(name: str, arguments: Mapping[str, Any]) -> str:
    """The same for two calls with the same name and arguments."""
    return f"{name} {canonical_json(arguments).decode()}"


def _times_before(state: ConsultState, call: ToolCall) -> int:
    key = call_key(call["name"], call["args"])
    before = [other for message in state["messages"][:-1] if isinstance(message, AIMessage) for other in message.tool_calls]
    return sum(call_key(other["name"], other["args"]) == key for other in before)


@dataclass
class _Job:
    """One call of one tool."""

    call: ToolCall
    tool: BaseTool | None
    desk: Desk
    seconds: float
    config: RunnableConfig

    def done(self, times_before: int) -> tuple[ToolMessage, list[Evidence]]:
        known = self.desk.finished.get(f"{self.call['id']} {call_key(self.call['name'], self.call['args'])}")
        if known is not None:  # it ended before the run was stopped, and only its checkpoint is missing
            items = [EVIDENCE_ADAPTER.validate_python(raw) for raw in known["evidence"]]
            self._keep(items)
            return self._answer(items), items
        self._record("planner", "tool_call", {"arguments": self.call["args"], "node": "act"})
        started = time.monotonic()
        try:
            items = self._run(times_before)
            self._keep(items)
        except ToolError as error:
            payload = {"code": error.code, "message": clean(str(error), TEXT_LIMIT), "seconds": time.monotonic() - started}
            self._record("tool", "tool_error", payload)
            return told(self.call, error), []
        raw = [item.model_dump(mode="json") for item in items]
        self._record("tool", "tool_result", {"evidence": raw, "seconds": time.monotonic() - started}, _digests(raw))
        return self._answer(items), items

    def _record(self, actor: Any, kind: Any, payload: dict[str, Any], blobs: Sequence[str] = ()) -> None:
        self.desk.record(actor, kind, {"id": self.call["id"], "name": self.call["name"], **payload}, blobs)

    def _answer(self, items: Sequence[Evidence]) -> ToolMessage:
        text = clean(tool_reply(items, self.desk.case.evidence))
        return ToolMessage(text, tool_call_id=str(self.call["id"]), name=self.call["name"])

    def _run(self, times_before: int) -> list[Evidence]:
        name, tool = self.call["name"], self.tool
        if tool is None:
            raise ToolArgumentError(f"there is no tool {name} here")
        if times_before >= SAME_CALL_LIMIT:
            raise ToolArgumentError(
                f"{name} was called {times_before} times with these arguments: conclude with the evidence there is, or abstain"
            )
        config: RunnableConfig = {"configurable": {"case": self.desk.case}}
        if callbacks := self.config.get("callbacks"):
            config["callbacks"] = callbacks
        try:
            output = call_bounded(lambda: tool.invoke(dict(self.call), config), self.seconds, self.desk.cancel)
            return evidence_of(output, name, self.desk.case)
        except (ToolError, Interrupted):
            raise
        except TimeoutError as error:
            raise ToolTimeout(f"{name} ran past its limit of {self.seconds:g} s: go on without it") from error
        except ValidationError as error:
            raise _from_validation(name, tool, error) from error
        except (Exception, SystemExit) as error:
            raise ToolFailure(f"{name} raised {type(error).__name__}: {clean(str(error), 200)}") from error

    def _keep(self, items: Sequence[Evidence]) -> None:
        try:
            EvidenceGraph([*self.desk.case.evidence, *items])  # all or none: an unknown parent is found before anything is added
        except ToolArgumentError as error:
            raise ToolFailure(f"{self.call['name']} returned evidence without ground: {error}") from error
        for item in items:
            self.desk.case.evidence.add(item)


def _from_validation(name: str, tool: BaseTool, error: ValidationError) -> ToolError:
    wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_input=False)[:4])
    schema = tool.args_schema
    of_arguments = isinstance(schema, type) and issubclass(schema, BaseModel) and error.title == schema.__name__
    return (
        ToolArgumentError(f"the arguments of {name} are wrong: {wrong}")
        if of_arguments
        else ToolFailure(f"{name} returned nonsense: {wrong}")
    )


def evidence_of(output: Any, name: str, case: Case) -> list[Evidence]:
    """What a tool returned, as evidence: its artifact where that is evidence, else its text as a ``DocumentField``.

    Raises:
        ToolFailure: the output is no tool message, or holds a number that is not finite.
    """
    if not isinstance(output, ToolMessage):
        raise ToolFailure(f"{name} returned a {type(output).__name__} and not a result: go on without it")
    if output.status == "error":
        raise ToolFailure(f"{name} failed: {clean(str(output.text), 200)}")
    if isinstance(output.artifact, list):
        return [_checked(item, name) for item in output.artifact]
    text = clean(str(output.text), TEXT_LIMIT).strip()
    if _not_finite(text):
        raise ToolFailure(f"{name} returned a number that is not finite: do not use it")
    # A hint, never a claim of its own: whether the tool's word holds outside of its own scope is not known here.
    field = DocumentField(tool=name, name=name, value=text, simulated=case.study.simulated, validated_scope=False)
    return [field] if text else []


def _checked(item: Any, name: str) -> Evidence:
    try:
        return EVIDENCE_ADAPTER.validate_python(item.model_dump(mode="json"))
    except (AttributeError, ValueError, CitrusError) as error:
        raise ToolFailure(f"{name} returned something that is not evidence, or a number that is not finite: do not use it") from error


def _not_finite(text: str) -> bool:
    if text.lower().lstrip("+-") in {"nan", "inf", "infinity"}:
        return True
    found: list[str] = []
    try:
        json.loads(text, parse_constant=found.append)
    except ValueError:
        return False
    return bool(found)


def _digests(value: Any) -> list[str]:
    """All strings in the value that look like a blob's digest."""
    if isinstance(value, str):
        return [value] if _DIGEST.fullmatch(value) else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [digest for part in parts for digest in _digests(part)]
