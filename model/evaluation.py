"""Metrics of the automatic reading over a set of images, each with a bootstrap interval. Knows no file and no tool.

Dice comes from MONAI, areas under curves from scikit-learn. Intervals are percentile bootstrap over images (Efron 1979,
doi:10.1214/aos/1176344552): they take the images as independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from citrus_agent.core.evidence import Box

MIN_TRUTH_AREA = 20
RESAMPLES = 1000
T = TypeVar("T")


@dataclass(frozen=True)
class ImageResult:
    """One image: what is there and what was found. Masks are bool (H, W); boxes are source pixels, with scores for the found ones."""

    name: str
    label: str
    truth: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    boxes: Sequence[tuple[Box, float]]
    probability_suspicious: float | None  # None: abstained, left out of the AUC


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval over ``n`` images; NaN is given as None."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Dice coefficient of two bool (H, W) masks; 0 when the truth is empty and the mask is not, 1 when both are empty."""
    import torch
    from monai.metrics import compute_dice

    if not truth.any():
        return 0.0 if mask.any() else 1.0
    pair = (torch.from_numpy(x[None, None].astype(np.float32)) for x in (mask, truth))
    return float(compute_dice(*pair, include_background=True)[0, 0])


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    return shared / (areas - shared) if areas > shared else 0.0


def truth_boxes(truth: NDArray[np.bool_]) -> list[Box]:
    """Tight boxes of the connected parts of a mask, parts under 20 pixels left out."""
    from scipy import ndimage

    labels, _ = ndimage.label(truth)
    found = ndimage.find_objects(labels)
    large = [where for i, where in enumerate(found, start=1) if (labels[where] == i).sum() >= MIN_TRUTH_AREA]
    return [(float(x.start), float(y.start), float(x.stop - 1), float(y.stop - 1)) for y, x in large]


@dataclass(frozen=True)
class Matches:
    """One image's found boxes against its truth boxes: ``scored`` holds (score, matched), ``total`` counts the truth boxes."""

    scored: tuple[tuple[float, bool], ...]
    total: int


def match(case: ImageResult, threshold: float = 0.5) -> Matches:
    """Best-scored first, a box takes the best truth box that is still free where their IoU reaches the threshold."""
    free = truth_boxes(case.truth)
    total, scored = len(free), []
    for box, score in sorted(case.boxes, key=lambda b: -b[1]):
        best = max(free, key=lambda t: iou(t, box), default=None)
        hit = best is not None and iou(best, box) >= threshold
        if hit and best is not None:
            free.remove(best)
        scored.append((score, hit))
    return Matches(tuple(scored), total)


def average_precision(cases: Sequence[ImageResult], threshold: float = 0.5) -> float:
    """AP at an IoU threshold, see ``area_under_matches``."""
    return area_under_matches([match(case, threshold) for case in cases])


def area_under_matches(images: Sequence[Matches]) -> float:
    """AP with all-point interpolation, as in Pascal VOC from 2010 on (Everingham et al. 2015, doi:10.1007/s11263-014-0733-5).

    Truth boxes that nothing matched count as missed. Written here because no kept dependency has it for boxes: scikit-learn's
    ``average_precision_score`` knows no missed truth and does not interpolate.
    """
    scored = [pair for image in images for pair in image.scored]
    total = sum(image.total for image in images)
    if not total:
        return float("nan")
    hits = np.array([hit for _, hit in sorted(scored, key=lambda m: -m[0])], float)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * hits).sum() / total)


def _auc(cases: Sequence[ImageResult]) -> float:
    from sklearn.metrics import roc_auc_score

    truth = [c.label == "malignant" for c in cases]
    if len(set(truth)) < 2:
        return float("nan")
    return float(roc_auc_score(truth, [c.probability_suspicious for c in cases]))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def estimate(cases: Sequence[T], metric: Callable[[Sequence[T]], float], seed: int = 0) -> Estimate:
    """The metric with its percentile bootstrap interval."""
    value = metric(cases)
    if np.isnan(value):
        return Estimate(None, None, None, len(cases))
    random = np.random.default_rng(seed)
    draws = [metric([cases[i] for i in random.integers(len(cases), size=len(cases))]) for _ in range(RESAMPLES)]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Estimate(value, float(low), float(high), len(cases))


def evaluate(cases: Sequence[ImageResult]) -> dict[str, dict[str, float | int | None]]:
    """All metrics by name. ``dice_normal``: 1 for a normal image with nothing marked, else 0; ``false_alarms``: normals with a box."""
    lesions = [c for c in cases if c.label != "normal"]
    normals = [c for c in cases if c.label == "normal"]
    scores = {c.name: dice(c.mask, c.truth) for c in cases}

    def mean_dice(some: Sequence[ImageResult]) -> float:
        return _mean([scores[c.name] for c in some])

    table = {
        "dice_lesion": estimate(lesions, mean_dice),
        "dice_normal": estimate(normals, mean_dice),
        "ap50": estimate([match(c) for c in cases], area_under_matches),
        "auc_suspicious_vs_benign": estimate([c for c in lesions if c.probability_suspicious is not None], _auc),
        "false_alarms": estimate(normals, lambda some: _mean([float(bool(c.boxes)) for c in some])),
    }
    return {name: asdict(value) for name, value in table.items()}
