"""Evidence, studies and traces that the tests of core share."""

from types import SimpleNamespace

import pytest

from citrus_agent.core.evidence import Descriptor, Finding, Mask, Measurement, Passage, Region, RuleOutcome
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.report import Claim, Report
from citrus_agent.core.study import ImageRef, Study
from citrus_agent.core.trace import TraceHeader, TraceWriter


def make_study(laterality="unknown"):
    return Study(
        images=(ImageRef(blob="a" * 64, width=384, height=300, mode="L"),), modality="US", body_part="breast", laterality=laterality
    )


def diameter(value=12.3, unit="mm", **kept):
    quantity = kept.pop("quantity", "longest_diameter")
    return Measurement(tool="measure_lesion", quantity=quantity, value=value, unit=unit, low=value - 0.5, high=value + 0.6, **kept)


def outcome(category="BI-RADS 4A", derived_from=(), recommendation="Tissue diagnosis is advised."):
    return RuleOutcome(
        tool="apply_guideline", guideline="birads_us_2013", version="1", status="decided", category=category,
        recommendation=recommendation, derived_from=derived_from,
    )  # fmt: skip


def passage(text="Follow-up at 6, 12 and 24 months. Oval masses are often benign.", citation="ACR BI-RADS Atlas, 5th edition, 2013"):
    return Passage(
        tool="search_guidelines", guideline="birads_us_2013", edition="5th", section="management", text=text, text_sha256="0" * 64,
        span=(0, len(text)), citation=citation, score=0.77,
    )  # fmt: skip


@pytest.fixture
def study():
    return make_study()


@pytest.fixture(scope="session")
def chain():
    """A region, a mask from it, a measurement and a descriptor from the mask, a rule on both; and a finding apart."""
    region = Region(tool="detect_lesions", box=(10.2, 20.5, 110.7, 90.0), label="lesion", score=0.91)
    mask = Mask(tool="segment_lesion", blob="b" * 64, box=(11, 21, 109, 88), area_px=6120, derived_from=(region.id,))
    longest = diameter(derived_from=(mask.id,))
    shape = Descriptor(tool="describe_lesion", feature="shape", term="irregular", score=0.8, derived_from=(mask.id,))
    rule = outcome(derived_from=(longest.id, shape.id))
    finding = Finding(tool="detect_lesions", name="image_impression", value="suspicious", score=0.83, probabilities={"suspicious": 0.83})
    return {"region": region, "mask": mask, "longest": longest, "shape": shape, "rule": rule, "finding": finding}


@pytest.fixture
def graph(chain):
    return EvidenceGraph(chain.values())


def write_trace(directory, chain, seal="complete"):
    """A small run with two blobs named by events, one that only the seal names, evidence and a report. Returns the open writer or None."""
    writer = TraceWriter.create(directory, TraceHeader(run_id="r1", versions={"citrus-agent": "0.1.0"}, seeds={"planner": 0}))
    image, mask = writer.blobs.put(b"image"), writer.blobs.put(b"mask \x00\xff")
    writer.append("user", "study", {"study": make_study().model_dump(mode="json")}, [image])
    writer.append("user", "question", {"text": "wie groß, in mm²?"})
    evidence = [item.model_dump(mode="json") for item in chain.values()]
    writer.append("tool", "tool_result", {"id": "1", "name": "all", "evidence": evidence, "seconds": 0.25}, [mask, image])
    writer.blobs.put(b"left by a tool that failed")
    claim = Claim(id="c1", section="findings", kind="observation", text="It is irregular.", evidence=(chain["shape"].id,))
    writer.append("system", "report", {"report": Report(question="q", claims=(claim,)).model_dump(mode="json")})
    if seal is None:
        return writer
    writer.seal(seal)
    return None


@pytest.fixture(scope="session")
def made():
    """The makers above, for tests that need more than one of a kind."""
    return SimpleNamespace(study=make_study, diameter=diameter, outcome=outcome, passage=passage, trace=write_trace)
