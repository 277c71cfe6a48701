"""The generic evaluator: facts, Kleene logic, provenance, and errors that say what is allowed."""

import pytest

from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.protocols import Fact, RuleBook
from citrus_agent.knowledge.conditions import AllOf, AnyOf, AtLeast, NumberIs, TermIs
from citrus_agent.knowledge.facts import Number, Term
from citrus_agent.knowledge.logic import evaluate
from citrus_agent.knowledge.schema import Input

ID = "birads_us_2013"
MET = TermIs(kind="term", input="a", among=("yes",))
NOT_MET = TermIs(kind="term", input="a", among=("no",))
OPEN = TermIs(kind="term", input="b", among=("yes",))
GIVEN = {"a": Term("yes")}


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        (AllOf(kind="all", of=(MET, OPEN)), "undetermined"),
        (AllOf(kind="all", of=(NOT_MET, OPEN)), "not_met"),
        (AnyOf(kind="any", of=(MET, OPEN)), "met"),
        (AnyOf(kind="any", of=(NOT_MET, OPEN)), "undetermined"),
        (AtLeast(kind="at_least", count=2, of=(MET, OPEN, MET)), "met"),
        (AtLeast(kind="at_least", count=2, of=(MET, OPEN, NOT_MET)), "undetermined"),
        (AtLeast(kind="at_least", count=2, of=(NOT_MET, OPEN, NOT_MET)), "not_met"),
    ],
)
def test_kleene_tables(condition, truth):
    verdict = evaluate(condition, GIVEN, {})
    assert verdict.truth == truth
    assert verdict.blame == (frozenset({"b"}) if truth == "undetermined" else frozenset())


@pytest.mark.parametrize(
    ("op", "low", "high", "truth"),
    [
        (">", 1.0, 2.0, "undetermined"),
        (">=", 1.0, 2.0, "met"),
        (">", 0.5, 1.0, "not_met"),
        (">=", 0.5, 1.0, "undetermined"),
        ("<", 0.5, 1.0, "undetermined"),
        ("<=", 0.5, 1.0, "met"),
        ("<", 1.0, 2.0, "not_met"),
        ("<=", 1.0, 2.0, "undetermined"),
    ],
)
def test_an_interval_touching_the_threshold(op, low, high, truth):
    condition = NumberIs(kind="number", input="x", op=op, value=1.0)
    assert evaluate(condition, {"x": Number((low + high) / 2, low, high)}, {}).truth == truth


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"shape": Fact("lobular")}, ["'lobular'", "oval, round, irregular"]),
        ({"margin": Fact("circumscribed", "mm")}, ["'mm'", "circumscribed, indistinct"]),
        ({"shpae": Fact("oval")}, ["'shpae'", "shape, orientation"]),
        ({"probability_suspicious": Fact(1.2)}, ["1.2", "0 to 1"]),
        ({"probability_suspicious": Fact(-0.1)}, ["-0.1", "0 to 1"]),
        ({"probability_suspicious": Fact(float("nan"))}, ["nan", "0 to 1"]),
        ({"probability_suspicious": Fact(float("inf"))}, ["inf", "a number"]),
        ({"probability_suspicious": Fact("high")}, ["'high'", "a number"]),
        ({"probability_suspicious": Fact(True)}, ["True", "a number"]),
        ({"probability_suspicious": Fact(20, "%")}, ["'%'", "'1'"]),
        ({"taller_than_wide_ratio": Fact(1.2, "mm")}, ["'mm'", "'1'"]),
        ({"taller_than_wide_ratio": Fact(1.2, "1", 1.3, 1.5)}, ["low <= value <= high"]),
        ({"taller_than_wide_ratio": Fact(-1.0)}, ["-1.0", "0 to any"]),
    ],
)
def test_wrong_facts_name_what_is_allowed(library, facts, words):
    with pytest.raises(ToolArgumentError) as caught:
        library.apply(ID, {"finding": Fact("lesion"), **facts})
    assert all(word in str(caught.value) for word in words)


def test_a_length_without_unit_is_refused():
    from citrus_agent.knowledge.facts import check_facts

    known = (Input(name="size", type="number", unit="mm", minimum=0, description="longest diameter"),)
    assert check_facts(known, {"size": Fact(4, "mm")})["size"] == Number(4.0, 4.0, 4.0)
    for unit in (None, "{pixel}", "cm"):
        with pytest.raises(ToolArgumentError, match="allowed: 'mm'"):
            check_facts(known, {"size": Fact(4, unit)})


def test_terms_and_numbers_are_read_as_people_write_them(library):
    outcome = library.apply(ID, {"finding": Fact("Lesion"), "orientation": Fact("not parallel"), "probability_suspicious": Fact("0.6")})
    assert outcome.category == "BI-RADS 4C"


def test_evidence_the_guideline_does_not_read_is_left_out(library):
    facts = {"finding": Fact("normal", evidence=("finding-1",)), "longest_diameter": Fact(80, "{pixel}", evidence=("measurement-1",))}
    outcome = library.apply(ID, facts)
    assert outcome.category == "BI-RADS 1"
    assert outcome.derived_from == ("finding-1",)


def test_outcome_carries_where_it_comes_from(library):
    facts = {"finding": Fact("lesion", evidence=("region-1",)), "probability_suspicious": Fact(0.6, evidence=("finding-1", "region-1"))}
    outcome = library.apply(ID, facts)
    assert outcome.derived_from == ("region-1", "finding-1")
    assert (outcome.tool, outcome.model_digest, outcome.version) == ("apply_guideline", library.digest, "5th edition, 2013")
    by_name = {item.name: item for item in outcome.criteria}
    assert by_name["lesion_present"].evidence == ("region-1",)
    assert by_name["probability_above_band_4b"].margin == pytest.approx(0.1)
    assert "probability_suspicious 0.6" in by_name["probability_above_band_4b"].detail
    assert outcome == library.apply(ID, facts)


def test_rule_book_face(library):
    assert isinstance(library, RuleBook)
    assert library.guidelines() == (ID,)
    inputs = {item.name: item for item in library.inputs(ID)}
    assert inputs["finding"].required
    assert inputs["orientation"].allowed == ("parallel", "not_parallel")
    assert inputs["probability_suspicious"].unit == "1"
    with pytest.raises(ToolArgumentError, match=ID):
        library.apply("tirads", {})
