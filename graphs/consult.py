"""The workflow ``consult``: plan and act in turns, then verify, then conclude. Knows no concrete tool, planner or file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from citrus_agent.graphs.budget import Budget
from citrus_agent.graphs.nodes import after_plan, after_verify, make_act, make_conclude, make_plan, make_verify
from citrus_agent.graphs.state import ConsultState

ConsultGraph = CompiledStateGraph[ConsultState, None, ConsultState, ConsultState]


def build_consult_graph(
    planner: BaseChatModel,
    tools: Sequence[BaseTool],
    *,
    budget: Budget | None = None,
    tool_timeout: float = 60.0,
    images: bool = True,
    model: str = "",
    model_digest: str | None = None,
    simulated: bool = False,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> ConsultGraph:
    """The compiled graph; invoke it with ``first_state(study, question)`` and ``config["configurable"]["case"]``.

    Args:
        planner: a chat model with ``bind_tools``.
        tools: what it may call.
        budget: steps, seconds and tokens of a run.
        tool_timeout: seconds that one tool call may take.
        images: False: the planner reads text only.
        model: name that the report gives.
        model_digest: sha256 of its weights.
        simulated: True marks the report.
        checkpointer: any LangGraph checkpointer; None keeps nothing.
    """
    limits = budget or Budget()
    flow = StateGraph(ConsultState)
    flow.add_node("plan", make_plan(planner, tools, budget=limits, images=images))
    flow.add_node("act", make_act(tools, tool_timeout, budget=limits))
    flow.add_node("verify", make_verify())
    flow.add_node("conclude", make_conclude(model, model_digest, simulated=simulated))
    flow.add_edge(START, "plan")
    flow.add_conditional_edges("plan", after_plan)
    flow.add_edge("act", "plan")
    flow.add_conditional_edges("verify", after_verify)
    flow.add_edge("conclude", END)
    return flow.compile(checkpointer=checkpointer, name="consult")


def make_graph() -> ConsultGraph:
    """The graph for ``langgraph.json``, assembled from ``CITRUS_*`` settings.

    A server has no open case: the state's ``study`` says what to read, and its blobs lie in ``blobs`` in the cache folder.
    """
    from citrus_agent.core.blobs import FileBlobStore
    from citrus_agent.core.settings import Settings, ensure_cache_dir
    from citrus_agent.graphs.assembly import assemble

    settings = Settings()
    store = FileBlobStore(ensure_cache_dir(settings, "blobs"))
    return assemble(settings).graph().with_config({"configurable": {"blob_store": store}})
