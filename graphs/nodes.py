"""The nodes and routes of a consultation, for anybody's own ``StateGraph``. Knows no workflow.

A node is made by its factory and reads ``config["configurable"]["case"]``. ``plan`` is followed by ``after_plan`` (to ``act`` or
``verify``), ``act`` by ``plan``, ``verify`` by ``after_verify`` (to ``plan`` or ``conclude``).
"""

from __future__ import annotations

from typing import Literal

from citrus_agent.graphs.acting import make_act
from citrus_agent.graphs.concluding import make_conclude, make_verify
from citrus_agent.graphs.planning import Node, make_plan
from citrus_agent.graphs.state import ConsultState

__all__ = ["Node", "after_plan", "after_verify", "make_act", "make_conclude", "make_plan", "make_verify"]


def after_plan(state: ConsultState) -> Literal["act", "verify"]:
    """Calls go to ``act``; a conclusion, an abstention or a used-up budget to ``verify``."""
    return "verify" if state.get("draft") or state.get("stopped_by") else "act"


def after_verify(state: ConsultState) -> Literal["plan", "conclude"]:
    """A draft that was sent back goes to ``plan``."""
    return "conclude" if state.get("draft") or state.get("stopped_by") else "plan"
