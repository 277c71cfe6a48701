"""The shipped heads, with their weights, on real and on foreign images."""

import shutil

import numpy as np
import pytest
from PIL import Image
from skimage import data

from citrus_agent.core.errors import ConfigurationError, ResourceError
from citrus_agent.core.protocols import Classifier, Detector, Segmenter
from citrus_agent.model import load_model
from citrus_agent.model.busi import read_busi
from citrus_agent.model.evaluation import dice
from citrus_agent.model.registry import WEIGHTS


@pytest.fixture(scope="module")
def nano():
    return load_model("citrus-v-nano")


@pytest.fixture(scope="module")
def held_out(busi):
    return [item for item in read_busi(busi) if item.fold == 0]


def test_the_heads_are_what_the_tools_ask_for(nano):
    assert isinstance(nano.detector, Detector)
    assert isinstance(nano.segmenter, Segmenter)
    assert isinstance(nano.classifier, Classifier)
    assert set(nano.digests) == {"encoder", "grounding", "planner"}
    assert not nano.simulated


def test_an_unknown_model_says_that_nothing_is_downloaded():
    with pytest.raises(ConfigurationError, match="nothing is downloaded"):
        load_model("jdh-algo/Citrus-V-8B-v1.0")


def test_changed_weights_are_refused(tmp_path):
    copy = shutil.copytree(WEIGHTS / "citrus-v-nano", tmp_path / "nano")
    assert load_model(copy).name == "citrus-v-nano"
    with (copy / "grounding.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ResourceError, match="grounding is not what"):
        load_model(copy)


def test_a_true_box_gives_a_good_mask_and_keeps_the_frame(nano, held_out):
    scores = []
    for item in [i for i in held_out if i.label != "normal"][:6]:
        truth = item.mask()
        rows, columns = np.nonzero(truth)
        box = (float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max()))
        found = nano.segmenter.segment(item.image(), box=box)
        assert found.probability.shape == truth.shape
        assert found.probability.dtype == np.float32
        scores.append(dice(found.probability > 0.5, truth))
    assert np.mean(scores) > 0.85


def test_automatic_outlines_find_most_lesions(nano, held_out):
    lesions = [i for i in held_out if i.label != "normal"][::10]
    scores = [dice(nano.segmenter.segment(i.image(), seg=True).probability > 0.5, i.mask()) for i in lesions]
    assert np.mean(scores) > 0.55  # ten images; the model card has the figure over all of them


def test_breast_ultrasound_is_in_domain_and_other_images_are_not(nano, held_out):
    assert all(nano.classifier.classify(item.image()).in_domain > 0.5 for item in held_out[::12])
    foreign = [data.chelsea(), data.camera(), data.page(), np.zeros((64, 64), np.uint8)]
    assert all(nano.classifier.classify(np.ascontiguousarray(image)).in_domain < 0.5 for image in foreign)


def test_a_grey_image_and_its_colour_copy_read_alike(nano, held_out):
    grey = held_out[0].image()
    colour = np.asarray(Image.fromarray(grey).convert("RGB"))
    assert nano.classifier.classify(grey).probabilities == pytest.approx(nano.classifier.classify(colour).probabilities, abs=1e-4)


def test_probabilities_sum_to_one_and_boxes_lie_inside(nano, held_out):
    for item in held_out[::25]:
        image = item.image()
        assert sum(nano.classifier.classify(image).probabilities.values()) == pytest.approx(1, abs=1e-4)
        for found in nano.detector.detect(image):
            assert 0 <= found.box[0] < found.box[2] <= image.shape[1] - 1
            assert 0 <= found.box[1] < found.box[3] <= image.shape[0] - 1
            assert 0 <= found.score <= 1
