"""Evidence ids are content hashes; nonsense is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from citrus_agent.core.evidence import EVIDENCE_ADAPTER, Finding, Measurement, Region, canonical_json


def test_id_depends_on_content_only(made):
    assert made.diameter().id == made.diameter().id
    assert made.diameter().id.startswith("measurement-")
    changed = [made.diameter(12.4), made.diameter(unit="{pixel}"), made.diameter(simulated=True), made.diameter(model_digest="1" * 64)]
    assert len({made.diameter().id, *(item.id for item in changed)}) == 5


def test_every_variant_survives_json(chain):
    for item in chain.values():
        assert EVIDENCE_ADAPTER.validate_json(item.model_dump_json()) == item


def test_id_that_is_not_the_hash_is_refused(made):
    dump = made.diameter().model_dump()
    with pytest.raises(ValidationError, match="not the hash of its content"):
        EVIDENCE_ADAPTER.validate_python({**dump, "value": 12.5})


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_id_survives_json_for_any_number(value):
    item = Measurement(tool="t", quantity="area", value=value, unit="1", low=value, high=value)
    assert EVIDENCE_ADAPTER.validate_json(canonical_json(item.model_dump(mode="json"))).id == item.id


def test_nonsense_is_refused():
    with pytest.raises(ValidationError):
        Finding(tool="t", name="n", value="v", score=1.2)
    with pytest.raises(ValidationError):
        Measurement(tool="t", quantity="area", value=5, unit="mm", low=6, high=7)
    for box in [(5, 0, 4, 9), (0, 0, math.nan, 1), (0, 0, math.inf, 1)]:
        with pytest.raises(ValidationError, match="x1, y1, x2, y2"):
            Region(tool="t", box=box, label="lesion", score=0.5)
    with pytest.raises(ValidationError):
        EVIDENCE_ADAPTER.validate_python({"kind": "finding", "tool": "t", "name": "n", "value": "v", "surprise": 1})


def test_canonical_json_is_one_form():
    assert canonical_json({"b": 1, "a": "ß"}) == '{"a":"ß","b":1}'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": math.nan})
