"""Tool: is there a lesion, and where. Knows no weights: detector and classifier come by constructor."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from citrus_agent.core.case import Case
from citrus_agent.core.errors import ContractRefusal, ToolArgumentError, ToolFailure
from citrus_agent.core.evidence import Evidence, Finding, Region
from citrus_agent.core.protocols import Classification, Classifier, Detector
from citrus_agent.tools.base import CitrusTool, ImageArgument, ToolArguments, box_inside
from citrus_agent.tools.contract import BREAST_ULTRASOUND, InputContract

IN_DOMAIN = 0.5
"""An image less like the classifier's domain than this is refused, whatever its header says."""


class DetectArguments(ToolArguments):
    """Arguments of ``detect_lesions``."""

    image: ImageArgument = 0


class DetectLesions(CitrusTool):
    """Impression of the whole image and boxes around lesions, best first."""

    name: str = "detect_lesions"
    description: str = "Find lesions in a breast ultrasound image: an impression of the image, then one region for each lesion, best first."
    args_schema: type[BaseModel] = DetectArguments
    contract: InputContract = BREAST_ULTRASOUND
    checks_domain = True
    detector: Detector
    classifier: Classifier

    def __init__(self, detector: Detector, classifier: Classifier, **fields: Any) -> None:
        super().__init__(detector=detector, classifier=classifier, **fields)

    @property
    def heads(self) -> tuple[Any, ...]:
        """Detector and classifier."""
        return self.detector, self.classifier

    def work(self, case: Case, image: int = 0) -> list[Evidence]:  # type: ignore[override]
        """The impression, then the regions."""
        pixels, reference = case.image(image), case.reference(image)
        impression = self.classifier.classify(pixels)
        if not impression.in_domain >= IN_DOMAIN:  # written so that NaN is refused too
            raise ContractRefusal(
                f"needs an image like breast ultrasound; this one is not (score {impression.in_domain:.2f}, {IN_DOMAIN} needed)",
                "image_domain",
            )
        found = sorted(self.detector.detect(pixels), key=lambda detection: -detection.score)
        regions: list[Evidence] = [
            Region(
                tool=self.name,
                model_digest=self.detector.digest,
                image=reference.blob,
                box=_clipped(detection.box, reference.width, reference.height),
                label=detection.label,
                score=detection.score,
                uncertainty="score is the detector's own, not calibrated",
            )
            for detection in found
        ]
        return [self._finding(impression, reference.blob), *regions]

    def _finding(self, impression: Classification, blob: str) -> Finding:
        probabilities = {name: float(value) for name, value in impression.probabilities.items()}
        if not all(0 <= value <= 1 for value in probabilities.values()) or not probabilities:
            raise ToolFailure("the classifier's probabilities are not between 0 and 1: do not use them")
        value = max(probabilities, key=probabilities.__getitem__)
        return Finding(
            tool=self.name,
            model_digest=self.classifier.digest,
            image=blob,
            name="image_impression",
            value=value,
            score=probabilities[value],
            probabilities=probabilities,
            uncertainty="score is the classifier's probability of the value",
        )


def _clipped(box: tuple[float, float, float, float], width: int, height: int) -> tuple[float, float, float, float]:
    try:
        return box_inside(box, width, height)
    except ToolArgumentError as error:
        raise ToolFailure(f"the detector returned a box that is not in the image: {error}") from error
