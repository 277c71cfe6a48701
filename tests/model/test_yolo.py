"""An Ultralytics checkpoint as a detector (extra ``detection``)."""

import numpy as np
import pytest

from citrus_agent.core.errors import ConfigurationError
from citrus_agent.core.protocols import Detector
from citrus_agent.model.yolo import YoloDetector


def test_weights_must_be_a_local_file(tmp_path):
    with pytest.raises(ConfigurationError, match="local file"):
        YoloDetector(tmp_path / "yolo11n.pt")


@pytest.mark.filterwarnings("ignore")  # Ultralytics warns of its own parts
def test_a_saved_checkpoint_gives_sorted_boxes_in_source_pixels(tmp_path, monkeypatch):
    ultralytics = pytest.importorskip("ultralytics", reason="needs the extra 'detection'")
    monkeypatch.chdir(tmp_path)
    ultralytics.YOLO("yolov8n.yaml", task="detect").save(tmp_path / "tiny.pt")
    detector = YoloDetector(tmp_path / "tiny.pt", min_score=1e-6)
    assert isinstance(detector, Detector)
    assert len(detector.digest) == 64
    image = np.random.default_rng(0).integers(0, 255, (120, 200), dtype=np.uint8)
    found = detector.detect(image)
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    for one in found:
        assert -1 <= one.box[0] <= one.box[2] <= 201
        assert -1 <= one.box[1] <= one.box[3] <= 121
