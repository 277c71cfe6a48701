"""The workflow as a graph: what ends a run, and what each ending says."""

from __future__ import annotations

import time

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, ToolMessage

from citrus_agent.core.errors import ConfigurationError
from citrus_agent.graphs import Budget, ConsultState, ScriptedPlanner, build_consult_graph, first_state


@pytest.fixture
def run(bench, parts):
    """Invoke the graph on a drawn case: state and events."""

    def play(steps, with_tools=None, **options):
        case = bench.case(**options.pop("study", {}))
        planner = ScriptedPlanner(steps) if isinstance(steps, list) else steps
        chosen = with_tools if with_tools is not None else parts.tools()
        graph = build_consult_graph(planner, chosen, **options)
        with bench.writer() as writer:
            config = {"configurable": {"case": case, "recorder": writer}}
            state = graph.invoke(first_state(case.study, "Is there a lesion?"), config)
            events = writer._events
        return state, events, case

    return play


def kinds(events):
    return [event.kind for event in events]


def tool_texts(state):
    return [message.content for message in state["messages"] if isinstance(message, ToolMessage)]


def test_happy_path(run, parts):
    state, events, case = run([*parts.CALLS, parts.CONCLUSION])
    report = state["report"]
    assert report["category"] == "BI-RADS 4A"
    assert [claim["status"] for claim in report["claims"]] == ["supported", "supported"]
    assert report["claims"][0]["text"] == "The longest diameter is 12.3 mm (11.8 to 12.9)."
    assert all(case.evidence.resolve(key).id == key for claim in report["claims"] for key in claim["evidence"])
    pairs = ["plan", "tool_call", "tool_result"] * 4
    assert kinds(events) == ["run_started", *pairs, "plan", "verification", "report"]
    assert state["steps"] == 5
    assert state["tokens"] > 0
    assert len(state["evidence"]) == len(case.evidence) == 5


def test_messages_keep_the_order_that_planners_are_trained_on(run, parts):
    state, _, case = run([*parts.CALLS, parts.CONCLUSION])
    types = [message.type for message in state["messages"]]
    assert types == ["system", "human", *["ai", "tool"] * 4, "ai"]
    image, text = state["messages"][1].content
    assert image == {"type": "image", "id": f"blob:{case.study.images[0].blob}"}
    assert text["text"].startswith("Study: US breast, 1 image")
    assert tool_texts(state)[0].splitlines()[0].startswith("E1 finding image_impression suspicious")


def test_the_planner_sees_pixels_and_the_state_does_not(run, parts):
    seen = []

    def look(messages):
        seen.append(messages[1].content[0])
        return parts.abstain()

    state, _, _ = run([look])
    assert seen[0]["type"] == "image"
    assert seen[0]["mime_type"] == "image/png"
    assert len(seen[0]["base64"]) > 1000
    assert "base64" not in str(state["messages"])


def test_a_text_planner_sees_no_image(run, parts):
    seen = []
    run([lambda messages: seen.append(messages[1].content) or parts.abstain()], images=False)
    assert [block["type"] for block in seen[0]] == ["text"]


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("raises", "tool_failure", "ZeroDivisionError"),
        ("gives_nan", "tool_failure", "not finite"),
        ("NanEvidence", "tool_failure", "not evidence"),
        ("Orphan", "tool_failure", "not in the graph"),
    ],
)
def test_a_bad_tool_becomes_an_error_and_the_run_goes_on(run, parts, name, code, says):
    bad = getattr(parts, name)
    bad = bad() if isinstance(bad, type) else bad
    state, events, _ = run([{"name": bad.name}, parts.CALLS[0], parts.conclude("A lesion, {E1}.")], [bad, *parts.tools()])
    [error] = [event for event in events if event.kind == "tool_error"]
    assert error.payload["code"] == code
    assert says in error.payload["message"]
    assert tool_texts(state)[0].startswith(f"error {code}")
    assert len(state["evidence"]) == 2
    assert state["report"]["claims"][0]["status"] == "supported"


def test_a_hanging_tool_is_left_behind(run, parts):
    begun = time.monotonic()
    hang = parts.Hang()
    state, events, _ = run([{"name": "hang"}, parts.CALLS[0], parts.conclude("{E1}")], [hang, *parts.tools()], tool_timeout=0.2)
    assert time.monotonic() - begun < 10
    [error] = [event for event in events if event.kind == "tool_error"]
    assert error.payload["code"] == "tool_timeout"
    assert state["report"]["abstention"] is None


