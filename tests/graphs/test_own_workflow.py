"""A developer's own workflow: their tool beside one of ours, on our nodes, in under 30 lines."""

from __future__ import annotations

import inspect


def own_workflow(case, our_tool):
    from langchain_core.tools import tool
    from langgraph.graph import END, START, StateGraph

    from citrus_agent import ScriptedPlanner
    from citrus_agent.graphs import ConsultState, after_plan, after_verify, first_state, make_act, make_conclude, make_plan, make_verify

    @tool
    def family_history(relatives: int) -> str:
        """Ask the record how many first-degree relatives had breast cancer."""
        return f"{relatives} relatives"

    claim = {"section": "findings", "kind": "observation", "text": "Impression {E1}, family history {E3}.", "evidence": ["E1", "E3"]}
    steps = [{"name": "detect_lesions"}, {"name": "family_history", "args": {"relatives": 2}}]
    steps.append({"name": "conclude", "args": {"claims": [claim]}})
    tools = [our_tool, family_history]
    flow = StateGraph(ConsultState)
    flow.add_node("plan", make_plan(ScriptedPlanner(steps), tools))
    flow.add_node("act", make_act(tools))
    flow.add_node("verify", make_verify())
    flow.add_node("conclude", make_conclude("my workflow"))
    flow.add_edge(START, "plan")
    flow.add_conditional_edges("plan", after_plan)
    flow.add_edge("act", "plan")
    flow.add_conditional_edges("verify", after_verify)
    flow.add_edge("conclude", END)
    return flow.compile().invoke(first_state(case.study, "What is known?"), {"configurable": {"case": case}})


def test_own_workflow(bench, parts):
    report = own_workflow(bench.case(), parts.Detect())["report"]
    assert report["claims"][0]["text"] == "Impression suspicious (probability 0.83), family history 2 relatives."
    assert report["claims"][0]["status"] == "supported"
    assert report["model"] == "my workflow"
    assert len(inspect.getsource(own_workflow).splitlines()) < 30
