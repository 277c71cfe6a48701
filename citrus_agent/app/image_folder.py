"""Which images a folder holds for an evaluation: BUSI's layout, or a flat folder. Opens no image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from citrus_agent.core.errors import InputError
from citrus_agent.model.busi import LABELS, Item, read_busi

SUFFIXES = frozenset({".bmp", ".dcm", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})


@dataclass(frozen=True)
class Image:
    """One image to read; ``item`` holds label and masks where the folder has BUSI's layout."""

    name: str
    path: Path
    item: Item | None = None


def find_images(root: Path, subset: Path | None = None, fold: int | None = None) -> list[Image]:
    """Images of BUSI's layout or of a flat folder, by name. ``InputError`` when there are none or one of ``subset`` is missing."""
    if not root.is_dir():
        raise InputError("there is no such folder: give one with benign/, malignant/ and normal/, or with images")
    if any((root / label).is_dir() for label in LABELS):
        found = [(item.path, item) for item in read_busi(root) if fold is None or item.fold == fold]
    elif fold is not None:
        raise InputError("folds are those of BUSI's layout: give a folder with benign/, malignant/ and normal/")
    else:
        files = sorted(path for path in root.iterdir() if path.suffix.lower() in SUFFIXES and "_mask" not in path.stem)
        found = [(path, None) for path in files]
    if not found:
        raise InputError(f"the folder has no images to read ({', '.join(sorted(SUFFIXES))})")
    stems = Counter(path.stem for path, _ in found)
    images = [Image(path.stem if stems[path.stem] == 1 else _long_name(path, item), path, item) for path, item in found]
    return images if subset is None else _only(images, subset)


def _long_name(path: Path, item: Item | None) -> str:
    return path.name if item is None else f"{item.label} {path.name}"


def _only(images: Sequence[Image], subset: Path) -> list[Image]:
    try:
        wanted = {line.strip() for line in subset.read_text(encoding="utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("the subset cannot be read: give a text file with one image name a line") from error
    chosen = [image for image in images if image.name in wanted or image.path.name in wanted]
    missing = wanted - {image.name for image in chosen} - {image.path.name for image in chosen}
    if missing:
        raise InputError(f"{len(missing)} names of the subset are not in the folder, the first is {min(missing)!r}")
    return chosen
