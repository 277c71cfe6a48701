"""The policy that training teaches: the next call, given what is wanted and what is known. Reads intents, never wordings or pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from citrus_agent.core.errors import ToolError
from citrus_agent.core.study import Study
from citrus_agent.model.planner.arguments import GUIDELINE
from citrus_agent.model.planner.claims import ASSESSING, Handles, conclusion
from citrus_agent.model.planner.simulate import World

Call = tuple[str, dict[str, Any]]
ORDER = ("detect_lesions", "segment_lesion", "measure_lesion", "describe_lesion", "view_region", "apply_guideline", "search_guidelines")
_SIZES = ("measure", "diameter", "area", "ratio")
_FEATURES = ("describe", "shape", "orientation", "margin", "echo_pattern", "posterior_features")
ANY_MODALITY = ("segment", "view", *_SIZES)
"""Wants that a box or point of the user answers on any image: the segmentation branch is general."""

CAN = (
    "This assistant reads breast ultrasound images: it finds, outlines, measures and describes lesions, assesses them by BI-RADS "
    "and looks up the guideline."
)
REFUSED = {
    "creative": "It does not write texts of that kind.",
    "chat": "It does not make conversation.",
    "general": "It does not answer general questions.",
    "code": "It does not work on code or files.",
    "medication": "It does not prescribe, dose or advise on medicines.",
    "patient_data": "It has no access to records and does not identify people.",
    "other_organ": "It does not assess other organs or examinations.",
    "clinical": "It does not give clinical advice beyond the image and the guideline.",
    "injection": "It does not set aside its rules or state what the image does not show.",
}
MESSAGES = {
    "contract_refused": "The study is not a breast ultrasound; give a breast ultrasound image, or a box or point to outline.",
    "image_out_of_scope": "The image does not look like breast ultrasound; give a breast ultrasound image.",
    "no_image": "There is no image; give a breast ultrasound image, or ask about the guideline.",
    "no_evidence": "The tools gave no result for this question; try again, or ask for another part of the reading.",
}
QUERIES = {
    "categories": "BI-RADS assessment categories overview",
    "likelihood": "likelihood of malignancy by category, subdivision of category four",
    "margin": "margin circumscribed, indistinct, angular, microlobulated, spiculated",
    "shape": "shape of a mass: oval, round, irregular",
    "orientation": "orientation of a mass: parallel, not parallel, taller than wide",
    "echo_pattern": "echo pattern: anechoic, hypoechoic, isoechoic, complex cystic and solid",
    "posterior_features": "posterior features: enhancement, shadowing, combined pattern",
    "follow_up": "short-interval follow-up of probably benign findings",
    "biopsy": "tissue diagnosis, biopsy of suspicious masses",
    "size": "measuring the size of a mass in the report",
    "cyst": "simple cyst, complicated cyst, clustered microcysts",
    "reporting": "structure of the report, findings and final assessment",
    "calcifications": "calcifications on ultrasound",
    "vascularity": "vascularity and elasticity of a mass",
}


@dataclass
class Scene:
    """All that decides the right calls. ``modality_known``: the study line names a modality that fits; ``seen``: image tokens are given."""

    question: str
    wants: tuple[str, ...]
    topic: str = ""
    box: list[float] | None = None
    point: list[float] | None = None
    study: Study | None = None
    seen: bool = True
    inside: bool = True
    tools: tuple[str, ...] = (*ORDER, "conclude", "abstain")
    log: list[tuple[str, dict[str, Any], ToolError | None]] = field(default_factory=list)

    def called(self, name: str) -> bool:
        """Was this tool called already, with or without success?"""
        return any(call == name for call, _, _ in self.log)

    def error(self, name: str) -> ToolError | None:
        """The error that this tool answered with."""
        return next((error for call, _, error in self.log if call == name and error), None)


def next_call(scene: Scene, world: World) -> Call:
    """The call that a good planner makes now."""
    refusal = _refusal(scene)
    if refusal is not None:
        return "abstain", refusal
    handles = Handles(world.graph)
    for name in _needed(scene):
        if name in scene.tools and not scene.called(name):
            arguments = _arguments(name, scene, world, handles)
            if arguments is not None:
                return name, arguments
    concluded = conclusion(scene.wants, world.graph)
    if concluded and scene.called("conclude"):
        concluded = _plainer(concluded)
    return ("conclude", concluded) if concluded else ("abstain", _abstain("no_evidence"))


def _plainer(arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The same conclusion after it was sent back: without the sentences that print a field of the evidence."""
    claims = [claim for claim in arguments["claims"] if not re.search(r"\{E\d+\.", claim["text"])]
    return {**arguments, "claims": claims} if claims else None


