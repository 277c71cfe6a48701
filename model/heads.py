"""The grounding heads as core protocols: detector, segmenter and classifier over one image embedding. Knows no evidence and no graph."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import Box
from citrus_agent.core.protocols import Classification, Detection, Image, Scope, Segmentation
from citrus_agent.model.domain import Domain
from citrus_agent.model.encoder import ImageEncoder
from citrus_agent.model.grounding import FINDINGS, GroundingEnsemble
from citrus_agent.model.litemedsam import SIDE, build_decoder, to_source, to_square

BREAST_ULTRASOUND = Scope(frozenset({"US"}), frozenset({"breast"}))
MIN_CELLS = 60  # a component smaller than this, in pixels of the 256 x 256 frame, is noise


@dataclass(frozen=True)
class Reading:
    """What the heads see in one image. ``lesion``: logits float32 (256, 256). ``finding``: probabilities by name."""

    lesion: NDArray[np.float32]
    finding: dict[str, float]
    in_domain: float


class GroundingModel:
    """Weights and shared computation; the three heads below are views of it. All are loaded at first use."""

    def __init__(self, weights: Path, encoder: ImageEncoder, digest: str) -> None:
        self.encoder, self.digest, self._weights = encoder, digest, weights
        self._readings: OrderedDict[int, tuple[NDArray[np.float32], Reading]] = OrderedDict()
        self._lock = Lock()

    @cached_property
    def _head(self) -> tuple[GroundingEnsemble, Domain]:
        from safetensors.torch import load_file

        state = {key: value.float() for key, value in load_file(self._weights).items()}
        domain = Domain.from_state({key: state.pop(key) for key in list(state) if key.startswith("domain.")})
        head = GroundingEnsemble.from_state(state)
        return head.eval().requires_grad_(False).to(self.encoder.device), domain

    @cached_property
    def _decoder(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        prompts, masks = build_decoder()
        return prompts.to(self.encoder.device), masks.to(self.encoder.device)

    def read(self, image: Image) -> Reading:
        """Lesion map, finding and domain of uint8 (H, W[, 3])."""
        embedding = self.encoder.embed(image)
        with self._lock:
            known = self._readings.get(id(embedding))
            if known is None or known[0] is not embedding:
                known = self._readings[id(embedding)] = (embedding, self._read(embedding))
                if len(self._readings) > 8:
                    self._readings.popitem(last=False)
            return known[1]

    def _read(self, embedding: NDArray[np.float32]) -> Reading:
        head, domain = self._head
        with torch.inference_mode():
            output = head(self._tensor(embedding))
            lesion = functional.interpolate(output.lesion, size=(SIDE, SIDE), mode="bilinear", align_corners=False)[0, 0]
            finding = output.finding.softmax(1)[0].tolist()
        return Reading(lesion.cpu().numpy(), dict(zip(FINDINGS, finding, strict=True)), domain.score(embedding))

    def _tensor(self, array: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(np.array(array))[None].to(self.encoder.device)

    def decode(
        self, image: Image, *, box: NDArray[np.float32] | None = None, point: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], float]:
        """LiteMedSAM's mask logits float32 (256, 256) and predicted IoU for a box (2, 2) or point (1, 2) in the 256 x 256 frame."""
        prompts, masks = self._decoder
        device = self.encoder.device
        points = None if point is None else (torch.from_numpy(point)[None].to(device), torch.ones(1, 1, device=device))
        boxes = None if box is None else torch.from_numpy(box).reshape(1, 1, 4).to(device)
        with torch.inference_mode():
            sparse, dense = prompts(points=points, boxes=boxes, masks=None)
            logits, iou = masks(
                image_embeddings=self._tensor(self.encoder.embed(image)),
                image_pe=prompts.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
        return logits[0, 0].float().cpu().numpy(), float(iou[0, 0].clamp(0, 1))


class _View:
    """What the heads share."""

    simulated = False
    scope = BREAST_ULTRASOUND

    def __init__(self, model: GroundingModel, name: str) -> None:
        self._model, self.name = model, name

    @property
    def digest(self) -> str:
        """sha256 of the heads' weights."""
        return self._model.digest


class NanoClassifier(_View):
    """Finding probabilities and the domain score."""

    def classify(self, image: Image) -> Classification:
        """Normal, benign-looking, suspicious; ``in_domain`` is how much the image is like breast ultrasound."""
        reading = self._model.read(image)
        return Classification(reading.finding, reading.in_domain)


class NanoDetector(_View):
    """Lesion boxes: connected components of the lesion map."""

    def detect(self, image: Image) -> Sequence[Detection]:
        """Boxes in source pixels, best first."""
        reading = self._model.read(image)
        height, width = image.shape[:2]
        return [Detection(_source_box(c.box, width, height), "lesion", c.score) for c in components(reading)]


class NanoSegmenter(_View):
    """LiteMedSAM prompted by a box or point, or by the lesion map itself (``seg``)."""

    def segment(self, image: Image, *, box: Box | None = None, point: tuple[float, float] | None = None, seg: bool = False) -> Segmentation:
        """Probability in the source frame, float32 (H, W). ``seg`` alone outlines all lesions, with a box the one in it."""
        height, width = image.shape[:2]
        corners = None if box is None else to_square(np.array(box, np.float32).reshape(2, 2), width, height)
        if seg:
            logits, iou = self._automatic(image, corners)
        elif corners is not None:
            logits, iou = self._model.decode(image, box=corners)
        elif point is not None:
            logits, iou = self._model.decode(image, point=to_square(np.array([point], np.float32), width, height))
        else:
            raise ToolArgumentError("give a box, a point or seg=true")
        source = functional.interpolate(torch.from_numpy(logits)[None, None], size=(height, width), mode="bilinear", align_corners=False)
        return Segmentation(source[0, 0].sigmoid().numpy(), iou)

    def _automatic(self, image: Image, corners: NDArray[np.float32] | None) -> tuple[NDArray[np.float32], float | None]:
        reading = self._model.read(image)
        boxes = [c.box for c in components(reading)] if corners is None else [corners]
        if not boxes:
            return np.full((SIDE, SIDE), -8.0, np.float32), None
        decoded = [self._model.decode(image, box=box) for box in boxes]
        refined = np.max([logits for logits, _ in decoded], axis=0)
        near = np.logical_or.reduce([_near(box) for box in boxes])
        return np.where(near, fuse(refined, reading.lesion), -8.0).astype(np.float32), min(iou for _, iou in decoded)


@dataclass(frozen=True)
class Component:
    """``box``: float32 (2, 2), x and y of two corners in the 256 x 256 frame. ``score`` in 0..1."""

    box: NDArray[np.float32]
    score: float


def components(reading: Reading) -> list[Component]:
    """Lesions in a reading, best first, none where normal is the likeliest finding; the mean probability inside is the score.

    A lesion is a connected part of the map above its ``level``.
    """
    if max(reading.finding, key=reading.finding.__getitem__) == "normal":
        return []
    labels, _ = ndimage.label(reading.lesion > level(reading.lesion))
    present = 1 - reading.finding["normal"]
    found = []
    for index, where in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[where] == index
        if inside.sum() < MIN_CELLS:
            continue
        probability = float((1 / (1 + np.exp(-reading.lesion[where][inside]))).mean())
        rows, columns = where
        box = np.array([[columns.start, rows.start], [columns.stop - 1, rows.stop - 1]], np.float32)
        found.append(Component(box, probability * present))
    return sorted(found, key=lambda c: -c.score)


def level(lesion: NDArray[np.float32]) -> float:
    """The logit above which the map marks a lesion: one half, or two logits below a peak that is lower than that allows."""
    return min(0.0, float(lesion.max()) - 2)


def fuse(refined: NDArray[np.float32], lesion: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of LiteMedSAM's logits and the lesion map's above its level, each held to -8..8 so that neither silences the other."""
    return ((np.clip(refined, -8, 8) + np.clip(lesion - level(lesion), -8, 8)) / 2).astype(np.float32)


def _near(box: NDArray[np.float32]) -> NDArray[np.bool_]:
    """bool (256, 256): inside the box grown by a fifth on each side, so that an outline may pass its box but not reach another lesion."""
    grown = (box[1] - box[0]) * 0.2
    rows, columns = np.arange(SIDE)[:, None], np.arange(SIDE)[None]
    (x1, y1), (x2, y2) = box[0] - grown, box[1] + grown
    return (columns >= x1) & (columns <= x2) & (rows >= y1) & (rows <= y2)


def _source_box(box: NDArray[np.float32], width: int, height: int) -> Box:
    (x1, y1), (x2, y2) = np.clip(to_source(box, width, height), 0, [width - 1, height - 1]).tolist()
    return (x1, y1, x2, y2)
