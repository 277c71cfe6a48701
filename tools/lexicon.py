"""How a term of a lexicon is decided: a verdict with its value, its confidence and the formula in words. Knows no image.

Terms: Mendelson EB, Böhm-Vélez M, Berg WA, et al. ACR BI-RADS Ultrasound. In: ACR BI-RADS Atlas, 5th edition. American College of
Radiology, 2013. The atlas gives terms in words; the formulas and thresholds that stand for them here are this project's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEXICON = "BI-RADS US 2013"


@dataclass(frozen=True)
class Verdict:
    """A term; ``value`` is what the formula compares with its threshold, ``score`` the confidence in the term, 0 to 1."""

    feature: str
    term: str
    value: float
    score: float
    formula: str


def above(value: float, threshold: float, width: float) -> float:
    """Confidence, 0 to 1, that ``value`` is above ``threshold``: logistic, 0.5 at the threshold, 0.73 one ``width`` beyond it."""
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, (value - threshold) / width))))


def below(value: float, threshold: float, width: float) -> float:
    """Confidence that ``value`` is below ``threshold``."""
    return above(-value, -threshold, width)
