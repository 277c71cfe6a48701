"""Guideline files: what ships, what the schema refuses, and that a new guideline is one data file."""

import hashlib
import json

import numpy as np
import pytest

from citrus_agent.core.errors import ConfigurationError
from citrus_agent.core.protocols import Fact, SearchFilter
from citrus_agent.knowledge import open_library
from citrus_agent.knowledge.corpus import BUNDLED, load_corpus

FILE = BUNDLED / "birads_us_2013" / "guideline.json"

MADE_UP = {
    "schema_version": 1,
    "id": "widget_ct_2001",
    "title": "A made-up guideline",
    "edition": "1st",
    "year": 2001,
    "citation": "Nobody. Nowhere; 2001.",
    "short_citation": "Nobody 2001",
    "organ": "widget",
    "modality": "CT",
    "checked": "2001-01-01",
    "sections": [{"id": "size", "heading": "Size of a widget", "text": "A widget of 8 mm or more is big.", "source": "Page 1"}],
    "rule": {
        "inputs": [{"name": "size", "type": "number", "unit": "mm", "minimum": 0, "description": "longest diameter"}],
        "categories": [{"name": "big", "recommendation": "Look again.", "passages": ["size"]}],
        "rows": [{"category": "big", "when": {"kind": "number", "input": "size", "op": ">=", "value": 8}}],
    },
}


def hashing_embed(texts):
    """Bag of hashed words, unit length: a stand-in that needs no model."""
    out = np.zeros((len(texts), 64), np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            out[row, int(hashlib.sha256(word.encode()).hexdigest(), 16) % 64] += 1
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1)


def write(folder, guideline):
    path = folder / guideline["id"] / "guideline.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(guideline))
    return folder


def test_bundled_guideline_is_sourced():
    guideline = load_corpus().guidelines["birads_us_2013"]
    assert 25 <= len(guideline.sections) <= 45
    assert (guideline.year, guideline.isbn, guideline.modality, guideline.organ) == (2013, "9781559030168", "US", "breast")
    assert "Reston" in guideline.citation
    assert all(section.source.startswith("Ultrasound, ") for section in guideline.sections)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("category-1", "essentially 0 %"),
        ("category-2", "essentially 0 %"),
        ("category-3", "above 0 % and not above 2 %"),
        ("category-3-followup", "6 months"),
        ("category-4", "above 2 % and below 95 %"),
        ("category-4a", "above 2 % and not above 10 %"),
        ("category-4b", "above 10 % and not above 50 %"),
        ("category-4c", "above 50 % and below 95 %"),
        ("category-5", "at least 95 %"),
    ],
)
def test_likelihoods_of_the_atlas(section, words):
    sections = {item.id: item.text for item in load_corpus().guidelines["birads_us_2013"].sections}
    assert words in sections[section]


def test_a_second_guideline_is_one_file(tmp_path):
    folder = write(write(tmp_path / "corpus", MADE_UP), json.loads(FILE.read_text()))
    library = open_library(tmp_path / "cache", hashing_embed, folder)
    assert library.guidelines() == ("birads_us_2013", "widget_ct_2001")
    assert library.digest != load_corpus().digest
    assert library.apply("widget_ct_2001", {"size": Fact(8.0, "mm")}).category == "big"
    small = library.apply("widget_ct_2001", {"size": Fact(7.9, "mm")})
    assert (small.status, small.category) == ("not_applicable", None)
    assert small.margins == {"size": pytest.approx(0.1)}
    unsure = library.apply("widget_ct_2001", {"size": Fact(8.0, "mm", 7.5, 8.5)})
    assert (unsure.status, unsure.missing) == ("undetermined", ())
    assert library.apply("widget_ct_2001", {}).missing == ("size",)
    (found,) = library.search("widget size", where=SearchFilter(modality="CT", organ="widget"))
    assert (found.guideline, found.citation) == ("widget_ct_2001", "Nobody 2001, Page 1")
    assert {item.guideline for item in library.search("widget size", where=SearchFilter(modality="US"))} <= {"birads_us_2013"}
    assert library.search("widget size", where=SearchFilter(modality="US", organ="widget")) == []
    library.close()


def test_a_guideline_without_rule_answers_not_applicable(tmp_path):
    library = open_library(tmp_path, hashing_embed, write(tmp_path / "corpus", {**MADE_UP, "rule": None}))
    assert library.apply("widget_ct_2001", {}).status == "not_applicable"
    assert library.inputs("widget_ct_2001") == ()


def changed(**fields):
    return {**MADE_UP, "rule": {**MADE_UP["rule"], **fields}}


@pytest.mark.parametrize(
    ("guideline", "words"),
    [
        ({**MADE_UP, "colour": "red"}, "colour"),
        ({**MADE_UP, "sections": MADE_UP["sections"] * 2}, "section named twice: size"),
        (changed(rows=[{"category": "huge"}]), "unknown categories: huge"),
        (
            changed(rows=[{"category": "big", "when": {"kind": "number", "input": "weight", "op": ">", "value": 1}}]),
            "no number input 'weight'",
        ),
        (changed(rows=[{"category": "big", "when": {"kind": "criterion", "name": "round"}}]), "'round' is not defined"),
        (changed(rows=[{"category": "big", "when": {"kind": "term", "input": "size", "among": ["8"]}}]), "no term input 'size'"),
        (changed(categories=[{"name": "big", "recommendation": "Look.", "passages": ["colour"]}]), "unknown sections: colour"),
        (changed(inputs=[{"name": "size", "type": "number", "description": "no unit"}]), "needs a unit"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, guideline, words):
    with pytest.raises(ConfigurationError, match=r"widget_ct_2001/guideline\.json") as caught:
        load_corpus(write(tmp_path, guideline))
    assert words in str(caught.value)


def test_an_empty_or_doubled_corpus_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="holds no"):
        load_corpus(tmp_path)
    write(tmp_path, MADE_UP)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "guideline.json").write_text(json.dumps(MADE_UP))
    with pytest.raises(ConfigurationError, match="widget_ct_2001"):
        load_corpus(tmp_path)
