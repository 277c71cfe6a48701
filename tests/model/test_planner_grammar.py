"""Constrained decoding: whatever the weights, a reply is one valid call on evidence that exists."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from citrus_agent.core.errors import PlannerError
from citrus_agent.model.planner.arguments import ARGUMENTS
from citrus_agent.model.planner.evaluate import described
from citrus_agent.model.planner.grammar import MAX_SAME_CALL, Context, call_schema, matcher
from citrus_agent.model.planner.names import Names
from citrus_agent.model.planner.network import PlannerNetwork
from citrus_agent.model.planner.prompt import Turn, build
from citrus_agent.model.planner.tokenizer import CALL, CALL_END, PlannerTokenizer
from citrus_agent.model.planner.writer import RESERVE, CallWriter, Sampling, Slots
from citrus_agent.model.sentence import WIDTH

WEIGHTS = Path(__file__).parents[2] / "model" / "weights" / "citrus-v-nano" / "planner"
REPLY = (
    "E1 finding image_impression suspicious (probability 0.80)\n"
    "E2 region lesion score 0.90 x 1 to 9, y 1 to 9 px\nE3 mask lesion area 9 px²"
)
NAMES = {"@image_impression", "@region", "@mask", "@rule_outcome", "@passage"}
OUTCOME = "E4 rule_outcome birads_us_2013 decided BI-RADS 4A\nE5 passage birads_us_2013/shape"


@pytest.fixture(scope="module")
def tokenizer() -> PlannerTokenizer:
    return PlannerTokenizer.load(WEIGHTS / "tokenizer.json")


@pytest.fixture(scope="module")
def writer(tokenizer) -> CallWriter:
    """A network that has learned nothing."""
    torch.manual_seed(1)
    return CallWriter(PlannerNetwork(len(tokenizer), layers=1).eval().requires_grad_(False), tokenizer)


def context(*replies: str, question: str = "What is it?") -> Context:
    names = Names()
    for reply in replies:
        names.reply(reply)
    known = Context(names.kinds, images=1)
    known.read_question(question)
    return known


def write(writer, known, names=tuple(ARGUMENTS), seed=0, limit=700):
    prompt = build([Turn("system", names=names), Turn("user", text="Question: x")], writer.tokenizer, reply=True)
    slots = Slots(np.zeros((0, 256), np.float32), np.zeros((1, WIDTH), np.float32))
    constraint = matcher(call_schema(described(names), known), writer.tokenizer)
    ids = [i for piece in writer.write(prompt, slots, constraint, limit, Sampling(1.5, seed)) for i in piece]
    text = writer.tokenizer.decode(ids)
    assert text.startswith(CALL)
    assert text.endswith(CALL_END)
    return json.loads(text.removeprefix(CALL).removesuffix(CALL_END))


@pytest.mark.parametrize("seed", range(20))
def test_untrained_network_writes_only_valid_calls(writer, seed):
    known = context(REPLY, OUTCOME, question="Outline 10, 20, 80, 90")
    call = write(writer, known, seed=seed)
    assert set(call) == {"name", "arguments"}
    ARGUMENTS[call["name"]].model_validate(call["arguments"])


@pytest.mark.parametrize("seed", range(4))
def test_claims_print_no_number_of_their_own_and_name_evidence_that_exists(writer, seed):
    arguments = write(writer, context(REPLY, OUTCOME), ("conclude",), seed, limit=400)["arguments"]
    assert arguments.get("category") in (None, "{@rule_outcome}")
    for claim in arguments["claims"]:
        assert claim["evidence"]
        assert set(claim["evidence"]) <= NAMES
        placeholders = re.findall(r"\{([^}]*)\}", claim["text"])
        assert set(placeholders) <= NAMES | {"@rule_outcome.recommendation", "@passage.text"}
        assert not re.search(r"[\d{}]", re.sub(r"\{[^}]*\}", "", claim["text"]))


@pytest.mark.parametrize("seed", range(3))
def test_a_conclusion_closes_however_short_the_limit(writer, seed):
    call = write(writer, context(REPLY), ("conclude",), seed, limit=RESERVE + 20)
    assert call["arguments"]["claims"]


@pytest.mark.parametrize(("name", "argument", "handle"), [("measure_lesion", "mask", "@mask"), ("describe_lesion", "mask", "@mask")])
def test_a_handle_is_of_the_right_kind(writer, name, argument, handle):
    for seed in range(5):
        assert write(writer, context(REPLY), (name,), seed)["arguments"] == {argument: handle}


def test_segment_takes_exactly_one_prompt(writer):
    known = context(REPLY, question="Outline 10, 20, 80, 90 please")
    for seed in range(10):
        arguments = write(writer, known, ("segment_lesion",), seed)["arguments"]
        given = [name for name in ("region", "box", "point", "seg") if name in arguments]
        assert len(given) == 1
        assert arguments.get("box", [10, 20, 80, 90]) == [10, 20, 80, 90]
        assert arguments.get("region", "@region") == "@region"


@pytest.mark.parametrize(
    ("question", "boxes", "points"),
    [
        ("Segment the box 10,20,80,90.", [[10, 20, 80, 90]], []),
        ("x1=10 y1=20 x2=80.5 y2=90", [[10, 20, 80.5, 90]], []),
        ("(10,20)-(80,90)", [[10, 20, 80, 90]], []),
        ("Click at (12, 34): segment it.", [], [[12, 34]]),
        ("Is this BI-RADS 3 or 4A?", [], []),
        ("box 80,90,10,20", [], [[80, 90], [90, 10], [10, 20]]),
        ("no number here", [], []),
    ],
)
def test_boxes_and_points_are_read_from_the_question(question, boxes, points):
    known = context(question=question)
    assert (known.boxes, known.points) == (boxes, points)


def test_no_mask_no_measurement():
    schema = json.dumps(call_schema(described(("measure_lesion", "detect_lesions")), context()))
    assert "measure_lesion" not in schema
    assert "detect_lesions" in schema


def test_without_evidence_there_is_nothing_to_conclude():
    with pytest.raises(PlannerError, match="bind abstain"):
        call_schema(described(("conclude",)), context())


def test_a_tool_is_not_called_for_ever():
    known = context()
    known.calls = {"detect_lesions": MAX_SAME_CALL}
    assert "detect_lesions" not in json.dumps(call_schema(described(("detect_lesions", "abstain")), known))


def test_the_planner_cannot_give_the_runs_own_reasons():
    schema = json.dumps(call_schema(described(("abstain",)), context()))
    assert "question_out_of_scope" in schema
    assert "planner_failed" not in schema
    assert "budget_exhausted" not in schema


def test_facts_cannot_be_made_up():
    assert "facts" not in json.dumps(call_schema(described(("apply_guideline",)), context(REPLY)))


def test_a_third_partys_tool_with_nested_arguments(writer):
    class Part(BaseModel):
        label: str
        weight: float | None = None

    class Tool(BaseModel):
        parts: list[Part]
        mode: str = "plain"

    tool = {"type": "function", "function": {"name": "other", "parameters": Tool.model_json_schema()}}
    from langchain_core.utils.json_schema import dereference_refs

    tool["function"]["parameters"] = dereference_refs(tool["function"]["parameters"])
    constraint = matcher(call_schema([tool], context()), writer.tokenizer)
    prompt = build([Turn("user", text="x")], writer.tokenizer, reply=True)
    slots = Slots(np.zeros((0, 256), np.float32), np.zeros((1, WIDTH), np.float32))
    text = writer.tokenizer.decode(i for piece in writer.write(prompt, slots, constraint, 300, Sampling(1.0, 3)) for i in piece)
    Tool.model_validate(json.loads(text.removeprefix(CALL).removesuffix(CALL_END))["arguments"])


def test_a_conversation_beyond_the_context_is_an_error(writer):
    prompt = build([Turn("user", text="word " * 5000)], writer.tokenizer, reply=True)
    constraint = matcher(call_schema(described(("abstain",)), context()), writer.tokenizer)
    with pytest.raises(PlannerError, match="too long"):
        next(writer.write(prompt, Slots(np.zeros((0, 256), np.float32), np.zeros((1, WIDTH), np.float32)), constraint, 300))
