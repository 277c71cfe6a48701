"""Stored DICOM values to display grey or colour: modality LUT, VOI LUT or window, palette, inversion. Knows no file and no identifier.

The order is the grayscale pipeline of DICOM PS3.4 N.2: modality transformation, VOI transformation, then presentation (MONOCHROME1).
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import UID

from citrus_agent.app.dicom_apart import decode_apart
from citrus_agent.app.picture import Picture, Problem, check_finite, robust_window, scale8

_COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR"}
# In this order; GDCM comes last and apart, see there.
_PLUGINS = ("pydicom", "pylibjpeg", "pyjpegls", "pillow")
_GREYS = {"MONOCHROME1", "MONOCHROME2"}


def read_picture(dataset: Dataset, facts: Dataset, index: int) -> Picture:
    """``facts``: the header as it holds for frame ``index``."""
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip()
    if photometric not in _COLOURS | _GREYS:
        raise Problem("has a photometric interpretation that is not supported; export it as MONOCHROME2 or RGB")
    stored, shown = _decode(dataset, index)
    if photometric == "PALETTE COLOR":
        return Picture(display=_to_8_bits(apply_color_lut(stored, facts), None), photometric=photometric)
    if photometric in _GREYS:
        return _grey(stored, facts, photometric)
    if shown != "RGB" or stored.ndim != 3:
        raise Problem("has colours that could not be turned to RGB; export it as RGB")
    bits = int(facts.get("BitsStored") or facts.BitsAllocated)
    raw = stored.astype(np.float32) if bits > 8 else None
    return Picture(display=_to_8_bits(stored, bits), raw=raw, photometric=photometric)


def _decode(dataset: Dataset, index: int) -> tuple[NDArray[Any], str]:
    """One frame as stored (colours as RGB) and what its colours are."""
    decoder, options = find_decoder(UID(dataset.file_meta.TransferSyntaxUID)), as_pixel_options(dataset)
    if not decoder.available_plugins:  # a native syntax, which needs none
        array, meta = decoder.as_array(dataset, index=index, raw=False, **options)
        return array, str(meta["photometric_interpretation"])
    array, shown = None, ""
    for plugin in [name for name in _PLUGINS if name in decoder.available_plugins]:
        # Plug-ins raise anything, on damage as on what they merely do not support: the next one may do it.
        with suppress(Exception):
            array, meta = decoder.as_array(dataset, index=index, raw=False, decoding_plugin=plugin, **options)
            shown = str(meta["photometric_interpretation"])
            break
    if array is None and "gdcm" in decoder.available_plugins:
        array, shown = decode_apart(dataset, compressed_frame(dataset, index))
    if array is None:
        raise Problem("cannot be decoded: it is damaged or cut off; export it again")
    # JPEG 2000 decoders undo the code stream's own colour transformation.
    return array, "RGB" if shown in {"YBR_ICT", "YBR_RCT"} else shown


def compressed_frame(dataset: Dataset, index: int) -> bytes:
    """The code stream of one frame."""
    offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths) if "ExtendedOffsetTable" in dataset else None
    frames = int(dataset.get("NumberOfFrames") or 1)
    return get_frame(dataset.PixelData, index, number_of_frames=frames, extended_offsets=offsets)


def find_decoder(syntax: UID) -> Any:
    """pydicom's decoder of a transfer syntax, with a plug-in that is installed."""
    # A UID that is not in the standard could hold anything and is not repeated.
    name = syntax.name if syntax.name != str(syntax) else "private"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise Problem(f"uses a transfer syntax that is not supported ({name}); export it uncompressed") from None
    if not decoder.is_available:
        raise Problem(f"uses a transfer syntax without an installed decoder ({name}); export it uncompressed")
    return decoder


def _to_8_bits(values: NDArray[Any], bits: int | None) -> NDArray[np.uint8]:
    """Unsigned colour values, ``bits`` of them used (None: all of the type's), to the upper eight."""
    used = values.dtype.itemsize * 8 if bits is None else bits
    return (values >> (used - 8)).astype(np.uint8) if used > 8 else values.astype(np.uint8)


def _grey(stored: NDArray[Any], facts: Dataset, photometric: str) -> Picture:
    values = np.asarray(apply_modality_lut(stored, facts)).astype(np.float32)
    check_finite(values)
    padding = _padding(stored, facts)
    display = _voi(values, facts, padding)
    if photometric == "MONOCHROME1":
        display = 255 - display
    if padding is not None:
        display = np.where(padding, 0, display).astype(np.uint8)
    deep = int(facts.get("BitsStored") or facts.BitsAllocated) > 8
    return Picture(display=display, raw=values if deep else None, photometric=photometric)


def _voi(values: NDArray[np.float32], facts: Dataset, padding: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """VOI LUT, else the first window, else all stored values at 8 bits and the robust window above."""
    if facts.get("VOILUTSequence"):
        top = 2 ** int(facts.VOILUTSequence[0].LUTDescriptor[2]) - 1
        return scale8(apply_voi(np.rint(values).astype(np.int32), facts, 0).astype(np.float32), 0, top)
    centre, width = _first(facts.get("WindowCenter")), _first(facts.get("WindowWidth"))
    if centre is not None and width is not None and width > 0:
        return window8(values, centre, width, str(facts.get("VOILUTFunction") or "LINEAR").strip())
    bits = int(facts.get("BitsStored") or facts.BitsAllocated)
    if bits <= 8 and not facts.get("PixelRepresentation") and not facts.get("ModalityLUTSequence"):
        slope, intercept = float(facts.get("RescaleSlope") or 1), float(facts.get("RescaleIntercept") or 0)
        return scale8(values, *sorted((intercept, slope * (2**bits - 1) + intercept)))
    return scale8(values, *robust_window(values if padding is None else values[~padding]))


def window8(values: NDArray[np.float32], centre: float, width: float, function: str = "LINEAR") -> NDArray[np.uint8]:
    """Window to 0..255 as DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3 have it: LINEAR (the default), LINEAR_EXACT or SIGMOID."""
    if function == "SIGMOID":
        exponent = np.clip(-4 * (values - centre) / width, -80, 80)
        return np.rint(255 / (1 + np.exp(exponent))).astype(np.uint8)
    if function == "LINEAR":
        centre, width = centre - 0.5, max(width - 1, 0)
    return scale8(values, centre - width / 2, centre + width / 2)


def _first(value: Any) -> float | None:
    """The first of a multi-valued number; None where there is none."""
    if value is None or value == "" or value == []:
        return None
    number = float(value[0] if not isinstance(value, str) and hasattr(value, "__len__") else value)
    return number if math.isfinite(number) else None


def _padding(stored: NDArray[Any], facts: Dataset) -> NDArray[np.bool_] | None:
    """Where pixels are only padding (PixelPaddingValue to PixelPaddingRangeLimit); None where the header has none."""
    value = facts.get("PixelPaddingValue")
    if value is None:
        return None
    limit = facts.get("PixelPaddingRangeLimit", value)
    low, high = sorted((int(value), int(limit)))
    found = (stored >= low) & (stored <= high)
    return found if found.any() and not found.all() else None
