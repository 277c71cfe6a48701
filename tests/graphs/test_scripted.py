"""The planner that follows a script."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from citrus_agent.core.errors import PlannerError
from citrus_agent.graphs.scripted import ScriptedPlanner

CALL = {"name": "detect_lesions", "args": {"image": 0}}


def test_each_kind_of_step():
    planner = ScriptedPlanner([CALL, AIMessage("words"), lambda messages: {"name": "seen", "args": {"count": len(messages)}}])
    messages = [HumanMessage("Is there a lesion?")]
    for _ in range(3):
        messages.append(planner.invoke(messages))
    assert messages[1].tool_calls == [{"name": "detect_lesions", "args": {"image": 0}, "id": "call_1", "type": "tool_call"}]
    assert messages[2].text == "words"
    assert messages[3].tool_calls[0]["args"] == {"count": 3}


def test_where_it_is_follows_from_the_messages():
    planner = ScriptedPlanner([CALL, {"name": "second"}])
    first = planner.invoke("go")
    assert planner.invoke("go").tool_calls == first.tool_calls
    assert planner.invoke([HumanMessage("go"), first]).tool_calls[0]["name"] == "second"


def test_binding_tools_changes_nothing():
    planner = ScriptedPlanner([CALL])
    assert planner.bind_tools([]).invoke("go").tool_calls[0]["name"] == "detect_lesions"
    assert planner.simulated is True


def test_usage_counts_words():
    usage = ScriptedPlanner([AIMessage("three words here")]).invoke("two words").usage_metadata
    assert usage == {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}


def test_streaming_adds_up_to_the_same_reply():
    planner = ScriptedPlanner([AIMessage("looking", tool_calls=[{**CALL, "id": "c1", "type": "tool_call"}])])
    chunks = list(planner.stream("go"))
    whole = sum(chunks[1:], chunks[0])
    told = planner.invoke("go")
    assert len(chunks) > 2
    assert (whole.text, whole.tool_calls, whole.usage_metadata) == (told.text, told.tool_calls, told.usage_metadata)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([], "has 0 steps and step 1 was asked for"),
        (["detect"], "step 1 is a str"),
        ([{"tool": "x"}], "step 1 must have name and args"),
        ([lambda messages: None], "step 1 is a NoneType"),
    ],
)
def test_a_wrong_script_is_said(steps, says):
    with pytest.raises(PlannerError, match=says):
        ScriptedPlanner(steps).invoke("go")
