"""Argument schemas of the project's tools as the planner meets them, for training and evaluation. Knows no tool's code.

A chat model in use takes the schemas of the tools that are bound to it instead; a test holds the two together.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from citrus_agent.core.dialogue import TERMINAL_CALLS

GUIDELINE = "birads_us_2013"


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DetectLesions(_Arguments):
    """Find lesions."""

    image: int = Field(default=0, ge=0)


class SegmentLesion(_Arguments):
    """Outline a lesion from one prompt."""

    image: int = Field(default=0, ge=0)
    region: str | None = None
    box: list[float] | None = Field(default=None, min_length=4, max_length=4)
    point: list[float] | None = Field(default=None, min_length=2, max_length=2)
    seg: bool = False


class OnMask(_Arguments):
    """Measure or describe a mask."""

    mask: str


class SearchGuidelines(_Arguments):
    """Search the guideline library."""

    query: str = Field(min_length=1, max_length=400)
    k: int = Field(default=3, ge=1, le=10)
    guideline: str | None = None


class ApplyGuideline(_Arguments):
    """Apply an executable guideline."""

    guideline: str = GUIDELINE
    evidence: list[str] | None = None
    facts: dict[str, str | float] | None = None


class ViewRegion(_Arguments):
    """Look closer."""

    region: str | None = None
    box: list[float] | None = Field(default=None, min_length=4, max_length=4)
    image: int = Field(default=0, ge=0)
    zoom: float = Field(default=2.0, ge=1, le=8)
    window: list[float] | None = Field(default=None, min_length=2, max_length=2)


ARGUMENTS: dict[str, type[BaseModel]] = {
    "detect_lesions": DetectLesions,
    "segment_lesion": SegmentLesion,
    "measure_lesion": OnMask,
    "describe_lesion": OnMask,
    "view_region": ViewRegion,
    "apply_guideline": ApplyGuideline,
    "search_guidelines": SearchGuidelines,
    **TERMINAL_CALLS,
}
"""The argument schemas of the project's tools as the planner meets them."""
