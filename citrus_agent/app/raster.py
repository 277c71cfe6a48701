"""PNG, JPEG, TIFF and BMP to a picture. Knows nothing of calibration: print resolution (dpi) says nothing about tissue.

EXIF orientation is applied. Transparent pixels are laid on black, the background of medical images. More than 8 bits are shown
between the 0.5th and 99.5th percentile, and the values kept.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError

from citrus_agent.app.picture import Picture, Problem, Source, check_size, choose, numeric_picture

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0


def read_raster(stream: BinaryIO, *, frame: int | None, max_pixels: int) -> Source:
    """One page or frame: the one asked for, else the middle one."""
    try:
        image = PILImage.open(stream, formats=FORMATS)
    except PILImage.DecompressionBombError:
        raise Problem("declares far more pixels than can be opened; give a smaller image") from None
    except UnidentifiedImageError:
        raise Problem("is damaged or cut off in its header; export it again") from None
    with image:
        name = "JPEG" if image.format == "MPO" else str(image.format)
        # The further pictures of an MPO are previews or depth maps of the first, not frames.
        frames = 1 if name == "JPEG" else getattr(image, "n_frames", 1)
        check_size(*image.size, max_pixels)
        index = choose(frame, frames, "frame")
        if frames > 1:
            image.seek(index)
            check_size(*image.size, max_pixels)
        image.load()
        picture = _picture(ImageOps.exif_transpose(image), _white_is_zero(image))
    picture.frame, picture.frames = index, frames
    picture.spacing_reason = f"a {name} file carries no calibration"
    return Source(picture=picture, format=name)


def _white_is_zero(image: PILImage.Image) -> bool:
    """Pillow inverts such a TIFF at 8 bits itself, but not above."""
    return image.format == "TIFF" and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO  # type: ignore[attr-defined]


def _picture(image: PILImage.Image, inverted: bool) -> Picture:
    if image.mode.startswith(("I", "F")):
        picture = numeric_picture(np.asarray(image).astype(np.float32))
        if inverted:
            picture.display = 255 - picture.display
            picture.photometric = "MONOCHROME1"
        return picture
    if image.mode in {"1", "L"} and "transparency" not in image.info:
        return Picture(display=np.asarray(image.convert("L")))
    return Picture(display=_on_black(image), photometric="RGB")


def _on_black(image: PILImage.Image) -> np.ndarray:
    """uint8 (H, W, 3)."""
    if image.mode in {"RGBA", "RGBa", "LA", "La", "PA"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = PILImage.new("RGBA", layer.size, (0, 0, 0, 255))
        return np.asarray(PILImage.alpha_composite(ground, layer).convert("RGB"))
    return np.asarray(image.convert("RGB"))
