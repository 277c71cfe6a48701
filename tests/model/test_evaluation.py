"""Metrics against values worked out by hand."""

import numpy as np
import pytest

from citrus_agent.model.evaluation import ImageResult, average_precision, dice, evaluate, iou, truth_boxes


def square(x, y, side, shape=(40, 40)):
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def result(name, label, truth, mask, boxes, p=0.5):
    return ImageResult(name, label, truth, mask, boxes, p)


def test_dice_and_iou_by_hand():
    assert dice(square(0, 0, 10), square(5, 0, 10)) == pytest.approx(0.5)
    assert dice(square(0, 0, 0), square(0, 0, 0)) == 1
    assert dice(square(0, 0, 5), square(0, 0, 0)) == 0
    assert dice(square(0, 0, 0), square(0, 0, 5)) == 0
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (5, 5, 6, 6)) == 0


def test_truth_boxes_split_parts_and_leave_out_specks():
    assert truth_boxes(square(2, 3, 6) | square(20, 20, 8) | square(35, 35, 2)) == [(2, 3, 7, 8), (20, 20, 27, 27)]


def test_average_precision_counts_missed_and_doubled_boxes():
    truth = square(0, 0, 11)
    hit, wrong = ((0.0, 0.0, 10.0, 10.0), 0.9), ((20.0, 20.0, 30.0, 30.0), 0.95)
    assert average_precision([result("a", "benign", truth, truth, [hit])]) == 1
    assert average_precision([result("a", "benign", truth, truth, [hit]), result("b", "benign", truth, truth, [])]) == 0.5
    assert average_precision([result("a", "benign", truth, truth, [hit, wrong])]) == pytest.approx(0.5)
    assert average_precision([result("a", "benign", truth, truth, [hit, ((0.0, 0.0, 10.0, 10.0), 0.8)])]) == 1


def test_evaluate_gives_intervals_and_keeps_normals_apart():
    empty, lesion = square(0, 0, 0), square(5, 5, 10)
    box = [((5.0, 5.0, 14.0, 14.0), 0.9)]
    cases = [result(f"b{i}", "benign", lesion, lesion, box, 0.1 + 0.01 * i) for i in range(6)]
    cases += [result(f"m{i}", "malignant", lesion, lesion, box, 0.8) for i in range(6)]
    cases += [result("n0", "normal", empty, empty, []), result("n1", "normal", empty, lesion, box)]
    table = evaluate(cases)
    assert table["dice_lesion"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 12}
    assert table["dice_normal"]["value"] == 0.5
    assert table["false_alarms"]["value"] == 0.5
    assert table["auc_suspicious_vs_benign"]["value"] == 1.0
    assert table["ap50"]["n"] == 14
    assert 0 <= table["ap50"]["low"] <= table["ap50"]["value"] <= table["ap50"]["high"] <= 1


def test_a_set_without_malignant_images_has_no_auc():
    lesion = square(5, 5, 10)
    table = evaluate([result(f"b{i}", "benign", lesion, lesion, []) for i in range(3)])
    assert table["auc_suspicious_vs_benign"]["value"] is None
