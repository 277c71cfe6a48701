"""Tool: a lesion in the terms of the BI-RADS ultrasound lexicon. Knows the formulas' modules only; no head is asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from skimage.transform import downscale_local_mean

from citrus_agent.core.case import Case
from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import Descriptor, Evidence, Mask
from citrus_agent.core.protocols import Scope
from citrus_agent.tools import echo_terms, shape_terms
from citrus_agent.tools.base import CitrusTool, ToolArguments, grey, require
from citrus_agent.tools.contract import BREAST_ULTRASOUND, InputContract
from citrus_agent.tools.geometry import Pitch, largest_component
from citrus_agent.tools.lexicon import LEXICON, Verdict
from citrus_agent.tools.measure_lesion import pitch_of

LEAST_PIXELS = 40
GRID = 512
"""A lesion and its surroundings wider than twice this, in px, are described on a coarser grid: all formulas are relative to the lesion."""


class DescribeArguments(ToolArguments):
    """Arguments of ``describe_lesion``."""

    mask: str = Field(description="handle of a mask, for example E3")


class DescribeLesion(CitrusTool):
    """Shape, orientation, margin, echo pattern and posterior features; the last is left out where the image ends below the lesion."""

    name: str = "describe_lesion"
    description: str = "Describe a breast ultrasound mask in BI-RADS terms: shape, orientation, margin, echo pattern, posterior features."
    args_schema: type[BaseModel] = DescribeArguments
    contract: InputContract = BREAST_ULTRASOUND

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The formulas' thresholds were set on breast ultrasound."""
        return (Scope(BREAST_ULTRASOUND.modalities, BREAST_ULTRASOUND.body_parts),)

    def work(self, case: Case, mask: str) -> list[Evidence]:  # type: ignore[override]
        """One descriptor a feature, of the mask's largest connected part."""
        item = require(case.evidence, mask, Mask)
        index = case.image_index(item.image)
        pixels, image, pitch = largest_component(case.mask(item)), grey(case.image(index)), pitch_of(case.reference(index))
        if pixels.sum() < LEAST_PIXELS:
            raise ToolArgumentError(
                f"{mask} is too small to describe ({int(pixels.sum())} px, at least {LEAST_PIXELS} needed): name another mask"
            )
        return [
            Descriptor(
                tool=self.name,
                derived_from=(item.id,),
                image=item.image,
                lexicon=LEXICON,
                feature=verdict.feature,
                term=verdict.term,
                score=verdict.score,
                value=verdict.value,
                formula=verdict.formula,
                uncertainty="score is a logistic of the distance to the threshold, not a calibrated probability",
            )
            for verdict in verdicts_of(pixels, image, pitch)
        ]


def verdicts_of(mask: NDArray[np.bool_], image: NDArray[np.float64], pitch: Pitch) -> list[Verdict]:
    """Verdicts on a bool (H, W) mask and a float (H, W) grey image; a feature that the image does not show is left out."""
    near = neighbourhood(mask)
    mask, image = coarser(mask[near], image[near])
    verdicts = (
        shape_terms.shape(mask),
        shape_terms.orientation(mask, pitch),
        shape_terms.margin(mask, image),
        echo_terms.echo_pattern(mask, image),
        echo_terms.posterior_features(mask, image),
    )
    return [verdict for verdict in verdicts if verdict is not None]


def neighbourhood(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of the mask and its own size around it: all that the formulas look at, so that a large image costs no more."""
    ends = [np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    reach = max(int(last - first) for first, last in ends) + 20
    rows, columns = (slice(max(0, int(first) - reach), int(last) + reach + 1) for first, last in ends)
    return rows, columns


def coarser(mask: NDArray[np.bool_], image: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Mask and float (H, W) image as means of square blocks, so that neither side is longer than about twice ``GRID``."""
    step = max(1, max(mask.shape) // GRID)
    if step == 1:
        return mask, image
    height, width = (side - side % step for side in mask.shape)
    parts = (downscale_local_mean(array[:height, :width].astype(np.float64), (step, step)) for array in (mask, image))
    share, grey_values = parts
    return np.asarray(share >= 0.5), np.asarray(grey_values)
