"""The planner's network: a small Qwen2.5-VL text decoder with slots for image and sentence vectors. Knows no word and no tool.

Bai S et al., "Qwen2.5-VL Technical Report", 2025, arXiv:2502.13923. Image vectors are pooled from the embedding that the grounding
heads use too, so an image is encoded once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import DynamicCache, Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel

from citrus_agent.core.errors import ResourceError
from citrus_agent.model.planner.prompt import GRID
from citrus_agent.model.sentence import WIDTH

CHANNELS = 256
CONTEXT = 4096
_SCALE = WIDTH**0.5  # unit vectors to unit variance


def pool(embedding: NDArray[np.floating]) -> NDArray[np.float32]:
    """Image embedding (256, 64, 64) to the image tokens (16, 256), row by row, by the mean of each cell of a 4 x 4 grid."""
    channels, height, width = embedding.shape
    cells = embedding.reshape(channels, GRID, height // GRID, GRID, width // GRID).astype(np.float32).mean(axis=(2, 4))
    return np.ascontiguousarray(cells.reshape(channels, GRID * GRID).T)


class PlannerNetwork(nn.Module):
    """Next-token logits. Input and output embeddings are tied."""

    def __init__(
        self, vocabulary: int, *, width: int = 256, layers: int = 4, heads: int = 4, key_heads: int = 2, hidden: int = 704
    ) -> None:
        super().__init__()
        self.settings = {
            "vocabulary": vocabulary,
            "width": width,
            "layers": layers,
            "heads": heads,
            "key_heads": key_heads,
            "hidden": hidden,
        }
        pairs = width // heads // 2
        config = Qwen2_5_VLTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=key_heads,
            max_position_embeddings=CONTEXT,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [pairs // 2, pairs // 4, pairs // 4]},
            bos_token_id=None,
            eos_token_id=None,
            tie_word_embeddings=True,
        )
        config._attn_implementation = "sdpa"
        self.text = Qwen2_5_VLTextModel(config)
        self.before = nn.Parameter(torch.full((width,), 0.5))
        self.image = nn.Sequential(nn.LayerNorm(CHANNELS), nn.Linear(CHANNELS, width))
        self.sentence = nn.Linear(WIDTH, width)

    def embed(self, ids: Tensor, previous: Tensor | None = None) -> Tensor:
        """int64 (..., T) to (..., T, width); slots of images and sentences hold their marker's embedding.

        Each token carries a share of the one before it (``previous`` (..., 1) where the sequence goes on), so that copying a handle
        takes one layer of attention, not two: Olsson C et al., "In-context learning and induction heads", 2022, arXiv:2209.11895.
        """
        own = self.text.embed_tokens(ids)
        first = torch.zeros_like(own[..., :1, :]) if previous is None else self.text.embed_tokens(previous)
        return own + self.before * torch.cat([first, own[..., :-1, :]], -2)

    def fill(self, embeds: Tensor, images: Tensor, image_at: Tensor, sentences: Tensor, sentence_at: Tensor) -> Tensor:
        """``embeds`` (T, width) with the slots filled. ``images`` (N, 256) and ``sentences`` (M, 384) go to the rows ``*_at``."""
        filled = embeds.clone()
        if len(image_at):
            filled[image_at] = filled[image_at] + self.image(images).to(filled.dtype)
        if len(sentence_at):
            filled[sentence_at] = filled[sentence_at] + self.sentence(sentences * _SCALE).to(filled.dtype)
        return filled

    def hidden(self, embeds: Tensor, positions: Tensor, cache: DynamicCache | None = None) -> Tensor:
        """(B, T, width) embeddings and (3, B, T) positions to the last layer's states; ``cache`` is extended in place."""
        # The cache is given by position, because its keyword changed its name between transformers 5.20 and 5.24.
        return self.text(None, None, positions, cache, embeds, use_cache=cache is not None).last_hidden_state

    def logits(self, states: Tensor) -> Tensor:
        """(..., width) to (..., vocabulary)."""
        return states @ self.text.embed_tokens.weight.T

    def save(self, directory: Path) -> None:
        """``config.json`` and ``model.safetensors`` in float16."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(self.settings, indent=1, sort_keys=True) + "\n")
        weights = directory / "model.safetensors"
        save_file({name: value.detach().half().contiguous() for name, value in self.state_dict().items()}, weights)
        weights.chmod(0o644)  # the library writes for the owner only, and a package is read by others

    @classmethod
    def load(cls, directory: Path) -> PlannerNetwork:
        """The inverse of ``save``, float32 and in eval mode."""
        try:
            settings: dict[str, Any] = json.loads((directory / "config.json").read_text())
            state = load_file(directory / "model.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise ResourceError(
                "the planner's weights are missing or damaged; reinstall the package, or point --model at a folder"
            ) from error
        network = cls(settings.pop("vocabulary"), **settings)
        network.load_state_dict({name: value.float() for name, value in state.items()})
        return network.eval().requires_grad_(False)
