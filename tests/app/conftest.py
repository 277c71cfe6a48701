"""For tests of the faces without weights: a simulated model whose heads see one thing only, dark pixels on a grey ground."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from langchain_core.messages import ToolMessage
from scipy import ndimage

from citrus_agent import model
from citrus_agent.core.protocols import Classification, Detection, Scope, Segmentation
from citrus_agent.graphs.scripted import ScriptedPlanner

DARK, BRIGHT = 60, 200


class DarkHeads:
    """Detector, segmenter and classifier at once. A dark part is a lesion, a very dark one suspicious, a bright image out of domain."""

    name, digest, simulated = "dark", "0" * 64, True
    scope = Scope(frozenset({"US"}), frozenset({"breast"}))

    def _parts(self, image):
        labels, _ = ndimage.label(image < DARK)
        found = sorted(ndimage.find_objects(labels), key=lambda where: -(labels[where] > 0).sum())[:2]
        return [(where[1].start, where[0].start, where[1].stop - 1, where[0].stop - 1) for where in found]

    def detect(self, image):
        return [Detection(tuple(map(float, box)), "lesion", 0.9) for box in self._parts(image)]

    def segment(self, image, *, box=None, point=None, seg=False):
        inside = image < DARK
        if box is not None:
            x1, y1, x2, y2 = (round(v) for v in box)
            keep = np.zeros_like(inside)
            keep[y1 : y2 + 1, x1 : x2 + 1] = True
            inside &= keep
        return Segmentation(np.where(inside, 0.98, 0.02).astype(np.float32), 0.9)

    def classify(self, image):
        in_domain = 0.0 if image.mean() > BRIGHT else 0.99
        suspicious = 0.9 if (image < DARK // 3).any() else 0.1
        lesion = 0.95 if (image < DARK).any() else 0.05
        probabilities = {"normal": 1 - lesion, "benign_looking": lesion * (1 - suspicious), "suspicious": lesion * suspicious}
        return Classification(probabilities, in_domain)


class SimulatedModel:
    """What ``load_model`` gives, without weights. ``script`` is what its planner does."""

    script = ()
    name, digest, simulated = "simulated", "0" * 64, True
    detector = segmenter = classifier = DarkHeads()
    sentences = None

    @property
    def digests(self):
        return {"heads": self.digest}

    @property
    def chat(self):
        return ScriptedPlanner(self.script)


def latest(kind, messages):
    """Handle of the last evidence of a kind that the planner was told of."""
    told = "\n".join(str(message.content) for message in messages if isinstance(message, ToolMessage))
    return re.findall(rf"^(E\d+) {kind}\b", told, re.MULTILINE)[-1]


def on_latest_mask(name):
    return lambda messages: {"name": name, "args": {"mask": latest("mask", messages)}}


def conclude(messages):
    finding, length, outcome = (latest(kind, messages) for kind in ("finding", "measurement longest_diameter", "rule_outcome"))
    claims = [
        ("findings", "observation", f"The image looks {{{finding}.value}}.", [finding]),
        ("findings", "observation", f"Its longest diameter is {{{length}}}.", [length]),
        ("impression", "interpretation", f"This is {{{outcome}.category}}.", [outcome]),
    ]
    keys = ("section", "kind", "text", "evidence")
    return {"name": "conclude", "args": {"claims": [dict(zip(keys, c, strict=True)) for c in claims], "category": f"{{{outcome}}}"}}


READING = (
    {"name": "detect_lesions", "args": {}},
    {"name": "segment_lesion", "args": {"seg": True}},
    on_latest_mask("measure_lesion"),
    on_latest_mask("describe_lesion"),
    {"name": "apply_guideline", "args": {}},
    conclude,
)
"""The usual reading, as a script."""


def draw(lesions=(), shape=(96, 128), ground=120, seed=0):
    """uint8 (H, W): grey noise with an ellipse for each ``(x, y, half width, half height, grey)``; and the mask, bool (H, W)."""
    random = np.random.default_rng(seed)
    image = np.clip(random.normal(ground, 6, shape), DARK + 10, 255)
    mask = np.zeros(shape, bool)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for x, y, a, b, grey in lesions:
        inside = ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 <= 1
        image[inside] = grey
        mask |= inside
    return image.astype(np.uint8), mask


@pytest.fixture(scope="session")
def weights():
    """Folder of the embedded model; skips where its weights were not shipped."""
    folder = Path(model.__file__).parent / "weights" / "citrus-v-nano"
    if not any((folder / "planner").glob("*.safetensors")):
        pytest.skip("needs the weights of citrus-v-nano")
    return folder


@pytest.fixture
def picture():
    """The function ``draw``."""
    return draw


@pytest.fixture
def simulated_model(monkeypatch, tmp_path):
    """Every assembly takes this model, and a cache folder of its own; a test may set its ``script`` and its heads."""
    simulated = SimulatedModel()
    simulated.script = READING
    monkeypatch.setattr("citrus_agent.graphs.assembly._load_model", lambda settings: simulated)
    monkeypatch.setenv("CITRUS_CACHE_DIR", str(tmp_path / "cache"))
    return simulated
