"""Image tokens for the planner's training: breast ultrasound by label, and pictures of other things. Knows no question and no call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageDraw

from citrus_agent.model.busi import Item
from citrus_agent.model.planner.network import CHANNELS, pool
from citrus_agent.model.planner.prompt import IMAGE_TOKENS

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
TRUTHS = {"normal": "normal", "benign": "benign", "suspicious": "malignant"}
"""What a simulated case is, and the label of the images that go with it."""


@dataclass(frozen=True)
class ImageBank:
    """Image tokens float32 (N, 16, 256) by truth, and ``outside`` for pictures of other things."""

    tokens: dict[str, NDArray[np.float32]]

    def pick(self, key: str, random: np.random.Generator) -> tuple[str, int]:
        """One image at random, as a reference for ``get``."""
        return key, int(random.integers(len(self.tokens[key])))

    def get(self, reference: tuple[str, int]) -> NDArray[np.float32]:
        """Tokens (16, 256)."""
        return self.tokens[reference[0]][reference[1]]

    def save(self, path: Path) -> None:
        """Keep the tokens, so that a training that goes on need not encode again."""
        np.savez(path, **self.tokens)

    @classmethod
    def load(cls, path: Path) -> ImageBank:
        """The inverse of ``save``."""
        with np.load(path) as file:
            return cls({name: file[name] for name in file.files})


def image_bank(items: Sequence[Item], embed: Embed, *, held_out: bool, features: NDArray[np.float16] | None = None) -> ImageBank:
    """Tokens of fold 0 (``held_out``) or of the other folds. ``features`` (N, 256, 64, 64) spare the encoding; order of ``items``."""
    tokens: dict[str, list[NDArray[np.float32]]] = {truth: [] for truth in TRUTHS}
    labels = {label: truth for truth, label in TRUTHS.items()}
    for index, item in enumerate(items):
        if (item.fold == 0) == held_out:
            embedding = features[index] if features is not None else embed(item.image())
            tokens[labels[item.label]].append(pool(embedding))
    outside = [pool(embed(image)) for number, (_, image) in enumerate(other_pictures()) if (number % 4 == 0) == held_out]
    stacked = {truth: np.stack(rows) if rows else np.zeros((0, IMAGE_TOKENS, CHANNELS), np.float32) for truth, rows in tokens.items()}
    return ImageBank({**stacked, "outside": np.stack(outside)})


def other_pictures() -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Photographs and textures out of scikit-image's own wheel, and drawings: name and uint8 image. Nothing is downloaded."""
    from skimage import data

    folder = Path(data.__file__).parent
    files = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in {".png", ".jpg"}}
    for name in sorted(files):
        with PILImage.open(files[name]) as picture:
            yield name, np.asarray(picture.convert("RGB"))
            yield f"{name} grey", np.asarray(picture.convert("L"))
    random = np.random.default_rng(0)
    for number in range(28):
        draw = (_noise, _gradient, _writing, _chest)[number % 4]
        yield f"{draw.__name__} {number}", draw(random)


def _noise(random: np.random.Generator) -> NDArray[np.uint8]:
    block = int(random.choice([1, 4, 16]))
    return np.kron(random.integers(0, 256, (256 // block, 320 // block)), np.ones((block, block))).astype(np.uint8)


def _gradient(random: np.random.Generator) -> NDArray[np.uint8]:
    x, y = np.meshgrid(np.linspace(0, 1, 320), np.linspace(0, 1, 256))
    a, b, waves = random.uniform(-1, 1), random.uniform(-1, 1), random.uniform(0, 8)
    value = a * x + b * y + 0.5 * np.sin(waves * (x + y))
    return np.rint(255 * (value - value.min()) / max(float(np.ptp(value)), 1e-6)).astype(np.uint8)


def _writing(random: np.random.Generator) -> NDArray[np.uint8]:
    page = PILImage.new("L", (320, 256), int(random.choice([0, 255])))
    pen = ImageDraw.Draw(page)
    ink = 255 - page.getpixel((0, 0))
    for line in range(10):
        words = "".join(chr(97 + int(i)) if i < 26 else " " for i in random.integers(0, 31, 34))
        pen.text((12, 10 + 23 * line), words, fill=ink)
    return np.asarray(page)


def _chest(random: np.random.Generator) -> NDArray[np.uint8]:
    """Bright field with two dark lungs, ribs and a heart: no real film, but as unlike ultrasound as one."""
    page = PILImage.new("L", (320, 320), int(random.integers(120, 200)))
    pen = ImageDraw.Draw(page)
    dark, wide = int(random.integers(20, 70)), int(random.integers(70, 95))
    for centre in (100, 220):
        pen.ellipse((centre - wide // 2, 60, centre + wide // 2, 260), fill=dark)
    pen.ellipse((130, 150, 230, 270), fill=int(random.integers(170, 230)))
    for rib in range(6):
        pen.arc((40, 40 + 30 * rib, 280, 120 + 30 * rib), 200, 340, fill=dark + 60, width=5)
    pixels = np.asarray(page).astype(np.float64) + random.normal(0, 6, (320, 320))
    return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
