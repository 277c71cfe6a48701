"""Tool: sizes of a mask with error bars. Knows no head, and no truth: the bars say how sure the segmenter was, not whether it was right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from citrus_agent.core.case import Case
from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import Evidence, Mask, Measurement
from citrus_agent.core.study import ImageRef
from citrus_agent.tools.base import CitrusTool, ToolArguments, require
from citrus_agent.tools.geometry import Line, Pitch, Point, Sizes, component_over, largest_component, measure

LEVELS = (0.25, 0.75)
"""Probabilities at which the outline is drawn again for the error bar; the value itself is of the mask as it is stored."""


class MeasureArguments(ToolArguments):
    """Arguments of ``measure_lesion``."""

    mask: str = Field(description="handle of a mask, for example E3")


@dataclass(frozen=True)
class Quantity:
    """One number with its bar, in ``unit``."""

    name: str
    unit: str
    value: float
    low: float
    high: float
    formula: str
    ends: tuple[Point, ...] = ()


class MeasureLesion(CitrusTool):
    """Longest diameter, its perpendicular, area, taller-than-wide ratio; in mm where the spacing is known, else in px."""

    name: str = "measure_lesion"
    description: str = "Measure a mask: longest diameter, perpendicular diameter, area and taller-than-wide ratio, each with an error bar."
    args_schema: type[BaseModel] = MeasureArguments

    def work(self, case: Case, mask: str) -> list[Evidence]:  # type: ignore[override]
        """Four measurements of the mask's largest connected part."""
        item = require(case.evidence, mask, Mask)
        reference = case.reference(case.image_index(item.image))
        pixels = largest_component(case.mask(item))
        if not pixels.any():
            raise ToolArgumentError(f"{mask} is an empty mask: there is nothing to measure, name another mask")
        outlines = _outlines(pixels, case.probability(item))
        quantities = quantities_of(pixels, outlines, pitch_of(reference))
        note = uncertainty_of(pixels, outlines, reference)
        return [
            Measurement(
                tool=self.name,
                derived_from=(item.id,),
                image=item.image,
                quantity=quantity.name,
                value=quantity.value,
                unit=quantity.unit,
                low=quantity.low,
                high=quantity.high,
                points=quantity.ends,
                formula=quantity.formula,
                uncertainty=note,
            )
            for quantity in quantities
        ]


def pitch_of(reference: ImageRef) -> Pitch:
    """Spacing in mm where the image has one, else 1 px."""
    spacing = reference.spacing
    return Pitch() if spacing is None else Pitch(spacing.row_mm, spacing.column_mm, "mm")


def quantities_of(mask: NDArray[np.bool_], outlines: list[NDArray[np.bool_]] | None, pitch: Pitch) -> list[Quantity]:
    """The four quantities of a bool (H, W) mask; ``outlines``: it at each level (empty: size 0), None without a map."""
    best = measure(mask, pitch)
    slack = 1.0 if outlines is None else 0.5
    others = [measure(outline, pitch) for outline in outlines or [] if outline.any()]
    vanishes = len(others) < len(outlines or [])
    every = [best, *others]
    unit = {"mm": ("mm", "mm2"), "{pixel}": ("{pixel}", "{pixel2}")}[pitch.unit]
    basis = "largest connected part of the mask" + ("" if pitch.unit == "mm" else ", in pixels because the spacing is unknown")
    return [
        _length("longest_diameter", [size.longest for size in every], slack, vanishes, unit[0], f"max caliper of the convex hull; {basis}"),
        _length(
            "perpendicular_diameter",
            [size.perpendicular for size in every],
            slack,
            vanishes,
            unit[0],
            f"longest chord of the convex hull at right angles to the longest diameter; {basis}",
        ),
        _area(every, slack, vanishes, unit[1], basis),
        _ratio(every, slack, pitch, basis),
    ]


def uncertainty_of(mask: NDArray[np.bool_], outlines: list[NDArray[np.bool_]] | None, reference: ImageRef) -> str:
    """What the error bars mean, in one phrase."""
    if outlines is None:
        parts = ["outline moved by 1 px to each side; the mask has no probability map"]
    else:
        parts = [f"range over the outlines at probability {LEVELS[0]}, 0.5 and {LEVELS[1]}, each moved by half a pixel"]
        if not outlines[-1].any():
            parts.append(f"no part of the mask reaches probability {LEVELS[-1]}")
    if reference.spacing is None:
        parts.append(f"in pixels, taken as square: {reference.spacing_reason or 'the pixel spacing is unknown'}")
    if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
        parts.append("the mask touches the image's edge, the lesion may be larger")
    return "; ".join(parts)


def _outlines(mask: NDArray[np.bool_], probability: NDArray[np.float32] | None) -> list[NDArray[np.bool_]] | None:
    if probability is None:
        return None
    return [component_over(probability >= level, mask) for level in LEVELS]


def _length(name: str, lines: list[Line], slack: float, vanishes: bool, unit: str, formula: str) -> Quantity:
    low = 0.0 if vanishes else max(0.0, min(line.length - slack * line.pixel for line in lines))
    high = max(line.length + slack * line.pixel for line in lines)
    return Quantity(name, unit, lines[0].length, low, high, formula, lines[0].ends)


def _area(sizes: list[Sizes], slack: float, vanishes: bool, unit: str, basis: str) -> Quantity:
    low = 0.0 if vanishes else min(size.area - slack * size.area_band[1] for size in sizes)
    high = max(size.area + slack * size.area_band[0] for size in sizes)
    return Quantity("area", unit, sizes[0].area, low, high, f"pixel count x row spacing x column spacing; {basis}")


def _ratio(sizes: list[Sizes], slack: float, pitch: Pitch, basis: str) -> Quantity:
    """BI-RADS reads orientation against the skin, which runs along the rows: extents of the upright bounding box."""
    row, column = slack * pitch.row, slack * pitch.column
    low = min(max(0.0, size.height - row) / (size.width + column) for size in sizes)
    # A mask one pixel wide must not divide by zero: half a pixel is the least width.
    high = max((size.height + row) / max(size.width - column, 0.5 * pitch.column) for size in sizes)
    value = sizes[0].height / sizes[0].width
    return Quantity("taller_than_wide_ratio", "1", value, low, high, f"vertical / horizontal extent of the bounding box; {basis}")
