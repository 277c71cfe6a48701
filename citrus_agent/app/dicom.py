"""DICOM to a picture: which frame, is it sound, what may be said of it. Knows nothing of how pixels become grey values.

Everything that a hostile or damaged header can ask for is checked before pixels are read: sizes, frames, deflated length, and the size that
a compressed frame itself declares.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from citrus_agent.app.codestream import declared_size, is_closed
from citrus_agent.app.dicom_pixels import compressed_frame, find_decoder, read_picture
from citrus_agent.app.dicom_spacing import read_spacing
from citrus_agent.app.dicom_tags import describe
from citrus_agent.app.picture import Problem, Source, check_size, choose

MAX_DATASET_BYTES = 1 << 30
_NO_PIXELS = "is a DICOM object without pixels; give one that holds an image"
_PIXEL_TAGS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
# Functional groups of enhanced images, and the plain attributes that stand in them (PS3.3 C.7.6.16).
_GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
    "FrameAnatomySequence": ("FrameLaterality", "AnatomicRegionSequence"),
}


def looks_like_dicom(head: bytes) -> bool:
    """True with the DICM prefix, or where the bytes start a data set with a short element of group 2 or 8."""
    if head[128:132] == b"DICM":
        return True
    little, big = head[:2] in (b"\x02\x00", b"\x08\x00"), head[:2] == b"\x00\x08"
    if not (little or big) or len(head) < 16:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    implicit = little and int.from_bytes(head[4:8], "little") <= 1024 and int.from_bytes(head[2:4], "little") < 0x2000
    return explicit or implicit


def read_dicom(stream: BinaryIO, *, frame: int | None, max_pixels: int) -> Source:
    """One frame: the one asked for, else the middle one."""
    _check_length(stream)
    header = pydicom.dcmread(stream, force=True, stop_before_pixels=True)
    _check_image(header, max_pixels)
    frames = _frames(header)
    index = choose(frame, frames, "frame")
    stream.seek(0)
    dataset = pydicom.dcmread(stream, force=True)
    if not any(tag in dataset for tag in _PIXEL_TAGS):
        raise Problem(_NO_PIXELS)
    dataset.file_meta = _file_meta(dataset)
    _check_codestream(dataset, index, max_pixels)
    facts = frame_facts(dataset, index)
    picture = read_picture(dataset, facts, index)
    picture.frame, picture.frames = index, frames
    picture.spacing, picture.spacing_reason = read_spacing(facts)
    source = Source(picture=picture, format="DICOM")
    describe(facts, source)
    return source


def frame_facts(dataset: Dataset, index: int) -> Dataset:
    """The header as it holds for one frame: functional groups, shared then per frame, laid over the plain attributes. No pixels."""
    facts = dataset[:0x7FE00000]
    facts.file_meta = dataset.file_meta
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    own = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    for group in [*shared[:1], *own[index : index + 1]]:
        for sequence, names in _GROUPS.items():
            for item in (group.get(sequence) or ())[:1]:
                facts.update({item[name].tag: item[name] for name in names if name in item})
    return facts


def _check_length(stream: BinaryIO) -> None:
    """Bounded file, and a deflated data set that unpacks to a bounded length."""
    if stream.seek(0, 2) > MAX_DATASET_BYTES:
        raise Problem(f"is a DICOM file of more than {MAX_DATASET_BYTES >> 30} GiB; give a shorter clip")
    stream.seek(0)
    head = stream.read(132)
    if head[128:] != b"DICM":
        stream.seek(0)
        return
    meta = pydicom.filereader._read_file_meta_info(stream)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        inflater, left = zlib.decompressobj(-zlib.MAX_WBITS), MAX_DATASET_BYTES
        block = stream.read(1 << 16)
        while block and left > 0 and not inflater.eof:
            left -= len(inflater.decompress(block, left))
            block = inflater.unconsumed_tail or stream.read(1 << 16)
        if left <= 0:
            raise Problem("unpacks to more than can be read; export it without deflation")
    stream.seek(0)


def _check_image(header: Dataset, max_pixels: int) -> None:
    if "DirectoryRecordSequence" in header:
        raise Problem("is a DICOM directory index, not an image; give one of the images it lists")
    if "Rows" not in header or "Columns" not in header:
        raise Problem(_NO_PIXELS)
    check_size(int(header.Columns or 0), int(header.Rows or 0), max_pixels)
    if header.get("SamplesPerPixel", 1) not in (1, 3):
        raise Problem("has a number of samples per pixel other than 1 or 3; export it as grey or colour")


def _frames(header: Dataset) -> int:
    frames = int(header.get("NumberOfFrames") or 1)
    if frames < 1:
        raise Problem("declares no frames; export it again")
    return frames


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    """With a transfer syntax: a file without one is in the encoding it could be read in."""
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    return meta


def _check_codestream(dataset: Dataset, index: int, max_pixels: int) -> None:
    """A compressed frame carries a size of its own, which decoders allocate: it must be the header's."""
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    find_decoder(syntax)
    if not syntax.is_compressed or syntax in (RLELossless, DeflatedExplicitVRLittleEndian):
        return
    data = compressed_frame(dataset, index)
    size = declared_size(data)
    if size is not None:
        check_size(*size, max_pixels)
        if size != (dataset.Columns, dataset.Rows):
            raise Problem("has a compressed image whose size differs from the header's; export it again")
    if not is_closed(data):
        raise Problem("has a compressed image that is cut off; export it again")
