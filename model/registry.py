"""What ``load_model`` gives: the heads and the planner of one model, by name or folder. Knows no tool and no graph."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from langchain_core.language_models import BaseChatModel

from citrus_agent.core.errors import ConfigurationError, ResourceError
from citrus_agent.core.protocols import Classifier, Detector, Segmenter
from citrus_agent.model.encoder import ImageEncoder
from citrus_agent.model.heads import GroundingModel, NanoClassifier, NanoDetector, NanoSegmenter
from citrus_agent.model.sentence import SentenceEncoder

WEIGHTS = Path(__file__).parent / "weights"
"""Shipped models: one folder a model, each with ``model.json``, ``grounding.safetensors`` and ``planner/``."""


@dataclass(frozen=True)
class CitrusModel:
    """Heads and planner that share one image encoder. Weights are read at first use."""

    name: str
    directory: Path
    encoder: ImageEncoder
    digests: dict[str, str]
    simulated: bool = False

    @property
    def digest(self) -> str:
        """sha256 over the digests of all parts."""
        return hashlib.sha256(json.dumps(self.digests, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _grounding(self) -> GroundingModel:
        return GroundingModel(self.directory / "grounding.safetensors", self.encoder, self.digests["grounding"])

    @property
    def detector(self) -> Detector:
        """Lesion boxes."""
        return NanoDetector(self._grounding, f"{self.name}/detector")

    @property
    def segmenter(self) -> Segmenter:
        """Lesion masks."""
        return NanoSegmenter(self._grounding, f"{self.name}/segmenter")

    @property
    def classifier(self) -> Classifier:
        """Image-level finding."""
        return NanoClassifier(self._grounding, f"{self.name}/classifier")

    @cached_property
    def sentences(self) -> SentenceEncoder:
        """Sentence vectors: the planner reads them, and guideline retrieval may share them."""
        return SentenceEncoder()

    @cached_property
    def chat(self) -> BaseChatModel:
        """The planner as a LangChain chat model."""
        from citrus_agent.model.planner import load_chat

        return load_chat(
            self.directory / "planner",
            embed_image=self.encoder.embed,
            sentences=self.sentences,
            name=self.name,
            digest=self.digests["planner"],
        )


def load_model(name: str | Path = "citrus-v-nano", device: str = "cpu") -> CitrusModel:
    """A shipped model by name, or a folder laid out like one, checked against the ``sha256`` of its ``model.json``.

    Raises:
        ConfigurationError: there is neither.
        ResourceError: a file is missing or changed.
    """
    directory = WEIGHTS / name if isinstance(name, str) and (WEIGHTS / name).is_dir() else Path(name)
    if not (directory / "model.json").is_file():
        shipped = ", ".join(sorted(p.name for p in WEIGHTS.iterdir() if p.is_dir())) if WEIGHTS.is_dir() else "none"
        raise ConfigurationError(
            f"{str(name)!r} is neither a shipped model ({shipped}) nor a folder with model.json; nothing is downloaded, give a local folder"
        )
    facts = json.loads((directory / "model.json").read_text())
    encoder = ImageEncoder(device)
    digests = {"encoder": encoder.digest, **{part: _digest(directory / path) for part, path in facts["parts"].items()}}
    for part, digest in facts.get("sha256", {}).items():
        if digests.get(part) != digest:
            raise ResourceError(f"the model's {part} is not what model.json says it is; reinstall the package, or point --model elsewhere")
    return CitrusModel(facts["name"], directory, encoder, digests)


def _digest(path: Path) -> str:
    """sha256 of a file, or of the sorted files of a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    whole = hashlib.sha256()
    for file in files:
        if not file.is_file():
            raise ResourceError(f"the model's file {file.name} is missing; reinstall the package, or point --model at a complete folder")
        whole.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()
