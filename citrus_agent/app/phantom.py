"""A speckle phantom that looks like a B-mode breast ultrasound, with one lesion whose mask is known. Simulated, and marked so.

Layers (skin, fat lobules between ligaments, glandular tissue, muscle), one oval hypoechoic lesion and a mild posterior shadow. Knows no
scanner: speckle is the envelope of a band-limited complex Gaussian field (fully developed speckle, Rayleigh distributed: Wagner, Smith,
Sandrik and Lopez, IEEE Transactions on Sonics and Ultrasonics 30 (1983) 156), log-compressed; tissue values are chosen by eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from citrus_agent.app.picture import Picture, store_picture
from citrus_agent.core.protocols import BlobStore
from citrus_agent.core.study import Spacing, Study

HEIGHT, WIDTH = 300, 384
SPACING_MM = 0.12
_DYNAMIC_RANGE_DB = 58.0
Field = NDArray[np.float64]


@dataclass(frozen=True)
class Lesion:
    """An ellipse with a slightly wavy outline; centre and half axes in pixels, tilt in radians."""

    x: float
    y: float
    half_width: float
    half_height: float
    tilt: float
    waves: tuple[tuple[int, float, float], ...]

    def distance(self) -> Field:
        """float (H, W): 0 at the centre, 1 on the outline, more outside."""
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
        dx, dy = columns - self.x, rows - self.y
        u = (dx * np.cos(self.tilt) + dy * np.sin(self.tilt)) / self.half_width
        v = (dy * np.cos(self.tilt) - dx * np.sin(self.tilt)) / self.half_height
        angle = np.arctan2(v, u)
        outline = 1 + sum(size * np.cos(order * angle + phase) for order, size, phase in self.waves)
        return np.hypot(u, v) / outline


def render_phantom(seed: int = 0) -> NDArray[np.uint8]:
    """uint8 (300, 384), grey; the same seed gives the same pixels."""
    return _render(seed)[0]


def phantom_mask(seed: int = 0) -> NDArray[np.bool_]:
    """bool (300, 384): the lesion of ``render_phantom(seed)``."""
    return _render(seed)[1]


def phantom_study(blobs: BlobStore, seed: int = 0) -> Study:
    """The phantom as a study: ultrasound of the breast, 0.12 mm a pixel, ``simulated``."""
    spacing = Spacing(row_mm=SPACING_MM, column_mm=SPACING_MM, source="phantom (simulated)")
    picture = Picture(display=render_phantom(seed), spacing=spacing)
    facts = {"Phantom": "speckle", "Seed": str(seed)}
    return Study(
        images=(store_picture(picture, blobs),),
        modality="US",
        body_part="breast",
        source_format="phantom",
        provenance=facts,
        simulated=True,
    )


def _render(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    lesion = _lesion(random)
    distance = lesion.distance()
    echo = _tissue(random)
    echo = _blend(echo, _inside(random), distance) + _rim(distance)
    echo += _attenuation(random) + _posterior(lesion, distance)
    return _compress(echo, _speckle(random)), distance <= 1


def _lesion(random: np.random.Generator) -> Lesion:
    half_width = random.uniform(48, 62)
    waves = tuple((order, random.uniform(0.01, 0.035), random.uniform(0, 2 * np.pi)) for order in (2, 3, 5))
    return Lesion(
        x=random.uniform(150, 234),
        y=random.uniform(112, 134),
        half_width=half_width,
        half_height=half_width * random.uniform(0.52, 0.66),
        tilt=random.uniform(-0.12, 0.12),
        waves=waves,
    )


def _smooth(random: np.random.Generator, down: float, across: float) -> Field:
    """A smooth random field, (H, W), mean 0, standard deviation 1."""
    field = gaussian_filter(random.standard_normal((HEIGHT, WIDTH)), (down, across), mode="reflect")
    return (field - field.mean()) / field.std()


def _tissue(random: np.random.Generator) -> Field:
    """Mean echo level in dB, 0 the brightest, by depth: skin, fat, gland, muscle, with wavy borders."""
    depth = np.arange(HEIGHT)[:, None] + np.zeros((1, WIDTH))
    borders = [_border(random, mean, sway) for mean, sway in ((13, 1.2), (62, 9), (196, 10), (238, 6))]
    fat = -33 + 2.5 * _smooth(random, 6, 14)
    gland = -27 + 4.5 * _smooth(random, 5, 16)
    muscle = -36 + 3.0 * _smooth(random, 2.0, 40)
    deep = -40 + 2.5 * _smooth(random, 5, 40)
    echo = -19 + 4.0 * _smooth(random, 1.5, 40)
    for border, layer in zip(borders, (fat, gland, muscle, deep), strict=True):
        share = 1 / (1 + np.exp(-(depth - border) / 1.6))
        echo = echo * (1 - share) + layer * share
    for border, level in zip(borders, (12, 14, 18, 14), strict=True):
        echo += level * _strokes(random, depth - border)
    return echo + _septa(random, depth, borders)


def _border(random: np.random.Generator, mean: float, sway: float) -> Field:
    line = gaussian_filter1d(random.standard_normal(WIDTH), 45, mode="reflect")
    return (mean + sway * line / line.std())[None, :]


def _strokes(random: np.random.Generator, offset: Field) -> Field:
    """A bright fascia along ``offset`` 0, here strong, there broken."""
    strength = gaussian_filter1d(random.standard_normal(WIDTH), 14, mode="reflect")
    strength = np.clip(0.6 + 0.45 * strength / strength.std(), 0, 1.3)
    return np.exp(-((offset / 1.8) ** 2)) * strength[None, :]


def _septa(random: np.random.Generator, depth: Field, borders: list[Field]) -> Field:
    """Thin bright lines: ligaments in the fat, ducts and fibres in the gland, fibres along the muscle; level lines of smooth fields."""
    found = np.zeros((HEIGHT, WIDTH))
    for (down, across), width, level, (top, bottom) in (
        ((6, 22), 0.11, 15.0, (0, 1)),
        ((3.5, 20), 0.16, 12.0, (1, 2)),
        ((2.5, 60), 0.2, 13.0, (2, 3)),
    ):
        inside = (depth > borders[top]) & (depth < borders[bottom])
        patch = np.clip(0.35 + 0.6 * _smooth(random, 10, 22), 0, 1.2)
        line = np.exp(-((_smooth(random, down, across) / width) ** 2))
        found += level * patch * gaussian_filter(line * inside, 0.6)
    return found


def _inside(random: np.random.Generator) -> Field:
    return -45 + 2.6 * _smooth(random, 5, 9)


def _blend(echo: Field, inside: Field, distance: Field) -> Field:
    share = 1 / (1 + np.exp((distance - 1) / 0.022))
    return echo * (1 - share) + inside * share


def _rim(distance: Field) -> Field:
    """A thin bright capsule just outside the outline, strongest where the beam meets it at a right angle (top and bottom)."""
    facing = np.abs(np.gradient(distance, axis=0)) / (np.hypot(*np.gradient(distance)) + 1e-9)
    return 11.0 * np.exp(-(((distance - 1.06) / 0.035) ** 2)) * facing**2


def _attenuation(random: np.random.Generator) -> Field:
    """Depth loss that gain does not make good, and columns of poor contact."""
    depth = np.linspace(0, 1, HEIGHT)[:, None]
    contact = gaussian_filter1d(random.standard_normal(WIDTH), 16, mode="reflect")
    return -9 * depth**1.6 + (1.6 * contact / contact.std())[None, :] * np.sqrt(depth)


def _posterior(lesion: Lesion, distance: Field) -> Field:
    """A mild shadow under the lesion that widens and fades with depth."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    below = np.clip((rows - lesion.y) / lesion.half_height, 0, None)
    across = np.exp(-(((columns - lesion.x) / (0.72 * lesion.half_width)) ** 4))
    ramp = np.clip(below - 0.6, 0, 1) * np.exp(-np.clip(below - 1, 0, None) / 3.2)
    return np.where(distance > 1, -13.0 * across * ramp, 0.0)


def _speckle(random: np.random.Generator) -> Field:
    """Rayleigh envelope in dB about its mean; cells are wider than deep and widen with depth, as beams do."""
    depth = np.linspace(0, 1, HEIGHT)[:, None]
    near, far = (_envelope(random, across) for across in (1.5, 3.0))
    return 20 * np.log10(np.maximum(near * (1 - depth) + far * depth, 0.02))


def _envelope(random: np.random.Generator, across: float) -> Field:
    """Mean of two independent Rayleigh looks, as spatial compounding takes it, mean 1."""
    looks = np.zeros((HEIGHT, WIDTH))
    for _ in range(2):
        looks += np.hypot(*(gaussian_filter(random.standard_normal((HEIGHT, WIDTH)), (0.95, across), mode="reflect") for _ in range(2)))
    return looks / looks.mean()


def _compress(echo: Field, speckle: Field) -> NDArray[np.uint8]:
    """Log compression: dB to grey, the dynamic range to 0..255."""
    level = gaussian_filter(echo + speckle, 0.4)
    return np.rint(np.clip(1 + level / _DYNAMIC_RANGE_DB, 0, 1) * 255).astype(np.uint8)
