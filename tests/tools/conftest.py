"""A case with drawn images, and heads that are real classes with fixed answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from citrus_agent.core.blobs import MemoryBlobStore, sha256
from citrus_agent.core.case import Case
from citrus_agent.core.evidence import Mask, Passage, Region, RuleOutcome
from citrus_agent.core.pixels import encode_png
from citrus_agent.core.protocols import Classification, Detection, RuleInput, Scope, Segmentation
from citrus_agent.core.study import ImageRef, Spacing, Study
from citrus_agent.tools.segment_lesion import tight_box

BREAST = Scope(frozenset({"US"}), frozenset({"breast"}))


@dataclass
class Head:
    name: str = "drawn"
    digest: str = "d" * 64
    simulated: bool = False
    scope: Scope = BREAST


@dataclass
class DrawnDetector(Head):
    found: tuple[Detection, ...] = (Detection((10, 12, 30, 33), "lesion", 0.4), Detection((40, 50, 79.6, 90), "lesion", 0.9))

    def detect(self, image):
        return self.found


@dataclass
class DrawnClassifier(Head):
    probabilities: dict[str, float] = field(default_factory=lambda: {"normal": 0.1, "benign_looking": 0.2, "suspicious": 0.7})
    in_domain: float = 0.9

    def classify(self, image):
        return Classification(self.probabilities, self.in_domain)


@dataclass
class DiscSegmenter(Head):
    """A soft disc in the middle of the box or at the point; the image's middle for ``seg``."""

    edge: float = 2.0
    calls: list[dict[str, Any]] = field(default_factory=list)

    def segment(self, image, *, box=None, point=None, seg=False):
        self.calls.append({"box": box, "point": point, "seg": seg})
        height, width = image.shape[:2]
        x, y, radius = width / 2, height / 2, 10.0
        if box is not None:
            x, y, radius = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, min(box[2] - box[0], box[3] - box[1]) / 2
        elif point is not None:
            x, y = point
        rows, columns = np.indices((height, width))
        outside = np.hypot(columns - x, rows - y) - radius
        return Segmentation((1 / (1 + np.exp(np.clip(outside / self.edge, -30, 30)))).astype(np.float32), 0.9)


class Shelf:
    """Retriever and rule book with three inputs: what it was asked is kept."""

    digest = "c" * 64

    def __init__(self, *texts: str) -> None:
        self.texts, self.asked, self.applied = texts, [], {}

    def search(self, query, k=5, where=None):
        self.asked.append((query, k, where))
        return [
            Passage(
                tool="library", guideline="birads_us_2013", edition="5", section=f"s{i}", text=text, text_sha256=sha256(text.encode()),
                span=(0, len(text)), citation="Atlas", score=1.0 / (i + 1),
            )
            for i, text in enumerate(self.texts)
        ]  # fmt: skip

    def guidelines(self):
        return ("birads_us_2013", "ti_rads_2017")

    def inputs(self, guideline):
        names = ("finding", "shape", "margin", "taller_than_wide_ratio", "probability_suspicious")
        return tuple(RuleInput(name, "term") for name in names)

    def apply(self, guideline, facts):
        self.applied = dict(facts)
        return RuleOutcome(
            tool="library",
            model_digest=self.digest,
            guideline=guideline,
            version="1",
            status="decided",
            category="BI-RADS 4A",
            recommendation="Biopsy.",
        )


def ellipse(size=(160, 200), centre=(98.3, 81.7), axes=(40.0, 25.0), degrees=0.0) -> np.ndarray:
    """Bool mask of an ellipse; ``centre`` x, y; semi-axes px; the first axis turned by ``degrees`` from horizontal, y down."""
    rows, columns = np.indices(size)
    x, y, turn = columns - centre[0], rows - centre[1], np.radians(degrees)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return (along / axes[0]) ** 2 + (across / axes[1]) ** 2 <= 1


def star(size=(160, 200), centre=(98.3, 81.7), radius=40.0, depth=0.25, arms=9) -> np.ndarray:
    rows, columns = np.indices(size)
    x, y = columns - centre[0], rows - centre[1]
    return np.hypot(x, y) <= radius * (1 + depth * np.cos(arms * np.arctan2(y, x)))


def lesion_image(mask: np.ndarray, inside=40, outside=120) -> np.ndarray:
    """Speckle-like uint8 image: ``inside`` and ``outside`` mean grey, small noise."""
    noise = np.random.default_rng(0).normal(0, 6, mask.shape)
    return np.clip(np.where(mask, inside, outside) + noise, 0, 255).astype(np.uint8)


def make_case(*images: np.ndarray, spacing: Spacing | None = None, **study: Any) -> Case:
    blobs = MemoryBlobStore()
    references = tuple(
        ImageRef(
            blob=blobs.put(encode_png(image)), width=image.shape[1], height=image.shape[0], mode="L" if image.ndim == 2 else "RGB",
            spacing=spacing, spacing_reason=None if spacing else "no header",
        )
        for image in images or (np.full((100, 120), 90, np.uint8),)
    )  # fmt: skip
    return Case(Study(images=references, **({"modality": "US", "body_part": "breast"} | study)), blobs)


def add_mask(case: Case, mask: np.ndarray, probability: np.ndarray | None = None, **fields: Any) -> str:
    return case.evidence.add(
        Mask(
            tool="segment_lesion", image=case.study.images[0].blob, blob=case.put_mask(mask), box=tight_box(mask), area_px=int(mask.sum()),
            probability_blob=None if probability is None else case.put_probability(probability.astype(np.float32)), **fields,
        )
    )  # fmt: skip


def add_region(case: Case, box=(20, 30, 60, 70), image=0, **fields: Any) -> str:
    return case.evidence.add(
        Region(tool="detect_lesions", image=case.study.images[image].blob, box=box, label="lesion", score=0.8, **fields)
    )


def call(tool: Any, case: Case, **arguments: Any) -> list[Any]:
    """Through LangChain, as a planner's tool call; the reply's artifact."""
    message = tool.invoke(
        {"type": "tool_call", "id": "call-1", "name": tool.name, "args": arguments}, config={"configurable": {"case": case}}
    )
    assert message.tool_call_id == "call-1"
    return message.artifact


class Kit:
    """All of the above in one fixture: test files share no import path."""

    case = staticmethod(make_case)
    call = staticmethod(call)
    add_mask = staticmethod(add_mask)
    add_region = staticmethod(add_region)
    ellipse = staticmethod(ellipse)
    star = staticmethod(star)
    lesion_image = staticmethod(lesion_image)
    Head, Detector, Classifier, Segmenter, Shelf = Head, DrawnDetector, DrawnClassifier, DiscSegmenter, Shelf


@pytest.fixture
def kit() -> Kit:
    return Kit()
