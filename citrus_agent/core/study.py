"""What came in: a study and its images. Knows nothing of files, tools or models."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Final = 1

Modality = Literal["US", "MG", "CT", "MR", "CR", "DX", "PT", "NM", "XC", "SM", "OP", "OT", "unknown"]
Laterality = Literal["left", "right", "unknown"]


class Noun(BaseModel):
    """Frozen value object; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Spacing(Noun):
    """Distance between pixel centres in mm, and the DICOM attribute or header it was read from."""

    row_mm: float = Field(gt=0, description="between rows (vertical), mm")
    column_mm: float = Field(gt=0, description="between columns (horizontal), mm")
    source: str = Field(description="attribute, e.g. SequenceOfUltrasoundRegions, PixelSpacing, affine")


class ImageRef(Noun):
    """One 2-D image by content hash; the pixels live in the blob store.

    ``blob`` is a PNG, 8-bit ``L`` or ``RGB``, shape (height, width), ready for display (windowed, MONOCHROME2).
    ``raw_blob`` is a float32 ``.npy`` of the rescaled values where the source had more than 8 bits, else ``None``.
    """

    blob: str = Field(pattern=r"^[0-9a-f]{64}$")
    raw_blob: str | None = None
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    mode: Literal["L", "RGB"]
    frame: int = 0
    frames: int = 1
    spacing: Spacing | None = None
    spacing_reason: str | None = Field(default=None, description="why spacing is None")
    photometric: str = "MONOCHROME2"
    dimensionality: Literal[2] = 2


class Study(Noun):
    """The input of a consultation, with technical facts only: no identifier of a person.

    ``provenance`` holds allow-listed technical tags (manufacturer, model, transfer syntax, salted UID hashes).
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    images: tuple[ImageRef, ...]
    modality: Modality = "unknown"
    body_part: str = "unknown"
    laterality: Laterality = "unknown"
    view: str = "unknown"
    source_format: str = "unknown"
    provenance: dict[str, str] = Field(default_factory=dict)
    simulated: bool = False
