"""Arrays to PNG bytes and back. Knows nothing of where the bytes are kept."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage


def encode_png(array: NDArray[np.uint8] | NDArray[np.bool_]) -> bytes:
    """PNG bytes of uint8 (H, W), uint8 (H, W, 3) or bool (H, W), the last as 1-bit."""
    buffer = io.BytesIO()
    PILImage.fromarray(array).save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """uint8 (H, W) or (H, W, 3) from PNG bytes that this package wrote; 1-bit images come back as 0 and 255."""
    with PILImage.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("L") if image.mode in {"1", "L"} else image.convert("RGB"))
