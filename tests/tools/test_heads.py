"""Tools around heads: detect_lesions, segment_lesion."""

import numpy as np
import pytest

from citrus_agent.core.errors import ContractRefusal, ToolArgumentError, ToolFailure
from citrus_agent.core.protocols import Detection, Segmentation
from citrus_agent.tools.detect_lesions import DetectLesions
from citrus_agent.tools.segment_lesion import SegmentLesion


def test_detect_gives_impression_then_regions_best_first(kit):
    case = kit.case()
    finding, first, second = kit.call(DetectLesions(kit.Detector(), kit.Classifier(digest="c" * 64)), case)
    assert (finding.name, finding.value, finding.score, finding.model_digest) == ("image_impression", "suspicious", 0.7, "c" * 64)
    assert (first.score, first.label, first.model_digest) == (0.9, "lesion", "d" * 64)
    assert second.box == (10, 12, 30, 33)
    assert {finding.image, first.image} == {case.study.images[0].blob}
    assert finding.validated_scope
    assert first.box == (40, 50, 79.6, 90)


def test_detect_takes_unknown_modality_as_in_scope_because_it_looked(kit):
    items = kit.call(DetectLesions(kit.Detector(), kit.Classifier()), kit.case(modality="unknown", body_part="unknown"))
    assert all(item.validated_scope for item in items)


@pytest.mark.parametrize("score", [0.2, float("nan")])
def test_detect_refuses_another_domain(kit, score):
    with pytest.raises(ContractRefusal) as caught:
        kit.call(DetectLesions(kit.Detector(), kit.Classifier(in_domain=score)), kit.case())
    assert caught.value.field == "image_domain"


@pytest.mark.parametrize(("study", "field"), [({"modality": "CT"}, "modality"), ({"body_part": "chest"}, "body_part")])
def test_detect_refuses_by_header(kit, study, field):
    with pytest.raises(ContractRefusal) as caught:
        kit.call(DetectLesions(kit.Detector(), kit.Classifier()), kit.case(**study))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "found",
    [Detection((1, 2, float("nan"), 9), "lesion", 0.5), Detection((5, 5, 2, 9), "lesion", 0.5), Detection((1, 1, 9, 9), "lesion", np.nan)],
)
def test_a_bad_box_or_score_is_a_failure(kit, found):
    with pytest.raises(ToolFailure):
        kit.call(DetectLesions(kit.Detector(found=(found,)), kit.Classifier()), kit.case())


def test_nan_probability_is_a_failure(kit):
    with pytest.raises(ToolFailure, match="between 0 and 1"):
        kit.call(DetectLesions(kit.Detector(), kit.Classifier(probabilities={"normal": float("nan"), "suspicious": 0.5})), kit.case())


def test_no_such_image(kit):
    with pytest.raises(ToolArgumentError, match="no image 3"):
        kit.call(DetectLesions(kit.Detector(), kit.Classifier()), kit.case(), image=3)


def test_segment_by_region_on_its_own_image(kit):
    case = kit.case(np.full((90, 90), 1, np.uint8), np.full((100, 120), 90, np.uint8))
    region = kit.add_region(case, (20, 30, 60, 70), image=1)
    (mask,) = kit.call(SegmentLesion(kit.Segmenter()), case, region=region)
    assert mask.image == case.study.images[1].blob
    assert mask.derived_from == (case.evidence.resolve(region).id,)
    assert mask.prompt == {"box": [20.0, 30.0, 60.0, 70.0], "seg": True}
    pixels = case.mask(mask)
    assert pixels.sum() == mask.area_px == (case.probability(mask) >= 0.5).sum()
    assert mask.box == (20, 30, 60, 70)
    assert mask.area_px == pytest.approx(np.pi * 20**2, rel=0.02)


