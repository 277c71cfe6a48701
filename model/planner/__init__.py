"""The planner: a small language model that reads question, image and evidence, and writes the next call. Knows no tool's code.

``load_chat`` gives it as a LangChain chat model; the rest of the folder is network, grammar, simulated dialogues and training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from citrus_agent.model.planner.chat import ChatCitrusV
    from citrus_agent.model.sentence import SentenceEncoder


def load_chat(
    directory: Path,
    *,
    embed_image: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    sentences: SentenceEncoder | None = None,
    name: str = "citrus-v-nano",
    digest: str = "",
) -> ChatCitrusV:
    """The chat model of a planner folder (``config.json``, ``model.safetensors``, ``tokenizer.json``).

    ``digest``: sha256 that identifies the weights; taken from the weights file where none is given.
    """
    import hashlib

    from citrus_agent.model.planner.chat import ChatCitrusV
    from citrus_agent.model.planner.network import PlannerNetwork
    from citrus_agent.model.planner.tokenizer import PlannerTokenizer
    from citrus_agent.model.sentence import SentenceEncoder

    network = PlannerNetwork.load(directory)
    return ChatCitrusV(
        network=network,
        tokenizer=PlannerTokenizer.load(directory / "tokenizer.json"),
        embed_image=embed_image,
        sentences=sentences or SentenceEncoder(),
        name_of_model=name,
        digest=digest or hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest(),
    )