def test_wrong_tool_arguments_are_told(run, parts):
    steps = [{"name": "measure_lesion", "args": {"mask": 3, "depth": 1}}, {"name": "age", "args": {"years": "old"}}, parts.abstain()]
    state, _, _ = run(steps, [*parts.tools(), parts.age])
    assert all(text.startswith("error tool_argument") for text in tool_texts(state))


def test_a_third_partys_text_becomes_evidence(run, parts):
    steps = [{"name": "age", "args": {"years": 52}}, parts.conclude("The patient is {E1} old.")]
    state, _, case = run(steps, [parts.age], study={"simulated": True})
    [item] = case.evidence
    assert (item.kind, item.name, item.value, item.simulated) == ("document_field", "age", "52 years", True)
    assert state["report"]["claims"][0]["status"] == "supported"


def test_the_same_call_a_third_time_is_told_to_conclude(run, parts):
    detect = parts.Detect()
    state, _, _ = run([parts.CALLS[0]] * 3 + [parts.conclude("{E1}")], [detect])
    assert detect.calls == 2
    assert "conclude with the evidence" in tool_texts(state)[2]
    assert len(state["evidence"]) == 2


def test_two_calls_in_one_reply_run_in_order(run, parts):
    calls = [{"name": name, "args": {}, "id": "same", "type": "tool_call"} for name in ("detect_lesions", "segment_lesion")]
    state, _, _ = run([AIMessage(content="", tool_calls=calls), parts.conclude("{E1}")])
    assert [item["kind"] for item in state["evidence"]] == ["finding", "region", "mask"]
    ids = [message.tool_call_id for message in state["messages"] if isinstance(message, ToolMessage)]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("options", "name"),
    [({"budget": Budget(steps=2)}, "steps"), ({"budget": Budget(tokens=3)}, "tokens"), ({"budget": Budget(seconds=1.0)}, "seconds")],
)
def test_a_used_up_budget_ends_with_what_there_is(run, parts, options, name):
    def slow(messages):
        if name == "seconds":
            time.sleep(3)
        return parts.CALLS[1]

    state, events, case = run([parts.CALLS[0], slow, parts.CALLS[3], parts.CONCLUSION], **options)
    report = state["report"]
    assert report["stopped_by"] == name
    assert report["abstention"] is None
    assert report["category"] is None
    assert [claim["evidence"] for claim in report["claims"]] == [[item.id] for item in case.evidence]
    assert {claim["status"] for claim in report["claims"]} == {"supported"}
    [event] = [event for event in events if event.kind == "budget"]
    assert event.payload["budget"] == name


def test_a_budget_used_up_before_any_evidence_abstains(run, parts):
    state, _, _ = run([lambda messages: time.sleep(2) or parts.CALLS[0]], budget=Budget(seconds=0.1))
    assert state["report"]["abstention"]["reason"] == "budget_exhausted"
    assert state["report"]["stopped_by"] == "seconds"


@pytest.mark.parametrize(
    ("field", "stated", "reason"),
    [
        ("modality", "no_evidence", "contract_refused"),
        ("image_domain", "no_evidence", "image_out_of_scope"),
        ("modality", "image_out_of_scope", "image_out_of_scope"),
        ("modality", "question_out_of_scope", "question_out_of_scope"),
    ],
)
def test_a_refused_image_gives_its_reason(run, parts, field, stated, reason):
    state, events, _ = run([{"name": "detect_lesions"}, parts.abstain(stated)], [parts.Refuse(field=field)])
    assert state["report"]["abstention"]["reason"] == reason
    assert state["report"]["category"] is None
    assert [event.payload["code"] for event in events if event.kind == "tool_error"] == ["contract_refusal"]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (AIMessage("I think it is benign."), "no tool call"),
        ({"name": "guess"}, "no tool guess"),
        ({"name": "conclude", "args": {"claims": "none"}}, "arguments of conclude are wrong"),
        ({"name": "abstain", "args": {"reason": "tired", "message": ""}}, "arguments of abstain are wrong"),
        (
            AIMessage("", tool_calls=[{"name": name, "args": {"claims": []}, "id": name} for name in ("detect_lesions", "conclude")]),
            "call it alone",
        ),
        (AIMessage("", invalid_tool_calls=[{"name": "x", "args": "{", "id": "1", "error": None, "type": "invalid_tool_call"}]), "JSON"),
    ],
)
def test_a_useless_reply_goes_back_once_and_then_ends_the_run(run, parts, bad, says):
    state, events, _ = run([bad, parts.CALLS[0], bad, bad])
    assert len(state["evidence"]) == 2
    assert state["report"]["abstention"]["reason"] == "planner_failed"
    assert says in state["report"]["abstention"]["message"]
    problems = [event.payload.get("problem", "") for event in events if event.kind == "plan"]
    assert [says in problem for problem in problems] == [True, False, True, True]


