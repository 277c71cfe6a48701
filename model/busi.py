"""Reader of the BUSI folder layout, with its near-duplicate groups as folds. Knows no model.

Al-Dhabyani W et al., "Dataset of breast ultrasound images", Data in Brief 28 (2020) 104863, doi:10.1016/j.dib.2019.104863.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from citrus_agent.core.errors import InputError

LABELS = ("normal", "benign", "malignant")
FOLDS = 5
_SALT = 158  # the salt below 200 whose folds are nearest to equal in each class; chosen before any training


@dataclass(frozen=True)
class Item:
    """One image. ``fold`` is 0 to 4, the same for all members of a near-duplicate group; fold 0 is the validation part."""

    path: Path
    label: str
    masks: tuple[Path, ...]
    group: str
    fold: int

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.path.stem

    def image(self) -> NDArray[np.uint8]:
        """uint8 (H, W)."""
        with PILImage.open(self.path) as image:
            return np.asarray(image.convert("L"))

    def mask(self) -> NDArray[np.bool_]:
        """bool (H, W), all lesions of the image together; all False where there is no mask file."""
        image = self.image()
        merged = np.zeros(image.shape, bool)
        for path in self.masks:
            with PILImage.open(path) as mask:
                merged |= np.asarray(mask.convert("L")) > 127
        return merged


def fold_of(group: str) -> int:
    """Fold of a group, by hash, so that it does not change when images are added."""
    return int(hashlib.sha256(f"busi-{_SALT}-{group}".encode()).hexdigest(), 16) % FOLDS


def read_busi(root: Path) -> list[Item]:
    """All images under ``benign/``, ``malignant/`` and ``normal/``, sorted by name. ``InputError`` when there are none."""
    groups: dict[str, str] = {}
    table = root / "groups.csv"
    if table.is_file():
        with table.open(newline="") as file:
            groups = {row["file"]: row["group"] for row in csv.DictReader(file)}
    items = []
    for label in sorted(LABELS):
        for path in sorted((root / label).glob("*.png")):
            if "_mask" in path.stem:
                continue
            group = groups.get(path.name, path.name)
            masks = tuple(sorted(path.parent.glob(f"{path.stem.replace('[', '[[]')}_mask*.png")))
            items.append(Item(path, label, masks, group, fold_of(group)))
    if not items:
        raise InputError(
            "the folder has no images in benign/, malignant/ or normal/; see the data set's page, doi:10.1016/j.dib.2019.104863"
        )
    return items
