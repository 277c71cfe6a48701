"""What a reader of one file hands to the loader: display pixels, raw values, technical facts. Knows no file format and no path."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from citrus_agent.core.pixels import encode_png
from citrus_agent.core.protocols import BlobStore
from citrus_agent.core.study import ImageRef, Spacing

PERCENTILES = (0.5, 99.5)


class Problem(Exception):
    """What is wrong with a file, as the rest of a sentence that starts with ``the file``; never holds text out of the file."""


@dataclass
class Picture:
    """One image. ``display``: uint8 (H, W) or (H, W, 3), ready to show; ``raw``: float32 values, same frame, or None at 8 bits."""

    display: NDArray[np.uint8]
    raw: NDArray[np.float32] | None = None
    frame: int = 0
    frames: int = 1
    spacing: Spacing | None = None
    spacing_reason: str | None = None
    photometric: str = "MONOCHROME2"


@dataclass
class Source:
    """One file's picture and facts. ``person`` serves only to compare files with each other and is never stored."""

    picture: Picture
    format: str
    modality: str = "unknown"
    body_part: str = "unknown"
    laterality: str = "unknown"
    view: str = "unknown"
    provenance: dict[str, str] = field(default_factory=dict)
    uids: dict[str, str] = field(default_factory=dict)
    person: str | None = None


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a size before anything of that size is allocated."""
    if width <= 0 or height <= 0:
        raise Problem("has no pixels; export the image again")
    if width * height > max_pixels:
        raise Problem(f"declares {width} x {height} pixels, more than the limit of {max_pixels}; give a smaller image")


def choose(asked: int | None, count: int, what: str) -> int:
    """The index asked for, else the middle one; what is not there is refused. Counts from 0."""
    if asked is None:
        return count // 2
    if not 0 <= asked < count:
        raise Problem(f"has no {what} {asked}; it holds {what}s 0 to {count - 1}")
    return asked


def check_finite(values: NDArray[np.floating]) -> None:
    """Refuse NaN and infinity: no display value and no measurement follows from them."""
    if not np.isfinite(values).all():
        raise Problem("holds pixels that are not numbers (NaN or infinite); export it again without them")


def scale8(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """``low`` and below to 0, ``high`` and above to 255, linear between; an empty window gives 0 below it and 255 above."""
    if not math.isfinite(low) or not math.isfinite(high) or high <= low:
        return np.where(values > low, 255, 0).astype(np.uint8)
    scaled = (values - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def robust_window(values: NDArray[np.float32]) -> tuple[float, float]:
    """The 0.5th and 99.5th percentile; where these are equal, the extremes: single hot pixels must not darken the rest."""
    if values.size == 0:
        return 0.0, 0.0
    low, high = (float(v) for v in np.percentile(values, PERCENTILES))
    return (low, high) if high > low else (float(values.min()), float(values.max()))


def numeric_picture(values: NDArray[np.float32]) -> Picture:
    """A grey picture of values without a display rule of their own; raw values are kept."""
    check_finite(values)
    return Picture(display=scale8(values, *robust_window(values)), raw=values)


def collapse_grey(display: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) where the three channels are equal, which loses nothing; else the array as it is."""
    if display.ndim == 3 and np.array_equal(display[..., 0], display[..., 1]) and np.array_equal(display[..., 1], display[..., 2]):
        return np.ascontiguousarray(display[..., 0])
    return display


def store_picture(picture: Picture, blobs: BlobStore) -> ImageRef:
    """Put the pixels into the blob store and describe them."""
    display = collapse_grey(picture.display)
    mode: Literal["L", "RGB"] = "L" if display.ndim == 2 else "RGB"
    raw_blob = None
    if picture.raw is not None:
        buffer = io.BytesIO()
        np.save(buffer, picture.raw.astype(np.float32, copy=False), allow_pickle=False)
        raw_blob = blobs.put(buffer.getvalue())
    return ImageRef(
        blob=blobs.put(encode_png(display)),
        raw_blob=raw_blob,
        width=display.shape[1],
        height=display.shape[0],
        mode=mode,
        frame=picture.frame,
        frames=picture.frames,
        spacing=picture.spacing,
        spacing_reason=picture.spacing_reason,
        photometric=picture.photometric,
    )
