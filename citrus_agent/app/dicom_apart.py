"""Compressed frames decoded by GDCM in a process of its own. Knows one frame and its pixel attributes, no identifier.

GDCM ends its whole process on some damaged JPEG streams (an uncaught C++ exception), so it never runs inside a consultation.
"""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import as_pixel_options

from citrus_agent.app.picture import Problem

SECONDS = 60
_SERVE = "from citrus_agent.app.dicom_apart import serve; serve()"
_ATTRIBUTES = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)


def decode_apart(dataset: Dataset, frame: bytes) -> tuple[NDArray[Any], str]:
    """One compressed frame as stored (YBR_FULL as RGB), and what its colours are; a crash of the decoder is a ``Problem``."""
    command = [sys.executable, "-c", _SERVE]
    try:
        done = subprocess.run(command, input=_request(dataset, frame), capture_output=True, timeout=SECONDS, check=False)  # noqa: S603 - fixed words
    except subprocess.TimeoutExpired:
        raise Problem("takes too long to decode; export it uncompressed") from None
    if done.returncode != 0:
        raise Problem("cannot be decoded: its compressed image is damaged or of a kind that is not supported; export it uncompressed")
    name, _, data = done.stdout.partition(b"\n")
    return np.load(io.BytesIO(data), allow_pickle=False), name.decode("ascii")


def serve() -> None:
    """The other process: a request on standard input, ``photometric\\n`` and a ``.npy`` on standard output."""
    dataset = dcmread(io.BytesIO(sys.stdin.buffer.read()))
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    array, meta = decoder.as_array(dataset, index=0, raw=False, decoding_plugin="gdcm", **as_pixel_options(dataset))
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    sys.stdout.buffer.write(str(meta["photometric_interpretation"]).encode("ascii") + b"\n" + buffer.getvalue())


def _request(dataset: Dataset, frame: bytes) -> bytes:
    """A DICOM data set of the pixel attributes and the frame, and nothing else."""
    request = Dataset()
    request.file_meta = FileMetaDataset()
    request.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    for name in _ATTRIBUTES:
        if name in dataset:
            setattr(request, name, dataset[name].value)
    request.PixelData = encapsulate([frame])
    request["PixelData"].VR = "OB"
    request["PixelData"].is_undefined_length = True
    buffer = io.BytesIO(b"\0" * 128 + b"DICM")
    buffer.seek(132)
    dcmwrite(buffer, request, enforce_file_format=False)
    return buffer.getvalue()
