"""The automatic reading of a folder of images: predictions on disk, and metrics where there is a truth. Knows no planner."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from citrus_agent.app.alone import call_tool, open_case
from citrus_agent.app.image_folder import Image, find_images
from citrus_agent.core.case import Case
from citrus_agent.core.errors import CitrusError, ContractRefusal
from citrus_agent.core.evidence import Box
from citrus_agent.core.settings import load_settings
from citrus_agent.graphs.assembly import build_tools
from citrus_agent.model.evaluation import ImageResult, evaluate

COLUMNS = ("name", "status", "category", "p_suspicious", "boxes")


@dataclass(frozen=True)
class Prediction:
    """What was read. ``mask``: bool (H, W), source size; None when the file could not be opened."""

    name: str
    status: str
    mask: NDArray[np.bool_] | None = None
    boxes: tuple[tuple[Box, float], ...] = ()
    p_suspicious: float | None = None
    category: str | None = None

    def row(self) -> dict[str, str]:
        """The line of ``predictions.csv``."""
        boxes = [{"box": [round(v, 2) for v in box], "score": round(score, 6)} for box, score in self.boxes]
        probability = "" if self.p_suspicious is None else f"{self.p_suspicious:.6f}"
        return dict(zip(COLUMNS, (self.name, self.status, self.category or "", probability, json.dumps(boxes)), strict=True))


class AutomaticReader:
    """The tools in their fixed order, without planner: detect, outline, measure, describe, categorise."""

    def __init__(self, model: str) -> None:
        self.model, tools = build_tools(load_settings(model=model))
        self._tools = {tool.name: tool for tool in tools}

    def read(self, case: Case) -> None:
        """Fill the case with evidence; stops at the first tool that fails."""
        self._call("detect_lesions", case, image=0)
        [mask] = self._call("segment_lesion", case, image=0, seg=True)
        if case.mask(mask).any():
            handle = case.evidence.handle(mask.id)
            self._call("measure_lesion", case, mask=handle)
            self._call("describe_lesion", case, mask=handle)
        self._call("apply_guideline", case)

    def _call(self, name: str, case: Case, **arguments: Any) -> list[Any]:
        return call_tool(self._tools[name], case, arguments)

    def predict(self, image: Image) -> Prediction:
        """Read one file; every failure becomes a status."""
        try:
            case = open_case([image.path], modality="US", body_part="breast")
        except CitrusError as error:
            return Prediction(image.name, f"error:{error.code}")
        try:
            self.read(case)
        except CitrusError as error:
            return prediction_of(image.name, _status(error), case)
        return prediction_of(image.name, "ok", case)


def _status(error: CitrusError) -> str:
    if isinstance(error, ContractRefusal):
        return "abstained:image_out_of_scope" if error.field == "image_domain" else "abstained:contract_refused"
    return f"error:{error.code}"


def prediction_of(name: str, status: str, case: Case) -> Prediction:
    """What the evidence of a case says, as far as it got; no mask means that nothing is marked."""
    reference = case.reference(0)
    merged = np.zeros((reference.height, reference.width), bool)
    for mask in case.evidence.of_kind("mask"):
        merged |= case.mask(mask)
    findings = [item for item in case.evidence.of_kind("finding") if item.name == "image_impression"]
    outcomes = [item.category for item in case.evidence.of_kind("rule_outcome")]
    return Prediction(
        name,
        status,
        merged,
        tuple((item.box, item.score) for item in case.evidence.of_kind("region")),
        findings[0].probabilities.get("suspicious") if findings else None,
        outcomes[-1] if outcomes else None,
    )


def result_of(image: Image, prediction: Prediction) -> ImageResult | None:
    """Prediction beside truth; None without label, without a readable mask of the image's size, or where the image could not be read."""
    item, mask = image.item, prediction.mask
    if item is None or mask is None or (item.label != "normal" and not item.masks):
        return None
    try:
        truth = item.mask()
    except (OSError, ValueError):
        return None
    return (
        ImageResult(image.name, item.label, truth, mask, prediction.boxes, prediction.p_suspicious) if truth.shape == mask.shape else None
    )


@contextmanager
def _writer(out: Path | None) -> Iterator[Callable[[Prediction], None]]:
    if out is None:
        yield lambda prediction: None
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()

        def write(prediction: Prediction) -> None:
            if prediction.mask is not None:
                PILImage.fromarray(prediction.mask.astype(np.uint8) * 255).save(out / f"{prediction.name}_pred.png")
            table.writerow(prediction.row())
            file.flush()

        yield write


def evaluate_folder(
    root: Path,
    *,
    model: str = "citrus-v-nano",
    predictions: Path | None = None,
    subset: Path | None = None,
    fold: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Read every image; returns counts by status and, where there is a truth, the metrics of ``model.evaluation``."""
    images = find_images(root, subset, fold)
    reader = AutomaticReader(model)
    statuses: Counter[str] = Counter()
    results: list[ImageResult] = []
    with _writer(predictions) as write:
        for done, image in enumerate(images, start=1):
            prediction = reader.predict(image)
            write(prediction)
            statuses[prediction.status] += 1
            result = result_of(image, prediction)
            results += [result] if result is not None else []
            if progress is not None:
                progress(done, len(images))
    return {
        "images": len(images),
        "with_truth": len(results),
        "statuses": dict(statuses),
        "metrics": evaluate(results) if results else {},
        "model": reader.model.name,
        "model_digest": reader.model.digest,
    }
