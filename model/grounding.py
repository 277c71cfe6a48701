"""The network of the grounding heads: lesion map and finding from one image embedding. Knows no image file, prompt or evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

FINDINGS = ("normal", "benign_looking", "suspicious")


def _conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(8, channels_out),
        nn.GELU(),
    )


@dataclass(frozen=True)
class GroundingOutput:
    """``lesion``: logits (B, 1, 64, 64). ``finding``: logits (B, 3) in the order of ``FINDINGS``."""

    lesion: Tensor
    finding: Tensor


class GroundingHead(nn.Module):
    """A small U-Net over the encoder's 64 x 64 features, with a classifier that looks at the image and at the lesion map's inside.

    Widths follow the usual doubling of Ronneberger et al. 2015 (doi:10.1007/978-3-319-24574-4_28), kept narrow for two CPU cores.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        wide, wider = width * 3 // 2, width * 2
        self.stem = nn.Sequential(nn.Conv2d(256, width, 1, bias=False), nn.GroupNorm(8, width), nn.GELU())
        self.high = _conv(width, width)
        self.middle = nn.Sequential(_conv(width, wide, stride=2), _conv(wide, wide))
        self.low = nn.Sequential(_conv(wide, wider, stride=2), nn.Dropout2d(0.1), _conv(wider, wider))
        self.lowest = nn.Sequential(_conv(wider, wider, stride=2), nn.Dropout2d(0.1), _conv(wider, wider))
        self.up_low = _conv(2 * wider, wider)
        self.up_middle = _conv(wider + wide, wide)
        self.up_high = _conv(wide + width, width)
        self.lesion = nn.Conv2d(width, 1, 1)
        self.finding = nn.Sequential(nn.Linear(2 * wider + wider + width, 128), nn.GELU(), nn.Dropout(0.3), nn.Linear(128, len(FINDINGS)))

    def forward(self, embedding: Tensor) -> GroundingOutput:
        """``embedding``: float (B, 256, 64, 64)."""
        high = self.high(self.stem(embedding))
        middle = self.middle(high)
        low = self.low(middle)
        lowest = self.lowest(low)
        joined_low = self.up_low(_join(lowest, low))
        joined = self.up_high(_join(self.up_middle(_join(joined_low, middle)), high))
        lesion = self.lesion(joined)
        weight = lesion.detach().sigmoid()
        coarse = functional.adaptive_avg_pool2d(weight, joined_low.shape[-2:])
        pooled = [lowest.mean((2, 3)), lowest.amax((2, 3)), _inside(joined_low, coarse), _inside(joined, weight)]
        return GroundingOutput(lesion, self.finding(torch.cat(pooled, 1)))


class GroundingEnsemble(nn.Module):
    """Several heads trained apart: the mean of their lesion logits, and of their finding probabilities (given as logits)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.members = nn.ModuleList(GroundingHead(width) for width in widths)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The ensemble whose ``state_dict`` this is."""
        widths = [len(value) for key, value in sorted(state.items()) if key.endswith(".stem.0.weight")]
        ensemble = cls(widths)
        ensemble.load_state_dict(state)
        return ensemble

    def forward(self, embedding: Tensor) -> GroundingOutput:
        """As ``GroundingHead``."""
        outputs = [member(embedding) for member in self.members]
        finding = torch.stack([one.finding.softmax(1) for one in outputs]).mean(0)
        return GroundingOutput(torch.stack([one.lesion for one in outputs]).mean(0), finding.log())


def _join(below: Tensor, skip: Tensor) -> Tensor:
    return torch.cat([functional.interpolate(below, size=skip.shape[-2:], mode="bilinear", align_corners=False), skip], 1)


def _inside(features: Tensor, weight: Tensor) -> Tensor:
    return (features * weight).sum((2, 3)) / (weight.sum((2, 3)) + 1.0)
