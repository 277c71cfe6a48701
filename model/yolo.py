"""Any Ultralytics checkpoint as a detector (extra ``detection``; Ultralytics is AGPL-3.0). Knows no evidence and downloads nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from citrus_agent.core.errors import ConfigurationError, ResourceError
from citrus_agent.core.protocols import Detection, Image, Scope

_QUIET = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "YOLO_VERBOSE": "0"}


class YoloDetector:
    """Boxes of a local ``.pt`` or ``.onnx`` file; ``scope`` says what it was validated on, nothing by default.

    A ``.pt`` file is a pickle: load only files that you trust.
    """

    simulated = False

    def __init__(self, weights: Path | str, *, scope: Scope | None = None, min_score: float = 0.25, device: str = "cpu") -> None:
        self._path, self._min_score, self._device = Path(weights), min_score, device
        if not self._path.is_file():
            raise ConfigurationError("the YOLO weights are not a local file; nothing is downloaded, give a path to a .pt or .onnx file")
        self.scope = scope or Scope()
        self.name = f"yolo/{self._path.stem}"

    @cached_property
    def digest(self) -> str:
        """sha256 of the weights file."""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    @cached_property
    def _network(self) -> Any:
        for key, value in _QUIET.items():
            os.environ.setdefault(key, value)
        try:
            from ultralytics import YOLO, settings
        except ModuleNotFoundError as error:
            raise ResourceError("Ultralytics is not installed: pip install 'citrus-agent[detection]' (AGPL-3.0)") from error
        settings.update({"sync": False})
        return YOLO(self._path, task="detect")

    def detect(self, image: Image) -> Sequence[Detection]:
        """Boxes in source pixels with the checkpoint's own labels, best first."""
        # Ultralytics reads numpy images as BGR
        colour = np.stack([image] * 3, -1) if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
        result = self._network.predict(colour, conf=self._min_score, device=self._device, verbose=False)[0]
        rows = zip(result.boxes.xyxy.tolist(), result.boxes.conf.tolist(), result.boxes.cls.tolist(), strict=True)
        found = [Detection((x1, y1, x2, y2), result.names[int(label)], score) for (x1, y1, x2, y2), score, label in rows]
        return sorted(found, key=lambda d: -d.score)
