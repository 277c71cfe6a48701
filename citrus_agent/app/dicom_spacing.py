"""Pixel spacing in mm out of a DICOM header, or the reason why there is none. Knows nothing of pixels.

Sources: DICOM PS3.3, C.8.5.5 (US Region Calibration: Physical Units 3 = cm, Region Spatial Format 1 = 2D) and 10.7 (Pixel Spacing and
Imager Pixel Spacing; the latter, and the former where nothing says it was calibrated, is measured at the detector's plane).
"""

from __future__ import annotations

import math
from typing import Any

from pydicom.dataset import Dataset

from citrus_agent.core.study import Spacing

_CM, _2D = 3, 1
_PROJECTION = {"CR", "DX", "MG", "RF", "XA", "IO", "PX"}
_AGREE = 0.01

Answer = tuple[Spacing | None, str | None]


def read_spacing(header: Dataset) -> Answer:
    """Spacing and None, or None and the reason. Ultrasound regions go before PixelSpacing; two that differ by 1 % give no spacing."""
    pixel, pixel_reason = _pixel_spacing(header)
    if not header.get("SequenceOfUltrasoundRegions"):
        return pixel, pixel_reason
    region, reason = _regions(header.SequenceOfUltrasoundRegions)
    if region is not None and pixel is not None and not _same(region, pixel):
        return None, "SequenceOfUltrasoundRegions and PixelSpacing disagree"
    return region, reason


def _regions(regions: Any) -> Answer:
    """All 2-D regions in cm must agree: which of them a measurement falls into is not known here."""
    found: list[Spacing] = []
    for region in regions:
        units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
        if region.get("RegionSpatialFormat") != _2D or units != (_CM, _CM):
            continue
        spacing = _spacing([region.get("PhysicalDeltaY"), region.get("PhysicalDeltaX")], "SequenceOfUltrasoundRegions", 10.0)
        if spacing is None:
            return None, "an ultrasound region has a PhysicalDelta that is no length"
        found.append(spacing)
    if not found:
        return None, "no ultrasound region is a 2-D image calibrated in cm"
    if not all(_same(found[0], other) for other in found[1:]):
        return None, "the ultrasound regions have different calibrations"
    return found[0], None


def _pixel_spacing(header: Dataset) -> Answer:
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        value = header.get(name)
        if value is None or value == "":
            continue
        note = " (detector plane)" if name == "ImagerPixelSpacing" or _at_detector(header) else ""
        spacing = _spacing(value, name + note)
        return spacing, None if spacing else f"{name} is not two lengths"
    return None, "the DICOM header carries no calibration"


def _at_detector(header: Dataset) -> bool:
    return str(header.get("Modality", "")) in _PROJECTION and not header.get("PixelSpacingCalibrationType")


def _spacing(pair: Any, source: str, factor: float = 1.0) -> Spacing | None:
    """``pair``: row then column spacing; a delta's sign only tells the axis' direction."""
    try:
        row, column = (abs(float(value)) * factor for value in pair)
    except (TypeError, ValueError):
        return None
    if not (math.isfinite(row) and math.isfinite(column) and row > 0 and column > 0):
        return None
    return Spacing(row_mm=row, column_mm=column, source=source)


def _same(one: Spacing, other: Spacing) -> bool:
    pairs = ((one.row_mm, other.row_mm), (one.column_mm, other.column_mm))
    return all(math.isclose(a, b, rel_tol=_AGREE) for a, b in pairs)
