"""A tool on its own: a case in memory, one call, its evidence. Knows no planner and no trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.tools import BaseTool
from PIL import Image as PILImage

from citrus_agent.app.load import load_study
from citrus_agent.core.blobs import MemoryBlobStore
from citrus_agent.core.case import Case
from citrus_agent.core.errors import CitrusError, InputError, ToolArgumentError, ToolFailure
from citrus_agent.core.evidence import Evidence, Mask, Region
from citrus_agent.graphs.acting import evidence_of
from citrus_agent.tools.segment_lesion import tight_box

GIVEN = "given"
"""``tool`` of evidence that a person brought."""


def open_case(paths: Sequence[Path], **facts: Any) -> Case:
    """A case in memory. ``facts``: what ``load_study`` takes besides paths and blobs. ``InputError`` when it cannot be read."""
    blobs = MemoryBlobStore()
    return Case(load_study(paths, blobs, **facts), blobs)


def call_tool(tool: BaseTool, case: Case, arguments: Mapping[str, Any]) -> list[Evidence]:
    """Call once and add what came back to the case; only leaves of ``CitrusError`` are raised, whoever wrote the tool."""
    call = {"name": tool.name, "args": dict(arguments), "id": "alone", "type": "tool_call"}
    try:
        items = evidence_of(tool.invoke(call, config={"configurable": {"case": case}}), tool.name, case)
    except CitrusError:
        raise
    except Exception as error:
        raise ToolFailure(f"{tool.name} raised {type(error).__name__}: {error}") from error
    for item in items:
        case.evidence.add(item)
    return items


def give_mask(case: Case, path: Path, image: int = 0) -> str:
    """Add a mask image (grey above 127 is lesion) as evidence and return its handle; it must have the image's size."""
    try:
        with PILImage.open(path) as file:
            mask = np.asarray(file.convert("L")) > 127
    except OSError as error:
        raise InputError("the mask cannot be read as an image: give a PNG of the image's size") from error
    reference = case.reference(image)
    if mask.shape != (reference.height, reference.width):
        raise InputError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]} px, the image {reference.width}x{reference.height}: give one of its size"
        )
    fields = {"image": reference.blob, "simulated": case.study.simulated, "validated_scope": False}
    return case.evidence.add(Mask(tool=GIVEN, blob=case.put_mask(mask), box=tight_box(mask), area_px=int(mask.sum()), **fields))


def give_region(case: Case, box: Sequence[float], image: int = 0) -> str:
    """Add a box as evidence and return its handle."""
    try:
        corners = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        region = Region(tool=GIVEN, image=case.reference(image).blob, box=corners, label="lesion", score=1.0, validated_scope=False)
    except (IndexError, TypeError, ValueError) as error:
        raise ToolArgumentError("a region is [x1, y1, x2, y2] in pixels, with x2 > x1 and y2 > y1") from error
    return case.evidence.add(region)
