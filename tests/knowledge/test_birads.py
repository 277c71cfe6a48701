"""The BI-RADS ultrasound rule: vectors, boundaries from both sides, missing facts, and properties over all combinations."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citrus_agent.core.protocols import Fact
from citrus_agent.knowledge.corpus import load_corpus
from citrus_agent.knowledge.facts import Number, Term, check_facts
from citrus_agent.knowledge.rules import decide

ID = "birads_us_2013"
RULE = load_corpus().guidelines[ID].rule
RANK = {name: rank for rank, name in enumerate(f"BI-RADS {step}" for step in ("1", "2", "3", "0", "4A", "4B", "4C", "5"))}

# finding, shape, orientation, margin, echo, posterior; "-" is missing
CYST = "lesion oval parallel circumscribed anechoic enhancement"
SOLID = "lesion oval parallel circumscribed hypoechoic none"
ROUND = "lesion round parallel circumscribed hypoechoic none"
ONE = "lesion oval parallel indistinct hypoechoic none"
TWO = "lesion irregular parallel indistinct hypoechoic none"
THREE = "lesion irregular not_parallel indistinct hypoechoic none"
WORST = "lesion irregular not_parallel spiculated complex_cystic_solid shadowing"
NAMES = ("finding", "shape", "orientation", "margin", "echo_pattern", "posterior_features")
BELOW, ABOVE = -math.inf, math.inf

DECIDED = [
    ("normal - - - - -", None, "1"),
    ("normal - - - - -", 0.0, "1"),
    ("normal - - - - -", 0.10, "1"),
    ("normal - - - - -", math.nextafter(0.10, ABOVE), "0"),
    ("normal irregular - - - -", 0.01, "0"),
    ("normal oval parallel circumscribed - none", 0.01, "1"),
    ("normal - - - - shadowing", None, "0"),
    (CYST, None, "2"),
    (CYST, 0.0, "2"),
    (CYST, 0.10, "2"),
    (CYST, math.nextafter(0.10, ABOVE), "4B"),
    (CYST.replace("oval", "round"), 0.05, "2"),
    (CYST.replace("parallel", "not_parallel"), 0.05, "2"),
    ("lesion oval - circumscribed anechoic enhancement", 0.01, "2"),
    (CYST.replace("enhancement", "none"), 0.01, "3"),
    (CYST.replace("anechoic", "complex_cystic_solid"), 0.01, "4A"),
    (CYST.replace("circumscribed", "indistinct"), 0.01, "4A"),
    (SOLID, None, "3"),
    (SOLID, 0.0, "3"),
    (SOLID, math.nextafter(0.02, BELOW), "3"),
    (SOLID, 0.02, "3"),
    (SOLID, math.nextafter(0.02, ABOVE), "4A"),
    (SOLID, 0.10, "4A"),
    (SOLID, math.nextafter(0.10, ABOVE), "4B"),
    (SOLID, 0.50, "4B"),
    (SOLID, math.nextafter(0.50, ABOVE), "4C"),
    (SOLID, 1.0, "4C"),
    (SOLID.replace("none", "enhancement"), 0.01, "3"),
    (SOLID.replace("none", "shadowing"), 0.01, "4A"),
    (SOLID.replace("none", "combined"), 0.01, "4A"),
    (ROUND, 0.01, "4A"),
    (ONE, 0.01, "4A"),
    (ONE, 0.10, "4A"),
    (ONE, 0.11, "4B"),
    (TWO, 0.01, "4B"),
    (TWO, 0.50, "4B"),
    (THREE, 0.10, "4B"),
    (THREE, math.nextafter(0.10, ABOVE), "4C"),
    (WORST, 0.01, "4B"),
    (WORST, math.nextafter(0.95, BELOW), "4C"),
    (WORST, 0.95, "5"),
    (THREE, 0.95, "5"),
    (TWO, 0.99, "4C"),
    ("lesion irregular parallel spiculated hypoechoic none", 0.96, "5"),
    ("lesion oval not_parallel circumscribed hypoechoic shadowing", 0.96, "5"),
    ("lesion oval not_parallel circumscribed hypoechoic combined", 0.96, "4C"),
    ("lesion - - - - -", 0.60, "4C"),
    ("lesion - - spiculated - shadowing", 0.97, "5"),
]


def facts_of(text, probability=None, **more):
    facts = {name: Fact(word) for name, word in zip(NAMES, text.split(), strict=True) if word != "-"}
    if probability is not None:
        facts["probability_suspicious"] = Fact(probability)
    return {**facts, **more}


@pytest.mark.parametrize(("text", "probability", "step"), DECIDED)
def test_decided(library, text, probability, step):
    outcome = library.apply(ID, facts_of(text, probability))
    assert (outcome.status, outcome.category, outcome.missing) == ("decided", f"BI-RADS {step}", ())


UNDETERMINED = [
    ("lesion oval parallel indistinct hypoechoic none", None, "BI-RADS 4", {"probability_suspicious"}),
    (TWO, None, "BI-RADS 4", {"probability_suspicious"}),
    (WORST, None, "BI-RADS 4", {"probability_suspicious"}),
    (ROUND, None, "BI-RADS 4", {"probability_suspicious"}),
    ("lesion irregular - - - -", 0.3, "BI-RADS 4", {"orientation", "margin", "echo_pattern", "posterior_features"}),
    ("lesion oval parallel circumscribed - none", 0.01, None, {"echo_pattern"}),
    ("lesion oval parallel circumscribed hypoechoic -", 0.01, None, {"posterior_features"}),
    ("lesion oval - circumscribed hypoechoic none", 0.01, None, {"orientation"}),
    ("lesion oval parallel circumscribed - enhancement", 0.01, None, {"echo_pattern"}),
    ("lesion irregular - - hypoechoic none", 0.97, None, {"orientation", "margin"}),
    ("- oval parallel circumscribed hypoechoic none", 0.01, None, {"finding"}),
    ("- - - - - -", None, None, set(NAMES) | {"probability_suspicious"}),
]


@pytest.mark.parametrize(("text", "probability", "category", "missing"), UNDETERMINED)
def test_undetermined_lists_what_is_missing(library, text, probability, category, missing):
    outcome = library.apply(ID, facts_of(text, probability))
    assert (outcome.status, outcome.category, set(outcome.missing)) == ("undetermined", category, missing)
    assert outcome.uncertainty.startswith("Possible: ")


def test_missing_detail_that_cannot_change_the_category_does_not_matter(library):
    assert library.apply(ID, facts_of("lesion irregular not_parallel - - none", 0.3)).status == "undetermined"
    assert library.apply(ID, facts_of("lesion irregular not_parallel - - shadowing", 0.3)).category == "BI-RADS 4C"


def test_candidates_with_one_recommendation_keep_it(library):
    outcome = library.apply(ID, facts_of("lesion irregular - - hypoechoic none", 0.97))
    assert outcome.category is None
    assert outcome.recommendation == "Tissue diagnosis (biopsy)."


@pytest.mark.parametrize(
    ("orientation", "ratio", "truth"),
    [
        (None, Fact(1.2, "1", 0.9, 1.5), "undetermined"),
        (None, Fact(1.2, "1", 1.1, 1.5), "met"),
        (None, Fact(0.8, "1", 0.7, 1.0), "not_met"),
        (None, Fact(0.8, "1", 0.7, math.nextafter(1.0, ABOVE)), "undetermined"),
        ("parallel", Fact(1.2, "1", 0.9, 1.5), "not_met"),
        ("not_parallel", Fact(0.5, "1", 0.4, 0.6), "met"),
    ],
)
def test_ratio_stands_in_for_a_missing_orientation_only(library, orientation, ratio, truth):
    facts = facts_of("lesion oval - circumscribed hypoechoic none", 0.01, taller_than_wide_ratio=ratio)
    if orientation:
        facts["orientation"] = Fact(orientation)
    outcome = library.apply(ID, facts)
    assert next(item.truth for item in outcome.criteria if item.name == "not_parallel") == truth
    assert outcome.status == ("undetermined" if truth == "undetermined" else "decided")
    if truth == "undetermined":
        assert (outcome.missing, outcome.recommendation) == (
            (),
            "None: the interval of taller_than_wide_ratio lies on both sides of a threshold.",
        )


def test_interval_of_the_probability_across_a_band_is_undetermined(library):
    outcome = library.apply(ID, facts_of(ONE, None, probability_suspicious=Fact(0.45, None, 0.40, 0.55)))
    assert (outcome.status, outcome.category) == ("undetermined", "BI-RADS 4")
    assert "interval of probability_suspicious" in outcome.uncertainty


@pytest.mark.parametrize(
    ("text", "probability", "margin"), [(ONE, 0.3, 0.2), (ONE, 0.45, 0.05), (SOLID, 0.05, 0.03), (CYST, 0.04, 0.06), (WORST, 0.96, 0.01)]
)
def test_margin_is_the_distance_to_the_next_category(library, text, probability, margin):
    assert library.apply(ID, facts_of(text, probability)).margins == {"probability_suspicious": pytest.approx(margin)}


def test_margin_of_a_ratio_and_of_its_criterion(library):
    facts = facts_of("lesion oval - circumscribed hypoechoic none", 0.01, taller_than_wide_ratio=Fact(0.7, "1", 0.6, 0.8))
    outcome = library.apply(ID, facts)
    assert outcome.margins["taller_than_wide_ratio"] == pytest.approx(0.3)
    assert next(item.margin for item in outcome.criteria if item.name == "not_parallel") == pytest.approx(0.3)
    facts["orientation"] = Fact("parallel")
    assert "taller_than_wide_ratio" not in library.apply(ID, facts).margins


def test_categories_0_and_6_come_from_what_a_person_says(library):
    assert library.apply(ID, facts_of(SOLID, 0.01, examination=Fact("incomplete"))).category == "BI-RADS 0"
    assert library.apply(ID, facts_of(WORST, 0.99, known_malignancy=Fact("yes"))).category == "BI-RADS 6"
    assert "Assumed: examination complete, known_malignancy no." in library.apply(ID, facts_of(SOLID, 0.01)).uncertainty


@pytest.mark.parametrize("step", ["4A", "4B", "4C"])
def test_category_4_says_that_the_atlas_gives_no_formula(library, step):
    text, probability, _ = next(row for row in DECIDED if row[2] == step)
    outcome = library.apply(ID, facts_of(text, probability))
    assert "gives no formula" in outcome.uncertainty
    assert f"{ID}/subdivision-no-formula" in outcome.passages
    assert any("gives no formula" in note for note in load_corpus().guidelines[ID].notes)


LADDERS = {
    "shape": ("oval", "round", "irregular"),
    "orientation": ("parallel", "not_parallel"),
    "margin": ("circumscribed", "indistinct", "spiculated"),
    "echo_pattern": ("anechoic", "hypoechoic", "complex_cystic_solid"),
    "posterior_features": ("enhancement", "none", "combined", "shadowing"),
}
PROBABILITIES = (0.0, 0.02, 0.021, 0.10, 0.101, 0.5, 0.501, 0.949, 0.95, 1.0)
ALLOWED = {item.name: item.allowed for item in RULE.inputs if item.name in LADDERS}


def category(finding, terms, probability):
    facts = {"finding": finding, **dict(zip(LADDERS, terms, strict=True))}
    checked = {**{name: Term(value) for name, value in facts.items()}, "examination": Term("complete"), "known_malignancy": Term("no")}
    decision = decide(RULE, {**checked, "probability_suspicious": Number(probability, probability, probability)})
    assert decision.status == "decided"
    return decision.candidates[0]


@pytest.mark.parametrize("finding", ["normal", "lesion"])
def test_more_suspicious_facts_never_lower_the_category(finding):
    table = {(*terms, p): RANK[category(finding, terms, p)] for terms in itertools.product(*LADDERS.values()) for p in PROBABILITIES}
    ladders = [*LADDERS.values(), PROBABILITIES]
    for key, rank in table.items():
        for place, ladder in enumerate(ladders):
            step = ladder.index(key[place]) + 1
            if step < len(ladder):
                assert table[(*key[:place], ladder[step], *key[place + 1 :])] >= rank, (key, ladder[step])


def test_every_combination_stays_inside_its_limits():
    for terms in itertools.product(*ALLOWED.values()):
        for p in PROBABILITIES:
            name = category("lesion", terms, p)
            suspicious = terms[0] == "irregular", terms[1] == "not_parallel", terms[2] == "spiculated", terms[4] == "shadowing"
            assert name not in {"BI-RADS 0", "BI-RADS 1"}
            assert not (p > 0.10 and name in {"BI-RADS 2", "BI-RADS 3"})
            assert (name == "BI-RADS 5") == (p >= 0.95 and sum(suspicious) >= 2)
            if name == "BI-RADS 3":
                assert terms[:3] == ("oval", "parallel", "circumscribed")
                assert terms[4] in {"none", "enhancement"}


@settings(max_examples=300, deadline=None, database=None)
@given(
    terms=st.fixed_dictionaries({name: st.sampled_from(allowed) for name, allowed in ALLOWED.items()}),
    hidden=st.sets(st.sampled_from(sorted(ALLOWED))),
    probability=st.floats(0, 1),
)
def test_what_is_hidden_can_only_widen_the_answer(terms, hidden, probability):
    """Whatever the missing facts turn out to be, the full answer was among the possible ones."""
    full = {"finding": "lesion", "probability_suspicious": probability, **terms}
    seen = {name: Fact(value) for name, value in full.items() if name not in hidden}
    whole = decide(RULE, check_facts(RULE.inputs, {name: Fact(value) for name, value in full.items()}))
    assert whole.candidates[0] in decide(RULE, check_facts(RULE.inputs, seen)).candidates
