"""The network of the grounding heads, its loss, and the domain score."""

import numpy as np
import pytest
import torch

from citrus_agent.model.busi import FOLDS, Item, fold_of
from citrus_agent.model.domain import Domain
from citrus_agent.model.features import augment
from citrus_agent.model.grounding import FINDINGS, GroundingHead
from citrus_agent.model.heads import Reading, components, fuse, level
from citrus_agent.model.litemedsam import squash, to_source, to_square


def test_network_shapes():
    output = GroundingHead(width=16)(torch.randn(2, 256, 64, 64))
    assert output.lesion.shape == (2, 1, 64, 64)
    assert output.finding.shape == (2, len(FINDINGS))


def test_finding_does_not_train_the_lesion_map_through_its_weight():
    head = GroundingHead(width=16)
    head(torch.randn(1, 256, 64, 64)).finding.sum().backward()
    assert head.lesion.weight.grad is None


def test_frames_are_inverse_and_keep_corners():
    points = np.array([[0, 0], [383, 199], [10.5, 20.25]], np.float32)
    square = to_square(points, 384, 200)
    assert np.allclose(to_source(square, 384, 200), points, atol=1e-4)
    assert square[0] == pytest.approx([0.5 * 256 / 384 - 0.5, 0.5 * 256 / 200 - 0.5])


def test_squash_spans_zero_to_one_and_survives_a_flat_image():
    ramp = np.tile(np.arange(100, dtype=np.uint8), (50, 1))
    assert squash(ramp).shape == (256, 256)
    assert squash(ramp).min() == 0
    assert squash(ramp).max() == 1
    assert not np.isnan(squash(np.full((9, 9), 7, np.uint8))).any()


def test_components_are_sorted_small_ones_left_out_and_none_when_normal():
    lesion = np.full((256, 256), -5.0, np.float32)
    lesion[10:60, 10:60] = 1.0
    lesion[100:150, 100:150] = 5.0
    lesion[200:203, 200:203] = 9.0
    found = components(Reading(lesion, {"normal": 0.1, "benign_looking": 0.5, "suspicious": 0.4}, 1.0))
    assert [c.box.tolist() for c in found] == [[[100, 100], [149, 149]], [[10, 10], [59, 59]]]
    assert found[0].score > found[1].score
    faint = np.full((256, 256), -9.0, np.float32)
    faint[10:60, 10:60] = -1.0
    assert len(components(Reading(faint, {"normal": 0.3, "benign_looking": 0.5, "suspicious": 0.2}, 1.0))) == 1
    assert components(Reading(lesion, {"normal": 0.9, "benign_looking": 0.1, "suspicious": 0.0}, 1.0)) == []


def test_fuse_lets_neither_map_silence_the_other():
    assert fuse(np.array([[-1000.0]], np.float32), np.array([[8.0]], np.float32))[0, 0] == 0


def test_a_faint_map_marks_what_is_near_its_peak():
    faint = np.array([[-3.0, -4.5, -5.5, -9.0]], np.float32)
    assert level(faint) == -5
    assert level(faint + 20) == 0
    assert (fuse(np.zeros((1, 4), np.float32), faint) > 0).tolist() == [[True, True, False, False]]


def test_domain_tells_shifted_vectors_from_its_own():
    random = np.random.default_rng(0)
    inside = random.normal(size=(400, 512))
    domain = Domain.fit(inside[:300], inside[300:])
    again = Domain.from_state(domain.state())
    far = random.normal(size=512) + 3
    assert domain.distance(inside[350]) < domain.threshold < domain.distance(far)
    assert again.distance(far) == pytest.approx(domain.distance(far), rel=1e-3)


def test_variants_repeat_and_move_image_and_mask_alike():
    image = torch.rand(1, 1, 256, 256)
    mask = (image > 0.5).float()
    first, second = augment(image, mask, 2, 7), augment(image, mask, 2, 7)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[0], augment(image, mask, 3, 7)[0])
    mirrored, mirrored_mask = augment(image, mask, 1, 0)
    assert torch.equal((mirrored > 0.5).float(), mirrored_mask)


def test_folds_are_fixed_and_items_merge_several_masks(tmp_path):
    from PIL import Image

    assert 0 <= fold_of("12") < FOLDS
    assert fold_of("12") == fold_of("12")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    masks = []
    for name, column in (("a_mask.png", 0), ("a_mask_1.png", 5)):
        mask = np.zeros((8, 8), np.uint8)
        mask[:, column] = 255
        Image.fromarray(mask).save(tmp_path / name)
        masks.append(tmp_path / name)
    assert Item(tmp_path / "a.png", "benign", tuple(masks), "0", 0).mask().sum() == 16
