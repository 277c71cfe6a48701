"""The first rules on claims, and attempts to get past them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from citrus_agent.core.evidence import Descriptor, DocumentField, Finding
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.phrases import fill
from citrus_agent.core.report import Claim
from citrus_agent.core.verifier import category_problem, verify_claims


def claim(text, *evidence, section="findings", name="c1"):
    return Claim(id=name, section=section, kind="observation", text=text, evidence=tuple(item.id for item in evidence))


@pytest.fixture
def judge(graph, study):
    def run(text, *evidence, category=None, study=study, extra=()):
        for item in extra:
            graph.add(item)
        return verify_claims([claim(text, *evidence)], graph, category, study)[0]

    return run


def status(result):
    return result.status


def test_no_evidence(judge):
    result = judge("The mass is benign.")
    assert (result.status, result.score, result.problems) == ("unsupported", 0, ("the claim names no evidence",))


def test_unknown_evidence(graph, study, chain):
    made = Claim(
        id="c", section="findings", kind="observation", text="A lesion.", evidence=("E1", "mask-0000000000000000", chain["mask"].id)
    )
    result = verify_claims([made], graph, None, study)[0]
    assert result.status == "unsupported"
    assert result.score == pytest.approx(1 / 3)
    assert result.problems == ("evidence E1 does not exist", "evidence mask-0000000000000000 does not exist")


def test_every_phrase_that_fill_writes_is_supported(graph, study, chain, made):
    graph.add(made.passage())
    texts = [
        "{E1}, score {E1.score}",
        "{E2}",
        "{E3}, {E3.value}, {E3.low}",
        "{E4} shape, {E4.score}",
        "{E5}: {E5.recommendation}",
        "{E6}",
        "{E7}",
    ]
    claims = [claim(fill(text, graph), item, name=text) for text, item in zip(texts, graph, strict=True)]
    for result in verify_claims(claims, graph, "BI-RADS 4A", study):
        assert (result.status, result.score, result.problems) == ("supported", 1, ()), result


@pytest.mark.parametrize(
    "text",
    [
        "The longest diameter is 12.3 mm (11.8 to 12.9).",
        "It is 12.3\u00a0millimetres long, 11.8–12.9 mm.",
        "12.30 mm",
        "It spans x 10 to 111, y 20 to 90 px, with 6,120 px².",
        "Its mask has 6120 square pixels.",
    ],
)
def test_numbers_that_stand_in_the_evidence_or_below_it(judge, chain, text):
    assert judge(text, chain["longest"]).problems == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The longest diameter is 12.4 mm.", "contradicted"),
        ("The longest diameter is 12.3 px.", "contradicted"),
        ("12.3 mm²", "contradicted"),
        ("1.23 cm", "unsupported"),
        ("-12.3 mm", "contradicted"),
        ("12.3 mm (11.8 to 13.9)", "unsupported"),
        ("twelve mm", "contradicted"),
        ("1\u200b3.3 mm", "contradicted"),
        ("12.34 mm", "contradicted"),
        ("12,3 mm", "contradicted"),
        ("6120 mm²", "contradicted"),
        ("three mm and 12.3 mm", "contradicted"),
        ("There are 2 lesions.", "unsupported"),
        ("12.3 mmHg", "contradicted"),
        ("The longest diameter is 6120.", "contradicted"),
        ("{E3}", "unsupported"),
    ],
)
def test_numbers_that_do_not(judge, chain, text, expected):
    result = judge(text, chain["longest"])
    assert result.status == expected, result
    assert result.score < 1


def test_pixels_are_not_millimetres(judge, made):
    in_pixels = made.diameter(unit="{pixel}")
    result = judge("The longest diameter is 12.3 mm.", in_pixels, extra=[in_pixels])
    assert (result.status, result.problems) == ("contradicted", ("longest diameter 12.3 mm: the evidence gives it in px",))


def test_swapped_diameters(judge, chain, made):
    across = made.diameter(8.1, quantity="perpendicular_diameter")
    both = "Longest diameter {} mm, perpendicular diameter {} mm."
    assert status(judge(both.format("12.3", "8.10"), chain["longest"], across, extra=[across])) == "supported"
    assert status(judge(both.format("8.10", "12.3"), chain["longest"], across)) == "contradicted"


def test_number_of_other_evidence_does_not_count(judge, chain):
    assert status(judge("Probability 0.83.", chain["mask"])) == "unsupported"
    assert status(judge("Probability 0.83, 83 %.", chain["finding"])) == "supported"
    assert status(judge("Probability 0.84.", chain["finding"])) == "unsupported"
    assert status(judge("0.83 mm", chain["finding"])) == "contradicted"


def test_negative_number(judge, made):
    low = made.diameter(-4.5, unit="1", quantity="slope")
    assert status(judge("Slope −4.50.", low, extra=[low])) == "supported"
    assert status(judge("Slope 4.50.", low)) == "unsupported"


def test_numbers_of_a_passage(judge, made):
    source = made.passage()
    assert status(judge("Follow-up at 6, 12 and 24 months (ACR BI-RADS Atlas, 5th edition, 2013).", source, extra=[source])) == "supported"
    assert status(judge("Follow-up at 12 months.", source)) == "supported"
    assert status(judge("Follow-up at 18 months.", source)) == "unsupported"
    assert status(judge("A mass of 12 mm.", source)) == "unsupported"
    assert status(judge("A mass of 5 mm.", source)) == "unsupported", "the 5th edition is no length"
    assert status(judge("Score 0.77.", source)) == "unsupported"


@pytest.mark.parametrize(
    ("text", "category", "expected"),
    [
        ("BI-RADS 4A.", "BI-RADS 4A", "supported"),
        ("Assessment: birads category 4a", None, "supported"),
        ("BI-RADS 4", None, "contradicted"),
        ("BI-RADS 4B", None, "contradicted"),
        ("BI-RADS 4A or 4B", None, "contradicted"),
        ("BI-RADS 4A, that is 5", None, "unsupported"),
        ("BI-RADS IV", None, "contradicted"),
        ("BI-RADS two", None, "contradicted"),
        ("TI-RADS 4A", None, "contradicted"),
        ("category 2", None, "contradicted"),
        ("BI\u2011RADS\u00a02", None, "contradicted"),
    ],
)
def test_category_of_a_claim(judge, chain, text, category, expected):
    assert status(judge(text, chain["rule"], category=category)) == expected


def test_category_without_a_rule(judge, chain, made):
    assert status(judge("This is BI-RADS 4A.", chain["mask"])) == "unsupported"
    source = made.passage("BI-RADS 2 is a benign finding; nothing is to be done.")
    assert status(judge("This mass is BI-RADS 2.", source, extra=[source])) == "unsupported"
    assert status(judge("The guideline: BI-RADS 2 is a benign finding; nothing is to be done.", source)) == "supported"
    undecided = made.outcome(None)
    assert status(judge("BI-RADS 3.", undecided, extra=[undecided])) == "unsupported"


def test_category_of_the_report(graph, study, chain, made):
    claims = [claim("A lesion.", chain["region"]), claim("It needs care.", chain["rule"], section="impression", name="c2")]
    assert [item.status for item in verify_claims(claims, graph, "BI-RADS 4A", study)] == ["supported", "supported"]
    assert [item.status for item in verify_claims(claims, graph, "BI-RADS 2", study)] == ["supported", "contradicted"]
    assert [item.status for item in verify_claims(claims[:1], EvidenceGraph([chain["region"]]), "BI-RADS 2", study)] == ["unsupported"]
    assert category_problem("BI-RADS 2", graph) == "the report's category BI-RADS 2 is not the outcome of any rule"
    assert category_problem("BI-RADS 4A", graph) is None
    assert category_problem(None, graph) is None
    second = made.outcome("BI-RADS 4B")
    graph.add(second)
    differs = verify_claims([claim("BI-RADS 4B.", second)], graph, "BI-RADS 4A", study)[0]
    assert differs.problems == ("the claim says BI-RADS 4B, the report's category is BI-RADS 4A",)


@pytest.mark.parametrize(
    ("side", "text", "expected"),
    [
        ("left", "A lesion in the left breast.", "supported"),
        ("left", "A lesion in the RIGHT breast.", "contradicted"),
        ("left", "Bilateral lesions.", "contradicted"),
        ("unknown", "A lesion in the left breast.", "unsupported"),
        ("left", "A lesion at the right edge of the image.", "supported"),
    ],
)
def test_laterality_of_the_study(judge, chain, made, side, text, expected):
    assert status(judge(text, chain["region"], study=made.study(side))) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("L", "supported"), ("left", "supported"), ("right", "contradicted"), ("bilateral", "supported")]
)
def test_laterality_of_a_document(judge, chain, made, value, expected):
    field = DocumentField(tool="user", name="laterality", value=value)
    assert status(judge("A lesion in the left breast.", chain["region"], extra=[field])) == expected
    both = judge("A lesion in the left breast.", chain["region"], study=made.study("left"))
    assert status(both) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("An irregular mass.", "supported"),
        ("An oval mass.", "contradicted"),
        ("An o\u00adval mass.", "contradicted"),
        ("The mass is not irregular.", "contradicted"),
        ("The mass is not oval.", "supported"),
        ("Oval or irregular.", "contradicted"),
        ("An irregular, spiculated mass.", "unsupported"),
        ("An irregular mass without posterior shadowing.", "unsupported"),
    ],
)
def test_terms(judge, chain, text, expected):
    assert status(judge(text, chain["shape"])) == expected
    assert status(judge(text, chain["rule"])) == expected, "the rule was derived from the shape"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Shape: oval; margin: circumscribed.", "supported"),
        ("The margin is not angular.", "supported"),
        ("Posterior features: none.", "supported"),
        ("Shape: circumscribed.", "contradicted"),
        ("The margin is oval.", "contradicted"),
        ("Echo pattern: BI-RADS 4A.", "contradicted"),
        ("Orientation: 12.3 mm.", "contradicted"),
    ],
)
def test_a_value_under_the_name_of_another_feature(judge, graph, text, expected):
    terms = {"shape": "oval", "margin": "circumscribed", "posterior_features": "none"}
    items = [Descriptor(tool="t", feature=feature, term=term, score=0.9) for feature, term in terms.items()]
    assert status(judge(text, *items, extra=items)) == expected


def test_terms_of_other_features(judge):
    found = {
        feature: Descriptor(tool="describe_lesion", feature=feature, term=term, score=0.7)
        for feature, term in [("orientation", "not_parallel"), ("margin", "angular"), ("posterior_features", "none")]
    }
    good = "Not parallel, not circumscribed, angular, no posterior shadowing; posterior features none."
    assert judge(good, *found.values(), extra=found.values()).problems == ()
    for text in ("Parallel.", "Circumscribed.", "Non-angular.", "Posterior enhancement."):
        assert status(judge(text, *found.values())) == "contradicted", text


def test_terms_of_a_passage(judge, made, chain):
    source = made.passage()
    assert status(judge("Oval masses are mostly harmless.", source, extra=[source])) == "supported"
    assert status(judge("Spiculated masses are mostly harmless.", source)) == "unsupported"
    assert status(judge("This is an oval mass.", source, chain["shape"])) == "contradicted"


def test_finding_of_the_image(judge, chain):
    normal = Finding(tool="detect_lesions", name="image_impression", value="benign_looking", score=0.7, probabilities={"suspicious": 0.2})
    assert status(judge("The image looks suspicious.", chain["finding"])) == "supported"
    assert status(judge("The image is normal.", chain["finding"])) == "contradicted"
    assert status(judge("It is not suspicious.", chain["finding"])) == "contradicted"
    assert status(judge("Benign-looking, suspicious with 0.20.", normal, extra=[normal])) == "supported"


def test_result_replaces_what_the_claim_said_of_itself(graph, study, chain):
    boast = claim("A lesion of 99 mm.", chain["longest"]).model_copy(update={"status": "supported", "score": 1.0, "problems": ("x",)})
    result = verify_claims([boast], graph, None, study)[0]
    assert result.status == "contradicted"
    assert result.score == 0.5
    assert result.problems == ("99 mm is not a number of the evidence",)
    assert verify_claims([], graph, None, study) == []


FRAGMENTS = [
    "12.3",
    "mm",
    "not",
    "or",
    "BI-RADS",
    "4A",
    "left",
    "oval",
    "posterior",
    "(",
    "-",
    "1e999999999",
    "{E3}",
    "²",
    "\u200b",
    "longest diameter",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.lists(st.sampled_from(FRAGMENTS)).map(" ".join))
def test_no_text_breaks_the_verifier(graph, study, chain, text):
    result = verify_claims([claim(text, chain["rule"])], graph, "BI-RADS 4A", study)[0]
    assert (result.status == "supported") == (result.problems == ()) == (result.score == 1)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "fragment", ["not ", "a or ", "longest diameter is ", "(", "1,234", "bi-rads ", "posterior a ", "- ", "left ", "9"]
)
def test_long_texts_end(graph, study, chain, fragment):
    text = fragment * (4000 // len(fragment))
    assert verify_claims([claim(text, chain["rule"])], graph, None, study)[0].text == text
