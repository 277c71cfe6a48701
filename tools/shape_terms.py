"""Shape, orientation and margin of a mask in BI-RADS ultrasound terms. Knows no evidence; grey values matter to the margin only.

A formula cannot tell a lobule from a shaky outline: the terms are as good as the mask. The thresholds lie between the benign and the
malignant lesions of every third image of BUSI (Al-Dhabyani W et al., Data in Brief 28 (2020) 104863, doi:10.1016/j.dib.2019.104863),
with the data set's own masks; the masks of a segmenter are smoother. Angular, microlobulated and spiculated have no labels there: what
parts them is a choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal
from skimage import measure

from citrus_agent.tools.geometry import Pitch
from citrus_agent.tools.lexicon import Verdict, above, below

SOLIDITY, SOLIDITY_WIDTH = 0.935, 0.012
OVERLAP, OVERLAP_WIDTH = 0.92, 0.012
ROUND, ROUND_WIDTH = 0.85, 0.03
OBLIQUE_DEGREES, OBLIQUE_WIDTH = 45.0, 6.0
TALLER, TALLER_WIDTH = 1.0, 0.05
ROUGHNESS, ROUGHNESS_WIDTH = 0.027, 0.003
SPIKY_ROUGHNESS = 0.06
CONTRAST, CONTRAST_WIDTH = 0.5, 0.15
SMOOTH_HARMONICS = 5
CONTOUR_POINTS = 256
PROMINENCE = 0.08
MANY_PEAKS = 5
SECTORS = 16
GREY_FLOOR = 4.0
"""Grey levels added to the spread, so that a noise-free image does not divide by zero."""


@dataclass(frozen=True)
class Outline:
    """Roughness of the closed contour and how many bumps it has, both relative to the radius of the disc of the same area."""

    roughness: float
    peaks: int


def shape(mask: NDArray[np.bool_]) -> Verdict:
    """Oval, round or irregular for a bool (H, W) mask."""
    region = measure.regionprops(mask.astype(np.uint8))[0]
    solidity, overlap = float(region.solidity), ellipse_overlap(mask)
    ratio = float(region.axis_minor_length / max(region.axis_major_length, 1e-9))
    regular = min(above(solidity, SOLIDITY, SOLIDITY_WIDTH), above(overlap, OVERLAP, OVERLAP_WIDTH))
    circular = above(ratio, ROUND, ROUND_WIDTH)
    if regular < 0.5:
        term, score = "irregular", 1 - regular
    else:
        term, score = ("round", regular * circular) if circular >= 0.5 else ("oval", regular * (1 - circular))
    formula = (
        f"irregular if min(solidity / {SOLIDITY}, ellipse overlap / {OVERLAP}) < 1, else round if minor / major axis "
        f">= {ROUND}, else oval; solidity {solidity:.3f}, overlap (Dice) {overlap:.3f}, axes {ratio:.3f}"
    )
    return Verdict("shape", term, min(solidity / SOLIDITY, overlap / OVERLAP), score, formula)


def orientation(mask: NDArray[np.bool_], pitch: Pitch) -> Verdict:
    """Parallel or not parallel to the skin, which is taken to run along the rows of the image."""
    region = measure.regionprops(mask.astype(np.uint8), spacing=(pitch.row, pitch.column))[0]
    degrees = 90 - abs(float(np.degrees(region.orientation)))
    top, left, bottom, right = region.bbox
    ratio = (bottom - top) * pitch.row / ((right - left) * pitch.column)
    wider = below(ratio, TALLER, TALLER_WIDTH)
    # A lesion that is nearly round has no long axis to speak of.
    has_axis = region.axis_minor_length < ROUND * region.axis_major_length
    parallel = min(below(degrees, OBLIQUE_DEGREES, OBLIQUE_WIDTH), wider) if has_axis else wider
    term, score = ("parallel", parallel) if parallel >= 0.5 else ("not_parallel", 1 - parallel)
    formula = (
        f"parallel if the long axis is within {OBLIQUE_DEGREES:g} degrees of horizontal (not asked if minor / major axis >= {ROUND}) "
        f"and taller-than-wide ratio <= {TALLER:g}; axis at {degrees:.1f} degrees, ratio {ratio:.2f}"
    )
    return Verdict("orientation", term, ratio, score, formula)


def margin(mask: NDArray[np.bool_], grey: NDArray[np.float64]) -> Verdict:
    """Circumscribed, or the way in which it is not. ``grey``: float (H, W), 0 to 255."""
    outline, contrast = outline_of(mask), boundary_contrast(mask, grey)
    smooth, sharp = below(outline.roughness, ROUGHNESS, ROUGHNESS_WIDTH), above(contrast, CONTRAST, CONTRAST_WIDTH)
    if smooth < 0.5:
        term, value, score = _rough_term(outline), outline.roughness, 1 - smooth
    elif sharp < 0.5:
        term, value, score = "indistinct", contrast, 1 - sharp
    else:
        term, value, score = "circumscribed", outline.roughness, smooth * sharp
    formula = (
        f"not smooth if RMS distance to its contour of {SMOOTH_HARMONICS} harmonics / radius > {ROUGHNESS} (angular below "
        f"{MANY_PEAKS} bumps, else spiculated from {SPIKY_ROUGHNESS}, else microlobulated); indistinct if boundary contrast / spread "
        f"< {CONTRAST}; roughness {outline.roughness:.3f}, bumps {outline.peaks}, contrast {contrast:.2f}"
    )
    return Verdict("margin", term, value, score, formula)


def ellipse_overlap(mask: NDArray[np.bool_]) -> float:
    """Dice of a bool (H, W) mask with the ellipse of the same centre and second moments."""
    rows, columns = np.nonzero(mask)
    points = np.column_stack([rows, columns]).astype(np.float64)
    centre, spread = points.mean(axis=0), _spread(mask)
    inverse = np.linalg.inv(spread)
    # The ellipse may leave the image; it is drawn on a frame that holds it.
    reach = int(np.ceil(2 * np.sqrt(spread.trace()))) + 1
    span = [np.arange(np.floor(c) - reach, np.ceil(c) + reach + 1) for c in centre]
    offsets = np.stack(np.meshgrid(*span, indexing="ij"), axis=-1)
    ellipse_area = int((_distance(offsets - centre, inverse) <= 4).sum())
    shared = int((_distance(points - centre, inverse) <= 4).sum())
    return 2 * shared / (ellipse_area + len(points))


def outline_of(mask: NDArray[np.bool_]) -> Outline:
    """How far the contour strays from its own low harmonics.

    The contour is first stretched so that its ellipse becomes a disc of the same area: a smooth flat ellipse then has no high harmonics,
    and neither unequal pixel spacing nor orientation matters.
    """
    soft = ndimage.gaussian_filter(np.pad(mask, 4).astype(np.float64), 1.0)  # takes the stairs of the pixel grid off the contour
    path = max(measure.find_contours(soft, soft.max() / 2), key=len) @ _to_disc(mask)
    walked = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    stops = np.linspace(0, walked[-1], CONTOUR_POINTS, endpoint=False)
    contour = np.interp(stops, walked, path[:, 1]) + 1j * np.interp(stops, walked, path[:, 0])
    spectrum = np.fft.fft(contour)
    spectrum[np.abs(np.fft.fftfreq(CONTOUR_POINTS, 1 / CONTOUR_POINTS)) > SMOOTH_HARMONICS] = 0
    smooth = np.fft.ifft(spectrum)
    strays = (contour - smooth) / np.sqrt(mask.sum() / np.pi)
    outward = np.real(strays * np.conj(smooth - smooth.mean()) / np.abs(smooth - smooth.mean()).clip(1e-9))
    # Rolled to start at the lowest point: a bump across the seam is then counted once.
    peaks, _ = signal.find_peaks(np.roll(outward, -int(np.argmin(outward))), prominence=PROMINENCE)
    return Outline(float(np.sqrt(np.mean(np.abs(strays) ** 2))), len(peaks))


def boundary_contrast(mask: NDArray[np.bool_], grey: NDArray[np.float64]) -> float:
    """Mean over 16 sectors of (just outside - just inside) / spread; bands of 15 % of the radius, at least 3 px."""
    width = max(3.0, 0.15 * np.sqrt(mask.sum() / np.pi))
    inner, outer = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    rows, columns = np.indices(mask.shape)
    centre = np.argwhere(mask).mean(axis=0)
    turn = (np.arctan2(rows - centre[0], columns - centre[1]) + np.pi) / (2 * np.pi)
    sector = (turn * SECTORS).astype(int) % SECTORS
    inside, outside = (inner > 0) & (inner <= width), (outer > 0) & (outer <= width)
    steps = []
    for index in range(SECTORS):
        near, far = grey[inside & (sector == index)], grey[outside & (sector == index)]
        if near.size > 5 and far.size > 5:
            steps.append((far.mean() - near.mean()) / (np.sqrt((near.var() + far.var()) / 2) + GREY_FLOOR))
    return abs(float(np.mean(steps))) if steps else 0.0


def _spread(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Second moments (row, column) of the pixels as squares: 1/12 is that of one square pixel."""
    return np.asarray(np.cov(np.argwhere(mask).T.astype(np.float64)) + np.eye(2) / 12, np.float64)


def _to_disc(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The symmetric 2 x 2 map of determinant 1 that makes the second moments equal."""
    moments, axes = np.linalg.eigh(_spread(mask))
    return np.asarray((axes * (np.prod(moments) ** 0.25 / np.sqrt(moments))) @ axes.T, np.float64)


def _rough_term(outline: Outline) -> str:
    if outline.peaks < MANY_PEAKS:
        return "angular"
    return "spiculated" if outline.roughness >= SPIKY_ROUGHNESS else "microlobulated"


def _distance(offsets: NDArray[np.floating[Any]], inverse: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("...i,ij,...j->...", offsets, inverse, offsets))