def _abstain(reason: str, message: str | None = None) -> dict[str, Any]:
    return {"reason": reason, "message": message or MESSAGES[reason]}


def _refusal(scene: Scene) -> dict[str, Any] | None:
    """Why there is no answer, before any call or after the detector refused; None where there is one."""
    if scene.wants[0] == "out_of_scope":
        return _abstain("question_out_of_scope", f"{REFUSED[scene.topic]} {CAN}")
    if scene.wants == ("guideline",):
        return None
    if scene.study is None:
        return _abstain("no_evidence", MESSAGES["no_image"])
    prompted = (scene.box is not None or scene.point is not None) and all(want in ANY_MODALITY for want in scene.wants)
    if prompted:
        return None
    if scene.study.modality not in ("US", "unknown") or scene.study.body_part.casefold() not in ("breast", "unknown"):
        return _abstain("contract_refused")
    if scene.seen and not scene.inside and scene.study.modality == "unknown":
        return _abstain("image_out_of_scope")
    error = scene.error("detect_lesions")
    if error is not None and error.code == "contract_refusal":
        return _abstain("image_out_of_scope" if getattr(error, "field", "") == "image_domain" else "contract_refused")
    return None


def _needed(scene: Scene) -> list[str]:
    """Tools for all wants, in the order of a reading."""
    needed: set[str] = set()
    prompted = scene.box is not None or scene.point is not None
    for want in scene.wants:
        needed |= _tools_for(want)
        if want in ("locate", "presence", *ASSESSING) or not prompted or (want == "view" and scene.box is None):
            needed |= {"detect_lesions"} if want != "guideline" else set()
    return [name for name in ORDER if name in needed]


def _tools_for(want: str) -> set[str]:
    if want in ASSESSING:
        return set(ORDER) - {"view_region"}
    if want in _SIZES:
        return {"segment_lesion", "measure_lesion"}
    if want in _FEATURES:
        return {"segment_lesion", "describe_lesion"}
    return {"segment": {"segment_lesion"}, "view": {"view_region"}, "guideline": {"search_guidelines"}}.get(want, set())


def _arguments(name: str, scene: Scene, world: World, handles: Handles) -> dict[str, Any] | None:
    """Arguments of the call, or None where it has nothing to work on."""
    if name == "detect_lesions":
        return {}
    if name in ("segment_lesion", "view_region"):
        return _prompt(scene, handles, points=name == "segment_lesion")
    if name in ("measure_lesion", "describe_lesion"):
        return {"mask": handles.mask} if handles.mask else None
    if name == "apply_guideline":
        return {"guideline": GUIDELINE} if len(world.graph) else None
    return _search(scene, handles)


def _prompt(scene: Scene, handles: Handles, *, points: bool) -> dict[str, Any] | None:
    if scene.box is not None:
        return {"box": scene.box}
    if scene.point is not None and points:
        return {"point": scene.point}
    return {"region": handles.regions[0]} if handles.regions else None


def _search(scene: Scene, handles: Handles) -> dict[str, Any] | None:
    if "guideline" in scene.wants:
        return {"query": QUERIES.get(scene.topic) or f"BI-RADS {scene.topic} meaning, likelihood of malignancy and management"}
    if not handles.regions and not handles.mask:
        return None
    return {"query": f"{handles.category} assessment and management" if handles.category else "assessment categories of a mass"}


def wanted(names: Sequence[str]) -> tuple[str, ...]:
    """Intents in the order in which a report answers them."""
    order = ("presence", "locate", "segment", "view", *_SIZES, *_FEATURES, *ASSESSING, "guideline", "out_of_scope")
    return tuple(sorted(names, key=order.index))
