"""Evidence in words, and placeholders filled with it."""

import pytest

from citrus_agent.core.dialogue import tool_reply
from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import Comparison, DocumentField, HumanEdit
from citrus_agent.core.phrases import evidence_line, fill, number, phrase, unit_text


@pytest.mark.parametrize(("value", "printed"), [(0.826, "0.83"), (12.34, "12.3"), (-4.5, "-4.50"), (99.96, "100.0"), (6120, "6120")])
def test_numbers_as_printed(value, printed):
    assert number(value) == printed


def test_units_as_printed():
    assert [unit_text(unit) for unit in ("mm", "mm2", "{pixel}", "{pixel2}", "1")] == ["mm", "mm²", "px", "px²", ""]


def test_phrases(chain, made):
    expected = {
        "region": "x 10 to 111, y 20 to 90 px", "mask": "6120 px²", "longest": "12.3 mm (11.8 to 12.9)", "shape": "irregular",
        "rule": "BI-RADS 4A", "finding": "suspicious (probability 0.83)",
    }  # fmt: skip
    assert {name: phrase(item) for name, item in chain.items()} == expected
    assert phrase(made.passage()) == "ACR BI-RADS Atlas, 5th edition, 2013"
    assert phrase(DocumentField(tool="t", name="age", value="54")) == "54"
    comparison = Comparison(tool="t", quantity="area", before="5 mm", after="6 mm", change=1, unit="mm", within_error=True)
    assert phrase(comparison) == "5 mm to 6 mm"
    assert phrase(HumanEdit(tool="t", target="x", author="a", reason="r", replacement="oval")) == "oval"


def test_lines_for_the_planner(graph, chain):
    assert evidence_line(chain["longest"], "E3") == "E3 measurement longest_diameter 12.3 mm (11.8 to 12.9)"
    assert tool_reply([chain["shape"]], graph) == "E4 descriptor shape irregular 0.80"
    assert tool_reply([], graph) == "no result"


def test_fill(graph):
    text = "The mass is {E4}, {E3} wide, {E5.category}, score {E1.score}, {E2.area_px} pixels."
    assert fill(text, graph) == "The mass is irregular, 12.3 mm (11.8 to 12.9) wide, BI-RADS 4A, score 0.91, 6120 pixels."
    assert fill("{not one} {}", graph) == "{not one} {}"


@pytest.mark.parametrize("text", ["{E9}", "{E3.nothing}", "{E1.box}", "{E3.formula}"])
def test_fill_refuses_what_it_cannot_print(graph, text):
    with pytest.raises(ToolArgumentError):
        fill(text, graph)
