"""Tools around the library: search_guidelines, apply_guideline; and the facts made of evidence."""

import pytest

from citrus_agent.core.errors import ContractRefusal, ToolArgumentError
from citrus_agent.core.evidence import Descriptor, Finding, Mask, Measurement
from citrus_agent.core.protocols import Scope, SearchFilter
from citrus_agent.tools.apply_guideline import ApplyGuideline
from citrus_agent.tools.facts import facts_of
from citrus_agent.tools.search_guidelines import SearchGuidelines

IMAGE = "a" * 64


def finding(value="suspicious", **fields):
    return Finding(
        tool="t", image=IMAGE, name="image_impression", value=value, score=0.7, probabilities={"normal": 0.1, "suspicious": 0.7}, **fields
    )


def mask(label="lesion"):
    return Mask(tool="t", image=IMAGE, blob="b" * 64, box=(1, 1, 9, 9), area_px=50, label=label)


def descriptor(of, term, feature="shape"):
    return Descriptor(tool="t", image=IMAGE, feature=feature, term=term, score=0.9, derived_from=(of.id,))


def ratio(of, value):
    return Measurement(
        tool="t",
        image=IMAGE,
        quantity="taller_than_wide_ratio",
        value=value,
        unit="1",
        low=value - 0.1,
        high=value + 0.1,
        derived_from=(of.id,),
    )


def test_search_passes_the_question_on_and_marks_the_passages(kit):
    shelf = kit.Shelf("one", "two", "three", "four")
    items = kit.call(SearchGuidelines(shelf), kit.case(), query="simple cyst", k=2, guideline="birads_us_2013")
    assert shelf.asked == [("simple cyst", 2, SearchFilter(guideline="birads_us_2013"))]
    assert [item.text for item in items] == ["one", "two"]
    assert {item.tool for item in items} == {"search_guidelines"}


def test_nothing_found_is_an_answer(kit):
    tool = SearchGuidelines(kit.Shelf())
    message = tool.invoke(
        {"type": "tool_call", "id": "1", "name": tool.name, "args": {"query": "weather"}}, config={"configurable": {"case": kit.case()}}
    )
    assert (message.artifact, message.content) == ([], "no result")


@pytest.mark.parametrize("wrong", [{"query": ""}, {"query": "x" * 401}, {"query": "x", "k": 0}, {"query": "x", "k": 11}, {}])
def test_search_is_bounded(kit, wrong):
    with pytest.raises(ToolArgumentError, match=r"query|k"):
        kit.call(SearchGuidelines(kit.Shelf()), kit.case(), **wrong)


def test_facts_carry_their_evidence_and_intervals():
    lesion = mask()
    impression, shape, tall = finding(), descriptor(lesion, "oval"), ratio(lesion, 1.2)
    facts = facts_of([impression, lesion, tall, shape])
    assert (facts["finding"].value, facts["finding"].evidence) == ("lesion", (lesion.id,))
    assert (facts["probability_suspicious"].value, facts["probability_suspicious"].evidence) == (0.7, (impression.id,))
    assert (facts["shape"].value, facts["shape"].evidence) == ("oval", (shape.id,))
    number = facts["taller_than_wide_ratio"]
    assert (number.low, number.value, number.high) == pytest.approx((1.1, 1.2, 1.3))
    assert number.unit == "1"
    assert facts_of([finding("normal")])["finding"].value == "normal"
    assert facts_of([finding("benign_looking")])["finding"].value == "lesion"


def test_latest_wins_and_lesions_are_not_mixed():
    first, second = mask("one"), mask("two")
    facts = facts_of(
        [first, descriptor(first, "oval"), descriptor(first, "circumscribed", "margin"), second, descriptor(second, "irregular")]
    )
    assert facts["shape"].value == "irregular"
    assert "margin" not in facts, "the first lesion's margin says nothing of the second"
    again = facts_of([first, descriptor(first, "oval"), descriptor(first, "round")])
    assert again["shape"].value == "round"


def filled(kit, **study):
    case = kit.case(**study)
    lesion = mask()
    for item in (finding(), lesion, descriptor(lesion, "oval"), ratio(lesion, 0.6)):
        case.evidence.add(item)
    return case


def test_outcome_rests_on_the_evidence_used(kit):
    case, shelf = filled(kit), kit.Shelf()
    (outcome,) = kit.call(ApplyGuideline(shelf), case)
    assert outcome.category == "BI-RADS 4A"
    assert outcome.tool == "apply_guideline"
    assert set(outcome.derived_from) == {item.id for item in case.evidence}
    assert outcome.id == outcome.content_id()
    assert outcome.validated_scope
    assert sorted(shelf.applied) == ["finding", "probability_suspicious", "shape", "taller_than_wide_ratio"]
    case.evidence.add(outcome)


def test_only_the_evidence_named(kit):
    case, shelf = filled(kit), kit.Shelf()
    (outcome,) = kit.call(ApplyGuideline(shelf), case, evidence=["E3"])
    assert sorted(shelf.applied) == ["shape"]
    assert outcome.derived_from == (case.evidence.resolve("E3").id,)
    with pytest.raises(ToolArgumentError, match="no evidence 'E77'"):
        kit.call(ApplyGuideline(shelf), case, evidence=["E77"])


def test_facts_given_become_fields_that_the_outcome_rests_on(kit):
    case, shelf = filled(kit, simulated=True), kit.Shelf()
    field, outcome = kit.call(ApplyGuideline(shelf), case, facts={"shape": "irregular"})
    assert (field.kind, field.name, field.value) == ("document_field", "shape", "irregular")
    assert shelf.applied["shape"].value == "irregular"
    assert shelf.applied["shape"].evidence == (field.id,)
    assert field.id in outcome.derived_from
    assert case.evidence.resolve("E3").id not in outcome.derived_from
    assert outcome.simulated
    for item in (field, outcome):
        case.evidence.add(item)


def test_wrong_names_say_what_there_is(kit):
    with pytest.raises(ToolArgumentError, match="birads_us_2013, ti_rads_2017"):
        kit.call(ApplyGuideline(kit.Shelf()), filled(kit), guideline="nothing")
    with pytest.raises(ToolArgumentError, match="'colour'; it reads: finding, shape"):
        kit.call(ApplyGuideline(kit.Shelf()), filled(kit), facts={"colour": "blue"})


def test_breast_rules_are_for_breast_ultrasound(kit):
    for study, field in (({"modality": "CT"}, "modality"), ({"body_part": "chest"}, "body_part")):
        with pytest.raises(ContractRefusal) as caught:
            kit.call(ApplyGuideline(kit.Shelf()), kit.case(**study), facts={"shape": "oval"})
        assert caught.value.field == field


def test_the_rule_book_may_say_its_scope(kit):
    class Thyroid(kit.Shelf):
        def scope(self, guideline):
            return Scope(frozenset({"US"}), frozenset({"thyroid"}))

    with pytest.raises(ContractRefusal):
        kit.call(ApplyGuideline(Thyroid()), kit.case())
    assert kit.call(ApplyGuideline(Thyroid()), kit.case(body_part="thyroid"))[0].validated_scope


def test_what_was_only_said_does_not_validate_an_unknown_image(kit):
    field, outcome = kit.call(ApplyGuideline(kit.Shelf()), kit.case(modality="unknown"), facts={"shape": "oval"})
    assert not field.validated_scope
    assert not outcome.validated_scope
    assert all(item.validated_scope for item in kit.call(ApplyGuideline(kit.Shelf()), kit.case(), facts={"shape": "oval"}))
