"""Tools of a simulated consultation: they answer with real evidence nouns and made-up but consistent values. Knows no planner.

Only the planner's training and evaluation use this; nothing here is ever shown to a user as a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from citrus_agent.core.errors import ContractRefusal, ToolArgumentError, ToolError, ToolFailure, ToolTimeout
from citrus_agent.core.evidence import Descriptor, DocumentField, Evidence, Finding, Mask, Measurement, Passage, Region, RuleOutcome
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.model.planner.arguments import ARGUMENTS, GUIDELINE

FEATURES = {
    "shape": ("oval", "round", "irregular"),
    "orientation": ("parallel", "not_parallel"),
    "margin": ("circumscribed", "indistinct", "angular", "microlobulated", "spiculated"),
    "echo_pattern": ("anechoic", "hyperechoic", "isoechoic", "hypoechoic", "complex_cystic_solid", "heterogeneous"),
    "posterior_features": ("none", "enhancement", "shadowing", "combined"),
}
SECTIONS = (
    *("overview", "mass-definition", "shape", "orientation", "margin-circumscribed", "margin-not-circumscribed", "margin-indistinct"),
    *("margin-spiculated", "echo-pattern", "posterior-features", "calcifications", "special-simple-cyst", "special-complicated-cyst"),
    *("special-lymph-nodes", "report-structure", "report-findings", "category-0", "category-1", "category-2", "category-3"),
    *("category-3-followup", "category-4", "category-4a", "category-4b", "category-4c", "category-5", "category-6"),
)
REFUSALS = (
    ("image_domain", "needs an image like breast ultrasound; this one is not (in-domain score {score}, at least 0.5 needed)"),
    ("image_domain", "the image does not look like breast ultrasound"),
    ("modality", "needs modality US, the study is {modality}"),
    ("body_part", "needs body part breast, the study is {part}"),
    ("view", "needs view {part}, the study is {modality}"),
)


@dataclass
class World:
    """One simulated case. ``truth``: normal, benign or suspicious; ``faults``: the error that a tool answers with."""

    seed: int
    truth: str
    regions: int
    faults: dict[str, ToolError] = field(default_factory=dict)
    width: int = 500
    height: int = 400
    unit: str = "{pixel}"
    undetermined: bool = False
    passages: int = 3
    graph: EvidenceGraph = field(default_factory=EvidenceGraph)

    def call(self, name: str, arguments: dict[str, Any]) -> list[Evidence]:
        """Answer like the tool would; new evidence is added to the graph. Raises the tool's fault where it has one."""
        if name in self.faults:
            raise self.faults[name]
        ARGUMENTS[name].model_validate(arguments)
        items: list[Evidence] = _TOOLS[name](self, arguments)
        for item in items:
            self.graph.add(item)
        return items

    def random(self, purpose: str) -> np.random.Generator:
        """The same stream for the same case and purpose."""
        return np.random.default_rng([self.seed, int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big")])

    @property
    def probability(self) -> float:
        """Of being suspicious, in keeping with ``truth``."""
        low, high = {"normal": (0.0, 0.15), "benign": (0.01, 0.45), "suspicious": (0.5, 0.999)}[self.truth]
        return float(self.random("probability").uniform(low, high))


def fault(random: np.random.Generator, kind: str) -> ToolError:
    """An error of the given kind in the words that tools use."""
    if kind == "timeout":
        return ToolTimeout(f"the tool ran past its limit of {random.choice([10, 30, 60])} s; go on without it")
    if kind == "argument":
        return ToolArgumentError("mend the arguments: the tool could not use them")
    if kind == "sent back":
        claim = f"C{random.integers(1, 9)}"
        reasons = (
            "E5 (passage) has no printable field 'text'",
            "E13 (rule_outcome) has no printable field 'recommendation'",
            "evidence does not exist",
        )
        return ToolArgumentError(f"mend this and conclude again: {claim} (unsupported): {random.choice(reasons)}")
    if kind == "failure":
        return ToolFailure(
            f"failed, try another way or go on without it: {random.choice(['ValueError', 'RuntimeError: out of memory', 'OSError'])}"
        )
    field_name, text = REFUSALS[
        int(random.choice([i for i, (name, _) in enumerate(REFUSALS) if (name == "image_domain") == (kind == "domain")]))
    ]
    words = {
        "score": f"{random.uniform(0, 0.49):.2f}",
        "modality": random.choice(["CT", "MR", "CR", "DX", "MG", "PT"]),
        "part": random.choice(["thyroid", "CHEST", "liver", "ABDOMEN", "brain"]),
    }
    return ContractRefusal(text.format(**words), field_name)


def _detect(world: World, arguments: dict[str, Any]) -> list[Evidence]:
    random, suspicious = world.random("detect"), world.probability
    normal = float(random.uniform(0.6, 0.99)) if world.truth == "normal" else float(random.uniform(0, 0.3)) * (1 - suspicious)
    shares = {"normal": normal, "benign_looking": (1 - normal) * (1 - suspicious), "suspicious": (1 - normal) * suspicious}
    value = max(shares, key=lambda name: shares[name])
    found: list[Evidence] = [
        Finding(tool="detect_lesions", name="image_impression", value=value, score=min(1.0, shares[value]), probabilities=shares)
    ]
    for index in range(world.regions):
        x, y = random.uniform(0, world.width * 0.6), random.uniform(0, world.height * 0.6)
        box = (x, y, x + random.uniform(20, world.width * 0.4), y + random.uniform(20, world.height * 0.4))
        found.append(Region(tool="detect_lesions", box=box, label="lesion", score=float(random.uniform(0.4, 0.99)) * 0.9**index))
    return found


def _segment(world: World, arguments: dict[str, Any]) -> list[Evidence]:
    random = world.random(f"segment{sorted(arguments.items())}")
    parents = (world.graph.resolve(arguments["region"]).id,) if "region" in arguments else ()
    blob = hashlib.sha256(f"{world.seed}{arguments}".encode()).hexdigest()
    return [Mask(tool="segment_lesion", blob=blob, box=None, area_px=int(random.integers(300, 40000)), derived_from=parents)]


def _measure(world: World, arguments: dict[str, Any]) -> list[Evidence]:
    mask = world.graph.resolve(arguments["mask"])
    random = world.random(f"measure{mask.id}")
    longest = float(random.uniform(4, 40) if world.unit == "mm" else random.uniform(30, 260))
    short, ratio = longest * float(random.uniform(0.4, 0.95)), float(random.uniform(0.4, 1.6))
    square = "mm2" if world.unit == "mm" else "{pixel2}"
    rows = (
        ("longest_diameter", longest, world.unit),
        ("perpendicular_diameter", short, world.unit),
        ("area", 0.78 * longest * short, square),
        ("taller_than_wide_ratio", ratio, "1"),
    )
    spread = float(random.uniform(0.01, 0.12))
    return [
        Measurement(
            tool="measure_lesion",
            quantity=name,
            value=value,
            unit=unit,
            low=value * (1 - spread),
            high=value * (1 + spread),
            derived_from=(mask.id,),
        )
        for name, value, unit in rows
    ]


def _describe(world: World, arguments: dict[str, Any]) -> list[Evidence]:
    mask = world.graph.resolve(arguments["mask"])
    random = world.random(f"describe{mask.id}")
    found: list[Evidence] = []
    for feature, terms in FEATURES.items():
        leaning = np.linspace(2.0, 0.5, len(terms)) if world.truth == "benign" else np.linspace(0.5, 2.0, len(terms))
        term = str(random.choice(terms, p=leaning / leaning.sum()))
        score = float(random.uniform(0.5, 1))
        if feature == "posterior_features" and random.random() < 0.2:
            continue  # the tool leaves it out where the image ends below the lesion
        found.append(Descriptor(tool="describe_lesion", feature=feature, term=term, score=score, derived_from=(mask.id,)))
    return found


def _view(world: World, arguments: dict[str, Any]) -> list[Evidence]:
    parents = (world.graph.resolve(arguments["region"]).id,) if "region" in arguments else ()
    value = hashlib.sha256(f"view{world.seed}{arguments}".encode()).hexdigest()
    return [DocumentField(tool="view_region", name="view", value=value, derived_from=parents)]


def _apply(world: World, arguments: dict[str, Any]) -> list[Evidence]:
    parents = tuple(item.id for item in world.graph.of_kind("finding", "region", "measurement", "descriptor"))
    missing = tuple(sorted(world.random("missing").choice(list(FEATURES), 2, replace=False)))
    fields: dict[str, Any] = {"tool": "apply_guideline", "guideline": GUIDELINE, "version": "1", "derived_from": parents}
    if world.undetermined:
        return [RuleOutcome(**fields, status="undetermined", category=None, recommendation="", missing=missing)]
    category = _category(world)
    return [RuleOutcome(**fields, status="decided", category=category, recommendation=f"Manage as {category}.")]


def _category(world: World) -> str:
    if not world.graph.of_kind("region", "mask"):
        return "BI-RADS 1" if world.truth == "normal" else "BI-RADS 0"
    random, p = world.random("category"), world.probability
    bands = ((0.02, "BI-RADS 3"), (0.1, "BI-RADS 4A"), (0.5, "BI-RADS 4B"), (0.95, "BI-RADS 4C"), (1.0, "BI-RADS 5"))
    decided = next(name for edge, name in bands if p <= edge)
    return str(random.choice(["BI-RADS 2", "BI-RADS 3", "BI-RADS 0"])) if p < 0.1 and random.random() < 0.6 else decided


def _search(world: World, arguments: dict[str, Any]) -> list[Evidence]:
    random = world.random(f"search{arguments['query']}")
    found: list[Evidence] = []
    for section in random.choice(SECTIONS, min(world.passages, int(arguments.get("k", 3))), replace=False):
        digest = hashlib.sha256(section.encode()).hexdigest()
        found.append(
            Passage(
                tool="search_guidelines",
                guideline=GUIDELINE,
                edition="5th edition",
                section=str(section),
                text=f"Simulated text of {section}.",
                text_sha256=digest,
                span=(0, 10),
                citation=f"ACR BI-RADS Atlas 5th ed. 2013, {section}",
                score=1.0,
            )
        )
    return found


_TOOLS: dict[str, Callable[[World, dict[str, Any]], list[Evidence]]] = {
    "detect_lesions": _detect,
    "segment_lesion": _segment,
    "measure_lesion": _measure,
    "describe_lesion": _describe,
    "view_region": _view,
    "apply_guideline": _apply,
    "search_guidelines": _search,
}
