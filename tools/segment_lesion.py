"""Tool: outline what a region, box or point shows, or the lesion that the model finds itself. Knows no weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from citrus_agent.core.case import Case
from citrus_agent.core.errors import ToolArgumentError, ToolFailure
from citrus_agent.core.evidence import Box, Evidence, Mask, Region
from citrus_agent.core.protocols import Segmentation, Segmenter
from citrus_agent.core.study import ImageRef
from citrus_agent.tools.base import BoxArgument, CitrusTool, Finite, ImageArgument, ToolArguments, box_inside, inside, require
from citrus_agent.tools.contract import BREAST_ULTRASOUND

THRESHOLD = 0.5


class SegmentArguments(ToolArguments):
    """Arguments of ``segment_lesion``: exactly one of region, box, point and seg."""

    image: ImageArgument = 0
    region: str | None = Field(default=None, description="handle of a region, for example E2")
    box: BoxArgument | None = None
    point: Annotated[list[Finite], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="x, y in pixels of the image"
    )
    seg: bool = Field(default=False, description="true: the model finds and outlines the lesion itself (breast ultrasound only)")


class SegmentLesion(CitrusTool):
    """One mask for one prompt. A region, box or point works on any 2-D image; the automatic prompt on breast ultrasound only."""

    name: str = "segment_lesion"
    description: str = "Outline a lesion. Give exactly one prompt: region (a handle), box, point, or seg=true."
    args_schema: type[BaseModel] = SegmentArguments
    segmenter: Segmenter

    def __init__(self, segmenter: Segmenter, **fields: Any) -> None:
        super().__init__(segmenter=segmenter, **fields)

    @property
    def heads(self) -> tuple[Any, ...]:
        """The segmenter."""
        return (self.segmenter,)

    def work(  # type: ignore[override]
        self,
        case: Case,
        image: int = 0,
        region: str | None = None,
        box: Sequence[float] | None = None,
        point: Sequence[float] | None = None,
        seg: bool = False,
    ) -> list[Evidence]:
        """One mask in the frame of the source image."""
        if sum((region is not None, box is not None, point is not None, seg)) != 1:
            raise ToolArgumentError("give exactly one prompt: region, box, point or seg=true")
        if seg:
            BREAST_ULTRASOUND.check(case.study, image)
        parents: tuple[str, ...] = ()
        if region is not None:
            source = require(case.evidence, region, Region)
            image, box, parents = case.image_index(source.image), source.box, (source.id,)
            seg = source.tool == "detect_lesions"  # the head's own lesion: it may use what it saw there
        reference = case.reference(image)
        prompt = _prompt(box, point, seg, reference)
        result = self.segmenter.segment(case.image(image), **prompt)
        said = {name: list(value) if isinstance(value, tuple) else value for name, value in prompt.items()}
        return [self._mask(case, result, reference, derived_from=parents, prompt=said)]

    def _mask(self, case: Case, result: Segmentation, reference: ImageRef, **fields: Any) -> Mask:
        probability = _checked(result, reference)
        mask = probability >= THRESHOLD
        return Mask(
            tool=self.name,
            model_digest=self.segmenter.digest,
            image=reference.blob,
            blob=case.put_mask(mask),
            probability_blob=case.put_probability(probability),
            box=tight_box(mask),
            area_px=int(mask.sum()),
            predicted_iou=result.predicted_iou,
            uncertainty=f"mask is probability >= {THRESHOLD}; predicted_iou is the segmenter's own estimate",
            **fields,
        )


def tight_box(mask: NDArray[np.bool_]) -> Box | None:
    """Centres of the outermost pixels of a bool (H, W) mask as x1, y1, x2, y2; None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def _prompt(box: Sequence[float] | None, point: Sequence[float] | None, seg: bool, reference: ImageRef) -> dict[str, Any]:
    if box is not None:
        return {"box": box_inside(box, reference.width, reference.height)} | ({"seg": True} if seg else {})
    if point is not None:
        return {"point": tuple(inside(point, reference.width, reference.height))}
    return {"seg": True}


def _checked(result: Segmentation, reference: ImageRef) -> NDArray[np.float32]:
    probability = np.asarray(result.probability, np.float32)
    if probability.shape != (reference.height, reference.width):
        raise ToolFailure(
            f"the segmenter returned shape {probability.shape} for an image of {reference.height} rows and {reference.width} columns"
        )
    if not np.isfinite(probability).all() or probability.min() < 0 or probability.max() > 1:
        raise ToolFailure("the segmenter returned probabilities that are not between 0 and 1: do not use the mask")
    return probability
