"""Workflows as LangGraph state machines. Assembly is the one place that names concrete classes. Importing it loads no langgraph."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from citrus_agent.graphs.assembly import Assembly, assemble
    from citrus_agent.graphs.budget import Budget
    from citrus_agent.graphs.consult import build_consult_graph
    from citrus_agent.graphs.nodes import after_plan, after_verify, make_act, make_conclude, make_plan, make_verify
    from citrus_agent.graphs.run import run_consultation
    from citrus_agent.graphs.scripted import ScriptedPlanner
    from citrus_agent.graphs.state import ConsultState, first_state

_HOMES = {
    "Assembly": "assembly",
    "Budget": "budget",
    "ConsultState": "state",
    "ScriptedPlanner": "scripted",
    "after_plan": "nodes",
    "after_verify": "nodes",
    "assemble": "assembly",
    "build_consult_graph": "consult",
    "first_state": "state",
    "make_act": "nodes",
    "make_conclude": "nodes",
    "make_plan": "nodes",
    "make_verify": "nodes",
    "run_consultation": "run",
}
__all__ = [
    "Assembly",
    "Budget",
    "ConsultState",
    "ScriptedPlanner",
    "after_plan",
    "after_verify",
    "assemble",
    "build_consult_graph",
    "first_state",
    "make_act",
    "make_conclude",
    "make_plan",
    "make_verify",
    "run_consultation",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
