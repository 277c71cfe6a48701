"""Members trained apart, and the domain they know, as one weights file: ``python -m citrus_agent.model.pack_grounding``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from citrus_agent.model.busi import Item, read_busi
from citrus_agent.model.domain import Domain, pooled
from citrus_agent.model.features import FeatureSet, features


def fit_domain(sets: Sequence[FeatureSet], items: Sequence[Item]) -> Domain:
    """Distribution of the images and their mirror images: folds 2 to 4 are fitted, fold 1 sets the threshold, fold 0 is not looked at."""

    def vectors(folds: set[int]) -> NDArray[np.float64]:
        return np.stack([pooled(one.embeddings[i]) for one in sets for i, item in enumerate(items) if item.fold in folds])

    return Domain.fit(vectors({2, 3, 4}), vectors({1}))


def pack(runs: Sequence[Path], busi: Path, cache: Path, out: Path) -> None:
    """Write the runs' averaged weights and the domain of the training images to ``out``."""
    items = read_busi(busi)
    state = fit_domain([features(items, variant, cache) for variant in (0, 1)], items).state()
    for index, run in enumerate(runs):
        state |= {f"members.{index}.{key}": value for key, value in load_file(run / "member.safetensors").items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, out)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busi", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="where the training runs kept their embeddings")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, grounding.safetensors of a model's folder")
    parser.add_argument("runs", type=Path, nargs="+", help="folders that train_grounding wrote")
    options = parser.parse_args()
    pack(options.runs, options.busi, options.cache, options.out)


if __name__ == "__main__":
    main()
