"""Small tools that are real classes with fixed answers, a case with a drawn image, and scripts for the planner."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from pydantic import BaseModel

from citrus_agent.core.blobs import MemoryBlobStore
from citrus_agent.core.case import Case
from citrus_agent.core.errors import ContractRefusal
from citrus_agent.core.evidence import DocumentField, Finding, Mask, Measurement, Region, RuleOutcome
from citrus_agent.core.pixels import encode_png
from citrus_agent.core.settings import Settings
from citrus_agent.core.study import ImageRef, Study
from citrus_agent.core.trace import TraceHeader, TraceWriter
from citrus_agent.graphs.assembly import Assembly
from citrus_agent.graphs.scripted import ScriptedPlanner
from citrus_agent.tools.base import CitrusTool


class NoArguments(BaseModel):
    pass


class MaskArguments(BaseModel):
    mask: str


class Detect(CitrusTool):
    """Counts its calls: a resumed run must not call it again."""

    name: str = "detect_lesions"
    description: str = "Find lesions."
    args_schema: type[BaseModel] = NoArguments
    calls: int = 0

    def work(self, case):
        self.calls += 1
        blob = case.reference(0).blob
        finding = Finding(
            tool=self.name, image=blob, name="image_impression", value="suspicious", score=0.83, probabilities={"suspicious": 0.83}
        )
        return [finding, Region(tool=self.name, image=blob, box=(5, 6, 40, 50), label="lesion", score=0.9)]


class Outline(CitrusTool):
    name: str = "segment_lesion"
    description: str = "Outline the lesion."
    args_schema: type[BaseModel] = NoArguments

    def work(self, case):
        reference = case.reference(0)
        mask = np.zeros((reference.height, reference.width), bool)
        mask[6:50, 5:40] = True
        parents = tuple(item.id for item in case.evidence.of_kind("region"))
        fields = {"image": reference.blob, "derived_from": parents}
        return [Mask(tool=self.name, blob=case.put_mask(mask), box=(5, 6, 39, 49), area_px=int(mask.sum()), **fields)]


class Measure(CitrusTool):
    name: str = "measure_lesion"
    description: str = "Measure a mask."
    args_schema: type[BaseModel] = MaskArguments

    def work(self, case, mask):
        parent = case.evidence.resolve(mask).id
        fields = {"unit": "mm", "low": 11.8, "high": 12.9, "derived_from": (parent,)}
        return [Measurement(tool=self.name, quantity="longest_diameter", value=12.3, **fields)]


class Rule(CitrusTool):
    name: str = "apply_guideline"
    description: str = "Apply the guideline."
    args_schema: type[BaseModel] = NoArguments

    def work(self, case):
        parents = tuple(item.id for item in case.evidence.of_kind("measurement"))
        fields = {"status": "decided", "category": "BI-RADS 4A", "recommendation": "Tissue diagnosis is advised.", "derived_from": parents}
        return [RuleOutcome(tool=self.name, guideline="birads_us_2013", version="1", **fields)]


class Refuse(CitrusTool):
    name: str = "detect_lesions"
    description: str = "Refuses every image."
    args_schema: type[BaseModel] = NoArguments
    field: str = "modality"

    def work(self, case):
        raise ContractRefusal("needs modality US, the study is CT", self.field)


class Hang(CitrusTool):
    """Waits until it is let go; ``begun`` is set once it runs."""

    name: str = "hang"
    description: str = "Takes forever."
    args_schema: type[BaseModel] = NoArguments
    begun: ClassVar[threading.Event] = threading.Event()
    released: ClassVar[threading.Event] = threading.Event()

    def work(self, case):
        self.begun.set()
        self.released.wait(20)
        return []


@tool
def raises() -> str:
    """A third party's tool that fails."""
    raise ZeroDivisionError("by nothing")


@tool
def gives_nan() -> float:
    """A third party's tool that returns NaN."""
    return float("nan")


@tool
def age(years: int) -> str:
    """A third party's tool that knows nothing of evidence."""
    return f"{years} years"


class NanEvidence(CitrusTool):
    name: str = "nan_evidence"
    description: str = "Evidence with NaN in it, built past validation."
    args_schema: type[BaseModel] = NoArguments

    def _run(self, config: RunnableConfig, **arguments):
        return "", [Finding.model_construct(tool=self.name, name="x", value="y", score=float("nan"), probabilities={}, id="finding-0")]


class Orphan(CitrusTool):
    name: str = "orphan"
    description: str = "Evidence derived from what nobody knows, beside evidence that is sound."
    args_schema: type[BaseModel] = NoArguments

    def _run(self, config: RunnableConfig, **arguments):
        sound = DocumentField(tool=self.name, name="sound", value="1")
        return "", [sound, DocumentField(tool=self.name, name="lost", value="2", derived_from=("mask-0",))]


def make_study(blobs, side=64, **fields):
    pixels = np.random.default_rng(0).integers(0, 255, (side, side), dtype=np.uint8)
    image = ImageRef(blob=blobs.put(encode_png(pixels)), width=side, height=side, mode="L")
    return Study(images=(image,), modality="US", body_part="breast", **fields)


CLAIM = {"section": "findings", "kind": "observation", "text": "The longest diameter is {E4}.", "evidence": ["E4"]}
IMPRESSION = {"section": "impression", "kind": "interpretation", "text": "The category is {E5}.", "evidence": ["E5"]}
CONCLUSION = {"name": "conclude", "args": {"claims": [CLAIM, IMPRESSION], "category": "{E5}"}}
CALLS = [
    {"name": "detect_lesions", "args": {}},
    {"name": "segment_lesion", "args": {}},
    {"name": "measure_lesion", "args": {"mask": "E3"}},
    {"name": "apply_guideline", "args": {}},
]


def conclude(*texts, category=None, evidence=("E1",)):
    claims = [{"section": "findings", "kind": "observation", "text": text, "evidence": list(evidence)} for text in texts]
    return {"name": "conclude", "args": {"claims": claims, "category": category}}


def abstain(reason="question_out_of_scope"):
    return {"name": "abstain", "args": {"reason": reason, "message": "Ask about a breast ultrasound image."}}


def tools():
    return [Detect(), Outline(), Measure(), Rule()]


class Bench:
    """A case, a trace and an assembly, and ways to run them."""

    def __init__(self, folder):
        self.folder = folder

    def writer(self, name="run"):
        return TraceWriter.create(self.folder / name, TraceHeader(run_id="r1", simulated=True))

    def assembly(self, steps, with_tools=None, **settings):
        parts = with_tools if with_tools is not None else tools()
        return Assembly(
            settings=Settings(cache_dir=self.folder, **settings),
            tools={part.name: part for part in parts},
            planner=steps if not isinstance(steps, list) else ScriptedPlanner(steps),
            model_name="scripted",
            digest="d" * 64,
            simulated=True,
        )

    def case(self, **fields):
        blobs = MemoryBlobStore()
        return Case(make_study(blobs, **fields), blobs)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def parts():
    """What tests of this room share: tools, steps and small helpers."""
    Hang.begun.clear()
    Hang.released.clear()
    yield SimpleNamespace(
        Detect=Detect, Hang=Hang, NanEvidence=NanEvidence, Orphan=Orphan, Outline=Outline, Refuse=Refuse, Rule=Rule, age=age,
        gives_nan=gives_nan, raises=raises, CALLS=CALLS, CLAIM=CLAIM, CONCLUSION=CONCLUSION, abstain=abstain, conclude=conclude,
        make_study=make_study, tools=tools,
    )  # fmt: skip
    Hang.released.set()
