"""One image encoding, shared by planner and heads. Knows no prompt and no head.

The embedding of an image is computed once and kept for the images last used.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from citrus_agent.model.litemedsam import CHECKPOINT_SHA256, build_encoder, squash, to_tensor


class ImageEncoder:
    """LiteMedSAM's TinyViT with a small cache; weights are loaded at the first image."""

    digest = CHECKPOINT_SHA256

    def __init__(self, device: str = "cpu", keep: int = 8) -> None:
        self.device = device
        self._keep = keep
        self._cache: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    @cached_property
    def network(self) -> nn.Module:
        """TinyViT in eval mode on ``device``."""
        return build_encoder().to(self.device)

    def embed(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (H, W) or (H, W, 3) to float32 (256, 64, 64); the result is shared, do not write into it."""
        key = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
        with self._lock:
            if key not in self._cache:
                self._cache[key] = self._encode(image)
                if len(self._cache) > self._keep:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(key)
            return self._cache[key]

    def _encode(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embedding = self.network(to_tensor(squash(image)).to(self.device))[0]
        array: NDArray[np.float32] = embedding.float().cpu().contiguous().numpy()
        array.setflags(write=False)
        return array