def test_segment_point_and_seg(kit):
    segmenter = kit.Segmenter()
    (mask,) = kit.call(SegmentLesion(segmenter), kit.case(), point=[30, 40.5])
    assert segmenter.calls[-1]["point"] == (30, 40.5)
    assert mask.prompt == {"point": [30.0, 40.5]}
    (mask,) = kit.call(SegmentLesion(segmenter), kit.case(), seg=True)
    assert segmenter.calls[-1] == {"box": None, "point": None, "seg": True}


def test_nothing_found_is_an_answer(kit):
    class Blind(kit.Segmenter):
        def segment(self, image, **prompt):
            return Segmentation(np.zeros(image.shape[:2], np.float32))

    (mask,) = kit.call(SegmentLesion(Blind()), kit.case(), seg=True)
    assert (mask.area_px, mask.box) == (0, None)


def test_other_modalities_take_a_box_but_not_seg(kit):
    case = kit.case(modality="CT", body_part="chest")
    (mask,) = kit.call(SegmentLesion(kit.Segmenter()), case, box=[10, 10, 40, 40])
    assert not mask.validated_scope
    with pytest.raises(ContractRefusal) as caught:
        kit.call(SegmentLesion(kit.Segmenter()), case, seg=True)
    assert caught.value.field == "modality"


def test_scope_of_an_unknown_study_comes_from_the_region(kit):
    case = kit.case(modality="unknown")
    region, doubtful = kit.add_region(case), kit.add_region(case, (1, 1, 9, 9), validated_scope=False)
    assert kit.call(SegmentLesion(kit.Segmenter()), case, region=region)[0].validated_scope
    assert not kit.call(SegmentLesion(kit.Segmenter()), case, region=doubtful)[0].validated_scope
    assert not kit.call(SegmentLesion(kit.Segmenter()), case, box=[20, 30, 60, 70])[0].validated_scope


@pytest.mark.parametrize("prompt", [{}, {"seg": True, "box": [1, 1, 9, 9]}, {"point": [3, 3], "box": [1, 1, 9, 9]}])
def test_exactly_one_prompt(kit, prompt):
    with pytest.raises(ToolArgumentError, match="exactly one"):
        kit.call(SegmentLesion(kit.Segmenter()), kit.case(), **prompt)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ({"box": [10, 10, 400, 40]}, "120 px wide and 100 px high"),
        ({"box": [-50, 10, 40, 40]}, "120 px wide"),
        ({"box": [40, 10, 10, 40]}, "x2 > x1"),
        ({"box": [1, 2, 3]}, "box"),
        ({"box": [1, 2, float("nan"), 4]}, "box"),
        ({"point": [10, 300]}, "100 px high"),
        ({"point": [float("inf"), 3]}, "point"),
        ({"region": "E9"}, "no evidence 'E9'"),
    ],
)
def test_prompts_outside_are_told(kit, prompt, says):
    with pytest.raises(ToolArgumentError, match=says):
        kit.call(SegmentLesion(kit.Segmenter()), kit.case(), **prompt)


def test_a_box_just_over_the_edge_is_clipped(kit):
    (mask,) = kit.call(SegmentLesion(kit.Segmenter()), kit.case(), box=[-0.5, 0, 120, 100])
    assert mask.prompt == {"box": [0.0, 0.0, 119.0, 99.0]}


def test_a_mask_is_no_region(kit):
    case = kit.case(np.zeros((160, 200), np.uint8))
    handle = kit.add_mask(case, kit.ellipse())
    with pytest.raises(ToolArgumentError, match="is a mask, not a region"):
        kit.call(SegmentLesion(kit.Segmenter()), case, region=handle)


@pytest.mark.parametrize("broken", [np.full((100, 120), np.nan), np.full((100, 120), 1.5), np.zeros((10, 10))])
def test_a_broken_map_is_a_failure(kit, broken):
    class Broken(kit.Segmenter):
        def segment(self, image, **prompt):
            return Segmentation(broken.astype(np.float32))

    with pytest.raises(ToolFailure):
        kit.call(SegmentLesion(Broken()), kit.case(), point=[5, 5])
