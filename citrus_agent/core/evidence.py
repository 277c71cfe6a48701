"""Evidence: one typed result of one tool. Knows nothing of how it was made or where it is kept.

Boxes are ``(x1, y1, x2, y2)`` in pixels of the source image; (0, 0) is the centre of the top-left pixel. Masks are bool (H, W) in
the source image's frame. Units are UCUM codes: ``mm``, ``mm2``, ``1``; pixels are the annotations ``{pixel}`` and ``{pixel2}``.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, field_validator, model_validator

from citrus_agent.core.study import SCHEMA_VERSION, Noun

Box = tuple[float, float, float, float]
Truth = Literal["met", "not_met", "undetermined"]


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no white space; NaN and infinity are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class EvidenceBase(Noun):
    """Fields that every variant carries. ``id`` is ``<kind>-<first 16 hex digits of sha256 of the canonical content>``."""

    id: str = ""
    schema_version: Literal[1] = SCHEMA_VERSION
    tool: str
    model_digest: str | None = Field(default=None, description="sha256 of the weights or data that made it")
    derived_from: tuple[str, ...] = ()
    image: str | None = Field(default=None, description="blob digest of the image it speaks of")
    uncertainty: str | None = Field(default=None, description="what the score or error bar means, in one phrase")
    simulated: bool = False
    validated_scope: bool = Field(default=True, description="False: outside what the head was validated on")

    def content_id(self) -> str:
        """The id that the content asks for."""
        content = self.model_dump(mode="json", exclude={"id"})
        return f"{content['kind']}-{hashlib.sha256(canonical_json(content)).hexdigest()[:16]}"

    @model_validator(mode="after")
    def _id_is_content_hash(self) -> Self:
        expected = self.content_id()
        if self.id not in ("", expected):
            raise ValueError(f"evidence id {self.id!r} is not the hash of its content ({expected})")
        object.__setattr__(self, "id", expected)
        return self


class Finding(EvidenceBase):
    """A named statement with a probability, e.g. name='finding', value='suspicious', score=0.83."""

    kind: Literal["finding"] = "finding"
    name: str
    value: str
    score: float | None = Field(default=None, ge=0, le=1)
    probabilities: dict[str, float] = Field(default_factory=dict)


class Region(EvidenceBase):
    """A box around something, source-image pixels."""

    kind: Literal["region"] = "region"
    box: Box
    label: str
    score: float = Field(ge=0, le=1)

    @field_validator("box")
    @classmethod
    def _ordered(cls, box: Box) -> Box:
        if not all(math.isfinite(v) for v in box) or box[2] <= box[0] or box[3] <= box[1]:
            raise ValueError("a box is x1, y1, x2, y2 with x2 > x1 and y2 > y1, all finite")
        return box


class Mask(EvidenceBase):
    """A segmentation. ``blob``: 1-bit PNG (H, W); ``probability_blob``: 8-bit PNG, probability * 255 rounded."""

    kind: Literal["mask"] = "mask"
    blob: str
    probability_blob: str | None = None
    box: Box | None = Field(description="tight box of the mask; None when empty")
    area_px: int = Field(ge=0)
    predicted_iou: float | None = None
    prompt: dict[str, Any] = Field(default_factory=dict, description="box, point or seg prompt, source pixels")
    label: str = "lesion"


class Measurement(EvidenceBase):
    """A quantity with an error bar ``low <= value <= high``; ``points`` are the end points drawn, source pixels."""

    kind: Literal["measurement"] = "measurement"
    quantity: str = Field(description="longest_diameter, perpendicular_diameter, area, taller_than_wide_ratio")
    value: float
    unit: str = Field(description="UCUM")
    low: float
    high: float
    points: tuple[tuple[float, float], ...] = ()
    formula: str = ""

    @model_validator(mode="after")
    def _bar_holds_value(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError("a measurement needs low <= value <= high")
        return self


class Descriptor(EvidenceBase):
    """A lexicon term decided by a stated formula: ``value`` against the formula's threshold gives ``term``."""

    kind: Literal["descriptor"] = "descriptor"
    lexicon: str = "BI-RADS US 2013"
    feature: str = Field(description="shape, orientation, margin, echo_pattern, posterior_features")
    term: str
    score: float = Field(ge=0, le=1, description="confidence in the term")
    value: float | None = None
    formula: str = ""


class Passage(EvidenceBase):
    """A cited piece of a guideline; ``span`` are character offsets in the section's text."""

    kind: Literal["passage"] = "passage"
    guideline: str
    edition: str
    section: str
    text: str
    text_sha256: str
    span: tuple[int, int]
    citation: str
    score: float


class Criterion(Noun):
    """One input of a rule with its three-valued outcome and how far it is from flipping."""

    name: str
    truth: Truth
    detail: str = ""
    margin: float | None = Field(default=None, description="distance of the input to the value that flips it, input's unit")
    evidence: tuple[str, ...] = ()


class RuleOutcome(EvidenceBase):
    """What an executable guideline says of the facts."""

    kind: Literal["rule_outcome"] = "rule_outcome"
    guideline: str
    version: str
    status: Literal["decided", "undetermined", "not_applicable"]
    category: str | None
    recommendation: str
    criteria: tuple[Criterion, ...] = ()
    missing: tuple[str, ...] = ()
    margins: dict[str, float] = Field(default_factory=dict)
    passages: tuple[str, ...] = Field(default=(), description="passage keys guideline/section that the outcome rests on")


class DocumentField(EvidenceBase):
    """A value read from a document or given by the user (for example the laterality)."""

    kind: Literal["document_field"] = "document_field"
    name: str
    value: str
    box: Box | None = None


class Comparison(EvidenceBase):
    """Two pieces of evidence compared."""

    kind: Literal["comparison"] = "comparison"
    quantity: str
    before: str
    after: str
    change: float
    unit: str
    within_error: bool


class HumanEdit(EvidenceBase):
    """A person's correction of one piece of evidence."""

    kind: Literal["human_edit"] = "human_edit"
    target: str
    author: str
    reason: str
    replacement: str


Evidence = Annotated[
    Finding | Region | Mask | Measurement | Descriptor | Passage | RuleOutcome | DocumentField | Comparison | HumanEdit,
    Field(discriminator="kind"),
]
EVIDENCE_ADAPTER: TypeAdapter[Evidence] = TypeAdapter(Evidence)