def test_a_planner_that_raises_ends_the_run_with_its_reason(run):
    def broken(messages):
        raise ConnectionError("no route")

    state, _, _ = run([broken])
    abstention = state["report"]["abstention"]
    assert abstention["reason"] == "planner_failed"
    assert "ConnectionError: no route" in abstention["message"]


def test_the_end_of_the_script_is_said(run, parts):
    state, _, _ = run([parts.CALLS[0]])
    assert "the script has 1 steps and step 2 was asked for" in state["report"]["abstention"]["message"]


def test_not_a_number_in_arguments_cannot_break_the_trace(run, parts):
    state, events, _ = run([{"name": "age", "args": {"years": float("nan")}}, parts.abstain()], [parts.age])
    assert "report" in kinds(events)
    assert tool_texts(state)[0].startswith("error tool_argument")


def test_a_bad_placeholder_goes_back_once(run, parts):
    state, _, _ = run([parts.CALLS[0], parts.conclude("It is {E9}."), parts.conclude("It is {E1}.")])
    assert "no evidence 'E9'" in tool_texts(state)[1]
    assert [claim["status"] for claim in state["report"]["claims"]] == ["supported"]


def test_a_bad_placeholder_stays_marked_the_second_time(run, parts):
    wrong = parts.conclude("It is {E9}.")
    state, _, _ = run([parts.CALLS[0], wrong, wrong, wrong])
    [claim] = state["report"]["claims"]
    assert claim["status"] == "unsupported"
    assert any("E9" in problem for problem in claim["problems"])


def test_a_contradicted_claim_goes_back_once_and_stays_marked(run, parts):
    wrong = parts.conclude("The longest diameter is 99 mm.", evidence=("E4",))
    state, events, _ = run([*parts.CALLS, wrong, wrong])
    [claim] = state["report"]["claims"]
    assert claim["status"] == "contradicted"
    assert "C1 (contradicted)" in tool_texts(state)[-1]
    assert kinds(events).count("verification") == 2


@pytest.mark.parametrize("category", ["BI-RADS 5", "{E1}"])
def test_a_category_that_no_rule_gives_is_dropped_and_noted(run, parts, category):
    wrong = parts.conclude("A lesion, {E1}.", category=category)
    state, events, _ = run([*parts.CALLS, wrong, wrong])
    assert state["report"]["category"] is None
    last = [event for event in events if event.kind == "verification"][-1]
    assert "is not the outcome of any rule" in last.payload["dropped_category"]
    assert state["report"]["claims"][0]["status"] != "supported"


def test_a_conclusion_without_claims_is_no_answer(run, parts):
    state, _, _ = run([parts.conclude()])
    assert state["report"]["abstention"]["reason"] == "no_evidence"


def test_simulated_parts_mark_the_report(run, parts):
    assert run([parts.abstain()], study={"simulated": True})[0]["report"]["simulated"] is True


def test_a_planner_without_tools_is_refused():
    with pytest.raises(ConfigurationError, match="cannot call tools"):
        build_consult_graph(FakeListChatModel(responses=[]), [])


def test_two_tools_of_one_name_are_refused(parts):
    with pytest.raises(ConfigurationError, match="two tools are named detect_lesions"):
        build_consult_graph(ScriptedPlanner([]), [parts.Detect(), parts.Refuse()])


def test_a_node_without_a_case_says_how_to_give_one(parts):
    graph = build_consult_graph(ScriptedPlanner([parts.abstain()]), [])
    with pytest.raises(ConfigurationError, match="'case': Case"):
        graph.invoke(ConsultState(messages=[], question="?"))


def test_a_server_gives_a_blob_store_instead_of_a_case(bench, parts):
    case = bench.case()
    graph = build_consult_graph(ScriptedPlanner([*parts.CALLS, parts.CONCLUSION]), parts.tools())
    state = graph.invoke(first_state(case.study, "?"), {"configurable": {"blob_store": case.blobs}})
    assert state["report"]["category"] == "BI-RADS 4A"
