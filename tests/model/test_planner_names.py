"""Evidence by name: one to one with handles, in replies, arguments and what the planner writes."""

import json

import pytest

from citrus_agent.model.planner.names import Names

REPLY = (
    "E1 finding image_impression suspicious (probability 0.80)\nE2 region lesion score 0.90 x 1 to 9, y 1 to 9 px\n"
    "E3 region lesion score 0.50 x 1 to 9, y 1 to 9 px\nE4 measurement longest_diameter 12.3 mm (11.8 to 12.9)\n"
    "E5 descriptor margin angular 0.81\nE6 rule_outcome birads_us_2013 undetermined BI-RADS 4 missing probability_suspicious\n"
    "E7 document_field view " + "ab" * 32
)


@pytest.fixture
def names():
    found = Names()
    found.reply(REPLY)
    return found


def test_a_reply_keeps_words_and_loses_numbers():
    assert Names().reply(REPLY).splitlines() == [
        "@image_impression suspicious",
        "@region",
        "@region2",
        "@longest_diameter",
        "@margin angular",
        "@rule_outcome undetermined BI-RADS 4",
        "@view",
    ]


def test_a_line_that_is_no_evidence_stays():
    assert Names().reply("error tool_timeout: ran past its limit\nno result") == "error tool_timeout: ran past its limit\nno result"


def test_the_same_handle_keeps_its_name(names):
    assert names.reply("E5 descriptor margin angular 0.81") == "@margin angular"
    assert len(names.kinds) == 7


def test_there_and_back(names):
    arguments = {"claims": [{"text": "Margin: {E5}. {E6.recommendation}", "evidence": ["E5", "E6"]}], "region": "E3", "free": "E99"}
    named = names.arguments(arguments)
    assert named["claims"][0] == {"text": "Margin: {@margin}. {@rule_outcome.recommendation}", "evidence": ["@margin", "@rule_outcome"]}
    assert (named["region"], named["free"]) == ("@region2", "E99")
    assert json.loads(names.handles(json.dumps(named))) == arguments


def test_a_name_that_may_go_on_is_held_back(names):
    assert names.handles('{"region": "@reg', whole=False) == '{"region": "'
    assert names.handles('{"region": "@region', whole=False) == '{"region": "'
    assert names.handles('{"region": "@region2"', whole=False) == '{"region": "E3"'
    assert names.handles("a@unknown.") == "a@unknown."
