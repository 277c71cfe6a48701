"""Is this image like the ones the heads were trained on? A distance in embedding space. Knows no label.

Mahalanobis distance of pooled features, after Lee K et al., "A simple unified framework for detecting out-of-distribution samples and
adversarial attacks", NeurIPS 2018; covariance shrunk after Ledoit and Wolf 2004 (doi:10.1016/S0047-259X(03)00096-4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def pooled(embedding: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean and standard deviation of each channel: (256, 64, 64) to (512,)."""
    flat = embedding.reshape(embedding.shape[0], -1).astype(np.float32)
    return np.concatenate([flat.mean(1), flat.std(1)]).astype(np.float64)


@dataclass(frozen=True)
class Domain:
    """``mean`` (512,), ``precision`` (512, 512); ``threshold`` and ``scale`` map a distance to 0..1."""

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    threshold: float
    scale: float

    def distance(self, vector: NDArray[np.float64]) -> float:
        """Mahalanobis distance divided by the square root of the dimension: near 1 inside the domain."""
        offset = vector - self.mean
        return math.sqrt(max(0.0, float(offset @ self.precision @ offset)) / len(offset))

    def score(self, embedding: NDArray[np.floating]) -> float:
        """1 well inside the domain, 0.5 at the threshold, 0 far outside."""
        argument = (self.distance(pooled(embedding)) - self.threshold) / self.scale
        return 1 / (1 + math.exp(min(50.0, max(-50.0, argument))))

    @classmethod
    def fit(cls, inside: NDArray[np.float64], reserved: NDArray[np.float64]) -> Self:
        """Fit on vectors (N, 512); the threshold is 1.15 times the 99th percentile of ``reserved``, vectors kept apart from the fit."""
        from sklearn.covariance import LedoitWolf

        shrunk = LedoitWolf().fit(inside)
        trial = cls(shrunk.location_, shrunk.precision_, 1.0, 1.0)
        edge = float(np.percentile([trial.distance(vector) for vector in reserved], 99))
        return cls(trial.mean, trial.precision, 1.15 * edge, 0.05 * edge)

    def state(self) -> dict[str, Tensor]:
        """Tensors to keep beside the heads' weights, under ``domain.``."""
        values = {"mean": self.mean, "precision": self.precision, "edge": np.array([self.threshold, self.scale])}
        return {f"domain.{name}": torch.from_numpy(value.astype(np.float32)) for name, value in values.items()}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """The inverse of ``state``."""
        mean, precision, edge = (state[f"domain.{name}"].double().numpy() for name in ("mean", "precision", "edge"))
        return cls(mean, precision, float(edge[0]), float(edge[1]))
