"""One open case: the study, its blobs and the evidence so far. Knows nothing of the graph that works on it.

A case is handed to tools as ``config["configurable"]["case"]`` and never enters graph state or a checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import Mask
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.pixels import decode_png, encode_png
from citrus_agent.core.protocols import BlobStore
from citrus_agent.core.study import ImageRef, Study


@dataclass
class Case:
    """What tools work on."""

    study: Study
    blobs: BlobStore
    evidence: EvidenceGraph = field(default_factory=EvidenceGraph)

    def reference(self, index: int) -> ImageRef:
        """The image's description; ``ToolArgumentError`` when there is no such image."""
        if not 0 <= index < len(self.study.images):
            raise ToolArgumentError(f"there is no image {index}; the study has images 0 to {len(self.study.images) - 1}")
        return self.study.images[index]

    def image(self, index: int = 0) -> NDArray[np.uint8]:
        """Display pixels, uint8 (H, W) or (H, W, 3), source frame."""
        return decode_png(self.blobs.get(self.reference(index).blob))

    def image_index(self, blob: str | None) -> int:
        """Which image of the study has this blob digest."""
        for index, image in enumerate(self.study.images):
            if image.blob == blob:
                return index
        raise ToolArgumentError("that evidence does not belong to an image of this study")

    def put_mask(self, mask: NDArray[np.bool_]) -> str:
        """Store a bool (H, W) mask as 1-bit PNG; returns the digest."""
        return self.blobs.put(encode_png(mask))

    def put_probability(self, probability: NDArray[np.float32]) -> str:
        """Store a float (H, W) map in 0..1 as 8-bit PNG; returns the digest."""
        return self.blobs.put(encode_png(np.rint(probability * 255).astype(np.uint8)))

    def mask(self, mask: Mask) -> NDArray[np.bool_]:
        """The bool (H, W) mask, source frame."""
        return decode_png(self.blobs.get(mask.blob)) > 127

    def probability(self, mask: Mask) -> NDArray[np.float32] | None:
        """The float32 (H, W) probability in 0..1, or None when the mask has none."""
        if mask.probability_blob is None:
            return None
        return decode_png(self.blobs.get(mask.probability_blob)).astype(np.float32) / np.float32(255)
