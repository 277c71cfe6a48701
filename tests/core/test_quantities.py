"""Reading numbers, units, categories, sides and terms out of text."""

from decimal import Decimal

import pytest

from citrus_agent.core.evidence import Comparison, DocumentField, HumanEdit
from citrus_agent.core.lexicon import categories, sides, terms
from citrus_agent.core.quantities import held, plain, stated


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.3 mm (11.8 to 12.9)", [("12.3", "mm"), ("11.8", ""), ("12.9", "")]),
        ("11.8–12.9 mm", [("11.8", ""), ("12.9", "mm")]),
        ("11.8-12.9 mm", [("11.8", ""), ("12.9", "mm")]),
        ("−0.50 to -4", [("-0.50", ""), ("-4", "")]),
        ("area 6120 px²", [("6120", "px2")]),
        ("1,234 mm^2, 5 square millimetres", [("1234", "mm2"), ("5", "mm2")]),
        ("12.3mm and 12.3 mmHg", [("12.3", "mm"), ("12.3", "mmhg")]),
        ("12.3 millimeters x 8 pixels", [("12.3", "mm"), ("8", "px")]),
        ("twelve mm, two lesions", [("12", "mm")]),
        ("83 % or .83", [("83", "%"), (".83", "")]),
        ("a 6-month follow-up", [("6", "month")]),
        ("1\u200b2.3\u00a0mm", [("12.3", "mm")]),
        ("١٢ mm", [("12", "mm")]),
        ("E4 and 1e3", [("4", ""), ("1000", "")]),
        ("no number", []),
    ],
)
def test_numbers_of_a_text(text, expected):
    assert [(token.value, token.unit) for token in stated(plain(text))] == [(Decimal(value), unit) for value, unit in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BI-RADS 4A", ["BI-RADS 4A"]),
        ("birads category 4a.", ["BI-RADS 4A"]),
        ("BI‑RADS IV", ["BI-RADS 4"]),
        ("BI-RADS US 2013 lexicon", []),
        ("BI-RADS 10", []),
        ("BI-RADS: five", ["BI-RADS 5"]),
        ("category is 3", ["category 3"]),
        ("4A/4B", ["category 4A", "category 4B"]),
        ("TI-RADS TR4", ["TI-RADS 4"]),
        ("4 A lesions", []),
    ],
)
def test_categories_of_a_text(text, expected):
    assert [str(one) for one in categories(plain(text))] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in the left breast", {"left"}),
        ("Right-sided", {"right"}),
        ("bilateral masses", {"left", "right"}),
        ("R breast", {"right"}),
        ("leftover, bright, right-angled", set()),
        ("at the left edge of the image", set()),
        ("on the right of the picture", set()),
    ],
)
def test_sides_of_a_text(text, expected):
    assert sides(plain(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("an oval mass", {("oval", False)}),
        ("not oval but round", {("oval", True), ("round", False)}),
        ("non-parallel, noncircumscribed", {("parallel", True), ("circumscribed", True)}),
        ("no posterior shadowing or enhancement", {("shadowing", True), ("enhancement", True)}),
        ("Posterior features: none.", {("none", False)}),
        ("contrast enhancement", set()),
        ("complex cystic and solid", {("complex_cystic_solid", False)}),
        ("around the rectangular, ovarian field", set()),
        ("ov\u00adal", {("oval", False)}),
    ],
)
def test_terms_of_a_text(text, expected):
    assert {(one.term, one.negated) for one in terms(plain(text))} == expected


def numbers(item, unit=...):
    return {value for one in held(item) if unit in (..., one.unit) for value in one.printed}


def test_numbers_of_evidence(chain, made):
    assert numbers(chain["longest"], "mm") == {Decimal("12.3"), Decimal("11.8"), Decimal("12.9")} | {Decimal(repr(12.3 + 0.6))}
    assert {Decimal("10.2"), Decimal("10"), Decimal("111"), Decimal("110.7")} <= numbers(chain["region"], "px")
    assert Decimal(6120) in numbers(chain["mask"], "px2")
    assert numbers(made.passage(), "month") == {Decimal(6), Decimal(12), Decimal(24)}
    assert Decimal("0.77") not in numbers(made.passage()), "a retrieval score is no fact"
    assert numbers(DocumentField(tool="t", name="view", value="1" * 64)) == set()
    assert numbers(HumanEdit(tool="t", target="x", author="a", reason="r", replacement="9 mm"), "mm") == {Decimal(9)}
    comparison = Comparison(tool="t", quantity="area", before="5 mm2", after="6 mm2", change=1.0, unit="mm2", within_error=True)
    assert numbers(comparison, "mm2") == {Decimal(5), Decimal(6), Decimal(1)}
