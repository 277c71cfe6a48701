"""What the rooms promise each other: heads, retriever, rule book, blobs. Knows no implementation.

Images are uint8 arrays, (H, W) grey or (H, W, 3) RGB, source-image frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from citrus_agent.core.evidence import Box, Passage, RuleOutcome

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Scope:
    """What a head was validated on. An empty set means: no restriction."""

    modalities: frozenset[str] = frozenset()
    body_parts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Detection:
    """A box (source pixels) with its label and score in 0..1."""

    box: Box
    label: str
    score: float


@dataclass(frozen=True)
class Segmentation:
    """``probability``: float32 (H, W) in 0..1, source frame. ``predicted_iou`` in 0..1 or None."""

    probability: NDArray[np.float32]
    predicted_iou: float | None = None


@dataclass(frozen=True)
class Classification:
    """Probabilities by label, and how likely the image is inside the head's domain (0..1)."""

    probabilities: Mapping[str, float]
    in_domain: float = 1.0


class Head(Protocol):
    """What all heads share. ``digest``: sha256 of the weights."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def digest(self) -> str:
        """sha256 of its weights or data."""
        ...

    @property
    def simulated(self) -> bool:
        """True where its results are made up."""
        ...

    @property
    def scope(self) -> Scope:
        """What it was validated on."""
        ...


@runtime_checkable
class Detector(Head, Protocol):
    """Finds lesions."""

    def detect(self, image: Image) -> Sequence[Detection]:
        """Boxes, best first; an empty list is an answer."""
        ...


@runtime_checkable
class Segmenter(Head, Protocol):
    """Outlines what a prompt points at. ``seg`` True asks for the head's own automatic outline of the (box's) lesion."""

    def segment(self, image: Image, *, box: Box | None = None, point: tuple[float, float] | None = None, seg: bool = False) -> Segmentation:
        """Exactly one prompt."""
        ...


@runtime_checkable
class Classifier(Head, Protocol):
    """Names the finding: probabilities over normal, benign, suspicious; and whether the image is in its domain."""

    def classify(self, image: Image) -> Classification:
        """Probabilities by label."""
        ...


@dataclass(frozen=True)
class SearchFilter:
    """Restricts retrieval; None means any."""

    guideline: str | None = None
    modality: str | None = None
    organ: str | None = None


@runtime_checkable
class Retriever(Protocol):
    """Finds guideline passages, best first; an empty list is an answer."""

    @property
    def digest(self) -> str:
        """sha256 of its weights or data."""
        ...

    def search(self, query: str, k: int = 5, where: SearchFilter | None = None) -> Sequence[Passage]:
        """Up to ``k`` passages, best first."""
        ...


@dataclass(frozen=True)
class Fact:
    """A rule's input: a term or number with its interval and the evidence it came from."""

    value: Any
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuleInput:
    """A fact that a guideline reads."""

    name: str
    type: str
    unit: str | None = None
    allowed: tuple[str, ...] = field(default=())
    required: bool = False
    description: str = ""


@runtime_checkable
class RuleBook(Protocol):
    """Executable guidelines by id."""

    @property
    def digest(self) -> str:
        """sha256 of its weights or data."""
        ...

    def guidelines(self) -> Sequence[str]:
        """Ids."""
        ...

    def inputs(self, guideline: str) -> Sequence[RuleInput]:
        """The facts that a guideline reads."""
        ...

    def apply(self, guideline: str, facts: Mapping[str, Fact]) -> RuleOutcome:
        """The outcome; ``ToolArgumentError`` for a wrong unit or value."""
        ...


@runtime_checkable
class BlobStore(Protocol):
    """Content-addressed bytes: ``put`` returns the sha256 hex digest, ``get`` checks it."""

    def put(self, data: bytes) -> str:
        """Store and return the digest."""
        ...

    def get(self, digest: str) -> bytes:
        """The bytes, checked."""
        ...

    def __contains__(self, digest: str) -> bool: ...
