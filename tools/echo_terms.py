"""Echo pattern and posterior features of a lesion in BI-RADS ultrasound terms. Knows no evidence.

Display grey values are log-compressed and depend on gain; all formulas are ratios within one image. The tissue around the lesion stands in
for the fat that the atlas compares with: it may hold fibroglandular tissue instead, and then the lesion reads too dark. The thresholds
were set on every third lesion image of BUSI (Al-Dhabyani W et al., Data in Brief 28 (2020) 104863, doi:10.1016/j.dib.2019.104863),
which has no labels of these terms: only how often a term falls on benign and on malignant lesions was looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from citrus_agent.tools.lexicon import Verdict, above, below

DARK = 0.25
ANECHOIC_SHARE, COMPLEX_SHARE, SHARE_WIDTH = 0.8, 0.3, 0.08
COMPLEX_VARIATION = 0.2
VARIATION, VARIATION_WIDTH = 0.3, 0.03
ISOECHOIC = (0.85, 1.15)
RATIO_WIDTH = 0.05
SHADOW, ENHANCEMENT, POSTERIOR_WIDTH = 0.75, 1.35, 0.08
LEAST_SIDE_GREY = 4.0
LEAST_BAND = (6, 40)
"""Rows of the posterior band, and pixels at its sides, below which nothing is said."""

Grey = NDArray[np.float64]
Mask = NDArray[np.bool_]


def echo_pattern(mask: Mask, grey: Grey) -> Verdict:
    """From the lesion's core and the ring around it. ``grey``: float (H, W), 0 to 255."""
    core, ring = _core_and_ring(mask)
    radius = np.sqrt(mask.sum() / np.pi)
    reference = max(float(np.median(grey[ring])) if ring.any() else float(np.median(grey)), 1.0)
    calm = ndimage.gaussian_filter(grey, max(1.0, 0.05 * radius))[core]  # speckle is taken off, structure stays
    ratio, dark, variation = (float(v) for v in (grey[core].mean() / reference, (calm < DARK * reference).mean(), calm.std() / reference))
    term, value, score = _echo_term(ratio, dark, variation)
    formula = (
        f"anechoic if {ANECHOIC_SHARE:.0%} of the core is below {DARK} of the ring's median; complex if {COMPLEX_SHARE:.0%} is, with "
        f"SD / ring above {COMPLEX_VARIATION}; heterogeneous if SD / ring > {VARIATION}; else core / ring below {ISOECHOIC[0]} "
        f"hypoechoic, above {ISOECHOIC[1]} hyperechoic; core / ring {ratio:.2f}, dark {dark:.2f}, SD / ring {variation:.2f}"
    )
    return Verdict("echo_pattern", term, value, score, formula)


def posterior_features(mask: Mask, grey: Grey) -> Verdict | None:
    """From the band under the lesion against the bands of the same depth at its sides; None where the image does not show them."""
    bands = _bands(mask)
    if bands is None:
        return None
    left, right, sides = bands
    beside = float(grey[sides].mean())
    if beside < LEAST_SIDE_GREY:
        return None
    halves = [float(grey[half].mean()) / beside for half in (left, right)]
    ratio = float(np.mean(halves))
    formula = (
        f"grey under the lesion / grey beside it at the same depth: shadowing below {SHADOW}, enhancement above {ENHANCEMENT}, "
        f"combined if the two halves differ so; left {halves[0]:.2f}, right {halves[1]:.2f}"
    )
    return Verdict("posterior_features", *_posterior_term(ratio, min(halves), max(halves)), formula)


def _echo_term(ratio: float, dark: float, variation: float) -> tuple[str, float, float]:
    if dark >= ANECHOIC_SHARE:
        return "anechoic", dark, above(dark, ANECHOIC_SHARE, SHARE_WIDTH)
    if dark >= COMPLEX_SHARE and variation > COMPLEX_VARIATION:
        return (
            "complex_cystic_solid",
            dark,
            min(above(dark, COMPLEX_SHARE, SHARE_WIDTH), above(variation, COMPLEX_VARIATION, VARIATION_WIDTH)),
        )
    if variation > VARIATION:
        return "heterogeneous", variation, above(variation, VARIATION, VARIATION_WIDTH)
    if ratio < ISOECHOIC[0]:
        return "hypoechoic", ratio, below(ratio, ISOECHOIC[0], RATIO_WIDTH)
    if ratio > ISOECHOIC[1]:
        return "hyperechoic", ratio, above(ratio, ISOECHOIC[1], RATIO_WIDTH)
    return "isoechoic", ratio, min(above(ratio, ISOECHOIC[0], RATIO_WIDTH), below(ratio, ISOECHOIC[1], RATIO_WIDTH))


def _posterior_term(ratio: float, lower: float, higher: float) -> tuple[str, float, float]:
    shadow, bright = below(lower, SHADOW, POSTERIOR_WIDTH), above(higher, ENHANCEMENT, POSTERIOR_WIDTH)
    if shadow >= 0.5 and bright >= 0.5:
        return "combined", ratio, min(shadow, bright)
    shadow, bright = below(ratio, SHADOW, POSTERIOR_WIDTH), above(ratio, ENHANCEMENT, POSTERIOR_WIDTH)
    if shadow >= 0.5:
        return "shadowing", ratio, shadow
    if bright >= 0.5:
        return "enhancement", ratio, bright
    return "none", ratio, 1 - max(shadow, bright)


def _core_and_ring(mask: Mask) -> tuple[Mask, Mask]:
    """The mask without its rim, and the ring around it; a tenth of the radius at the boundary belongs to neither."""
    radius = float(np.sqrt(mask.sum() / np.pi))
    rim = max(3.0, 0.1 * radius)
    inner, outer = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    core = inner > rim
    return (core if core.sum() > 30 else mask), (outer > rim) & (outer <= rim + max(6.0, 0.5 * radius))


def _bands(mask: Mask) -> tuple[tuple[slice, slice], tuple[slice, slice], Mask] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    top = int(rows[-1]) + 1 + max(2, int(0.05 * height))
    deep = slice(top, min(mask.shape[0], top + max(8, int(0.6 * height))))
    if deep.stop - deep.start < LEAST_BAND[0] or width < 4:
        return None
    start, stop = int(columns[0] + 0.2 * width), int(columns[-1] - 0.2 * width) + 1
    middle = (start + stop) // 2
    sides = np.zeros_like(mask)
    sides[deep, max(0, int(columns[0] - 0.6 * width)) : max(0, int(columns[0]) - 2)] = True
    sides[deep, int(columns[-1]) + 3 : int(columns[-1] + 0.6 * width) + 1] = True
    if sides.sum() < LEAST_BAND[1] or not start < middle < stop:
        return None
    return (deep, slice(start, middle)), (deep, slice(middle, stop)), sides
