"""The phantom: repeatable, marked, and with the lesion where the mask says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from citrus_agent.app.phantom import phantom_mask, phantom_study, render_phantom
from citrus_agent.core.blobs import MemoryBlobStore
from citrus_agent.core.pixels import decode_png


def test_the_seed_decides():
    assert np.array_equal(render_phantom(3), render_phantom(3))
    assert not np.array_equal(render_phantom(3), render_phantom(4))


@pytest.mark.parametrize("seed", range(4))
def test_one_dark_oval_lesion_inside_the_picture(seed):
    image, mask = render_phantom(seed), phantom_mask(seed)
    assert (image.shape, image.dtype, mask.shape, mask.dtype) == ((300, 384), np.uint8, (300, 384), bool)
    assert label(mask)[1] == 1
    assert mask[1:-1, 1:-1].sum() == mask.sum()
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert 1.2 < len(columns) / len(rows) < 2.2
    ring = binary_dilation(mask, iterations=12) & ~binary_dilation(mask, iterations=3)
    assert image[mask].mean() + 40 < image[ring].mean()


@pytest.mark.parametrize("seed", range(4))
def test_posterior_shading(seed, monkeypatch):
    shaded, mask = render_phantom(seed).astype(float), phantom_mask(seed)
    monkeypatch.setattr("citrus_agent.app.phantom._posterior", lambda lesion, distance: np.zeros_like(distance))
    plain = render_phantom(seed).astype(float)
    bottom, columns = np.flatnonzero(mask.any(1)).max(), np.flatnonzero(mask.any(0))
    below = slice(bottom + 8, bottom + 50), slice(columns[len(columns) // 4], columns[3 * len(columns) // 4])
    assert shaded[below].mean() < plain[below].mean() - 20
    assert np.array_equal(shaded[:bottom, : columns[0] - 40], plain[:bottom, : columns[0] - 40])


def test_speckle_is_as_of_two_compounded_rayleigh_looks():
    """Log-compressed mean of two Rayleigh looks: near 5.57 dB / sqrt(2) of spread; 58 dB over 255 grey levels, less the slight blur."""
    deviations = []
    for seed in range(3):
        image, mask = render_phantom(seed).astype(float), phantom_mask(seed)
        rows = slice(40, 52)
        local = image[rows, 40:340] - np.median(image[rows, 40:340])
        deviations.append(1.4826 * np.median(np.abs(local)) * 58 / 255)
        assert mask[rows].sum() == 0
    assert 2.0 < np.mean(deviations) < 5.0


def test_the_study_says_that_it_is_simulated():
    blobs = MemoryBlobStore()
    study = phantom_study(blobs, seed=2)
    image = study.images[0]
    assert study.simulated
    assert (study.modality, study.body_part, image.mode) == ("US", "breast", "L")
    assert image.spacing.row_mm == image.spacing.column_mm == 0.12
    assert "simulated" in image.spacing.source
    assert np.array_equal(decode_png(blobs.get(image.blob)), render_phantom(2))
