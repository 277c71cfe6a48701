"""Embeddings of a training set, several augmented variants of each image, kept on disk. Knows no head.

Variant 0 is the image, 1 its mirror image, 2 and up are seeded affine and grey-level changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor
from torch.nn import functional

from citrus_agent.model.busi import Item
from citrus_agent.model.litemedsam import SIDE, build_encoder, squash, to_tensor


@dataclass(frozen=True)
class FeatureSet:
    """``embeddings``: float16 (N, 256, 64, 64), memory mapped. ``masks``: bool (N, 256, 256)."""

    embeddings: NDArray[np.float16]
    masks: NDArray[np.bool_]


def squashed_pair(item: Item) -> tuple[Tensor, Tensor]:
    """Image in 0..1 and mask in 0..1, each float32 (1, 1, 256, 256)."""
    mask = PILImage.fromarray(item.mask()).convert("L").resize((SIDE, SIDE), PILImage.Resampling.BILINEAR)
    return torch.from_numpy(squash(item.image()))[None, None], torch.from_numpy((np.asarray(mask) > 127).astype(np.float32))[None, None]


def augment(image: Tensor, mask: Tensor, variant: int, index: int) -> tuple[Tensor, Tensor]:
    """The variant of one pair; the same for the same ``variant`` and ``index``."""
    if variant == 0:
        return image, mask
    if variant == 1:
        return image.flip(-1), mask.flip(-1)
    random = np.random.default_rng(1000 * variant + index)
    if random.random() < 0.5:
        image, mask = image.flip(-1), mask.flip(-1)
    scale = random.uniform(0.8, 1.2)
    scale_x, angle = scale * random.uniform(0.9, 1.1), np.deg2rad(random.uniform(-12, 12))
    shift_x, shift_y = random.uniform(-0.15, 0.15, 2)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = [[cosine * scale_x, -sine * scale, shift_x], [sine * scale_x, cosine * scale, shift_y]]
    grid = functional.affine_grid(torch.tensor(matrix, dtype=torch.float32)[None], [1, 1, SIDE, SIDE], align_corners=False)
    image, mask = (functional.grid_sample(x, grid, align_corners=False, padding_mode="reflection") for x in (image, mask))
    image = image.clamp(0, 1) ** random.uniform(0.7, 1.4) * random.uniform(0.8, 1.1)
    image = image + torch.from_numpy(random.normal(0, 0.02, image.shape).astype(np.float32))
    return image.clamp(0, 1), mask


def features(items: Sequence[Item], variant: int, cache: Path, report: bool = True) -> FeatureSet:
    """Compute a variant, or open it where ``cache`` already holds it whole."""
    cache.mkdir(parents=True, exist_ok=True)
    embeddings_path, masks_path = cache / f"emb{variant}.npy", cache / f"mask{variant}.npy"
    if not masks_path.exists():
        _compute(items, variant, embeddings_path, masks_path, report)
    return FeatureSet(np.load(embeddings_path, mmap_mode="r"), np.load(masks_path))


def _compute(items: Sequence[Item], variant: int, embeddings_path: Path, masks_path: Path, report: bool) -> None:
    encoder = build_encoder()
    shape = (len(items), 256, 64, 64)
    embeddings = np.lib.format.open_memmap(embeddings_path, mode="w+", dtype=np.float16, shape=shape)
    masks = np.zeros((len(items), SIDE, SIDE), bool)
    for index, item in enumerate(items):
        image, mask = augment(*squashed_pair(item), variant, index)
        masks[index] = mask[0, 0].numpy() > 0.5
        with torch.inference_mode():
            embeddings[index] = encoder(to_tensor(image[0, 0].numpy().astype(np.float32)))[0].numpy()
        if report and index % 50 == 0:
            print(f"variant {variant}: {index} of {len(items)} images embedded", flush=True)
    embeddings.flush()
    np.save(masks_path, masks)
