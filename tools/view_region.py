"""Tool: a crop of an image, enlarged and windowed, for a closer look. Knows no head and draws no conclusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import BaseModel, Field

from citrus_agent.core.case import Case
from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import Box, DocumentField, Evidence, Region
from citrus_agent.core.pixels import encode_png
from citrus_agent.tools.base import BoxArgument, CitrusTool, Finite, ImageArgument, ToolArguments, box_inside, require

MARGIN = 0.1
MAX_SIDE = 1024


class ViewArguments(ToolArguments):
    """Arguments of ``view_region``: a region or a box; the whole image with neither."""

    region: str | None = Field(default=None, description="handle of a region, for example E2")
    box: BoxArgument | None = None
    image: ImageArgument = 0
    zoom: Annotated[Finite, Field(ge=1, le=8)] = 2.0
    window: Annotated[list[Finite], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="low, high: display values 0 to 255 shown as black and white"
    )


class ViewRegion(CitrusTool):
    """A PNG in the blob store; the evidence's value is its digest and ``box`` the part of the image that it shows."""

    name: str = "view_region"
    description: str = "Look closer at a region or box: crop with a margin, zoom 1 to 8, optional grey window."
    args_schema: type[BaseModel] = ViewArguments

    def work(  # type: ignore[override]
        self,
        case: Case,
        region: str | None = None,
        box: Sequence[float] | None = None,
        image: int = 0,
        zoom: float = 2.0,
        window: Sequence[float] | None = None,
    ) -> list[Evidence]:
        """One document field named ``view``."""
        if region is not None and box is not None:
            raise ToolArgumentError("give a region or a box, not both")
        parents: tuple[str, ...] = ()
        if region is not None:
            source = require(case.evidence, region, Region)
            image, box, parents = case.image_index(source.image), source.box, (source.id,)
        reference = case.reference(image)
        frame = (0.0, 0.0, reference.width - 1.0, reference.height - 1.0)
        shown = frame if box is None else with_margin(box_inside(box, reference.width, reference.height), frame)
        view = enlarge(crop(case.image(image), shown), zoom)
        digest = case.blobs.put(encode_png(view if window is None else windowed(view, window)))
        return [DocumentField(tool=self.name, derived_from=parents, image=reference.blob, name="view", value=digest, box=shown)]


def with_margin(box: Box, frame: Box) -> Box:
    """The box grown by a tenth of its sides on each side, to whole pixels, within the frame."""
    x1, y1, x2, y2 = box
    across, down = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
    left, top = max(frame[0], np.floor(x1 - across)), max(frame[1], np.floor(y1 - down))
    return float(left), float(top), float(min(frame[2], np.ceil(x2 + across))), float(min(frame[3], np.ceil(y2 + down)))


def crop(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The pixels whose centres lie in the box, uint8 (h, w) or (h, w, 3)."""
    x1, y1, x2, y2 = (int(value) for value in box)
    return image[y1 : y2 + 1, x1 : x2 + 1]


def enlarge(image: NDArray[np.uint8], zoom: float) -> NDArray[np.uint8]:
    """Bicubic, the longer side at most 1024 px (a larger crop is made smaller)."""
    height, width = image.shape[:2]
    factor = min(zoom, MAX_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(PILImage.fromarray(np.ascontiguousarray(image)).resize(size, PILImage.Resampling.BICUBIC))


def windowed(image: NDArray[np.uint8], window: Sequence[float]) -> NDArray[np.uint8]:
    """Linear from ``low`` (black) to ``high`` (white), clipped."""
    low, high = window
    if high <= low:
        raise ToolArgumentError("a window is low, high with high > low, in display values 0 to 255")
    return np.rint(np.clip((image.astype(np.float64) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
