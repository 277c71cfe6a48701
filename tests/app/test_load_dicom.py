"""DICOM input: photometrics, compressed syntaxes, calibration, frames, bad files, and that no identifier leaves the loader."""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import struct
import traceback
import warnings
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image as PILImage
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    UltrasoundImageStorage,
    generate_uid,
)

from citrus_agent.app.dicom_apart import _request
from citrus_agent.app.load import load_study
from citrus_agent.core.blobs import MemoryBlobStore
from citrus_agent.core.errors import InputError
from citrus_agent.core.pixels import decode_png

GREY = (np.arange(40 * 60).reshape(40, 60) % 256).astype(np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, np.full_like(GREY, 90)], axis=-1)
PLANTED = ("ZWIEBELMANN", "Hannelore", "PAT4711X", "19440229", "ACC99887", "Elbtalklinik", "20240317", "Drgrantel", "1.2.826.99.4711")


def quietly(write):
    """Test files break the rules on purpose: pydicom's warnings while one is written are not those of reading it."""

    @functools.wraps(write)
    def wrapper(*args, **kwargs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return write(*args, **kwargs)

    return wrapper


@quietly
def make(pixels, *, photometric="MONOCHROME2", syntax=ExplicitVRLittleEndian, bits=None, **tags) -> FileDataset:
    """A data set of ``pixels`` (frames first where ``NumberOfFrames`` is given), full of identifiers."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UltrasoundImageStorage, "1.2.826.99.4711.3"
    meta.TransferSyntaxUID = syntax
    data = FileDataset("none", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = UltrasoundImageStorage, "1.2.826.99.4711.3"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.826.99.4711.1", "1.2.826.99.4711.2"
    data.PatientName, data.PatientID, data.PatientBirthDate = "ZWIEBELMANN^Hannelore", "PAT4711X", "19440229"
    data.AccessionNumber, data.InstitutionName, data.StudyDate = "ACC99887", "Elbtalklinik", "20240317"
    data.ReferringPhysicianName, data.Modality, data.Manufacturer = "Drgrantel", "US", "ACME\tUltra" + "x" * 100
    colour = photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    data.SamplesPerPixel, data.PhotometricInterpretation = (3 if colour else 1), photometric
    data.Rows, data.Columns = pixels.shape[-3:-1] if colour and pixels.ndim > 2 else pixels.shape[-2:]
    data.BitsAllocated = pixels.dtype.itemsize * 8
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    if colour:
        data.PlanarConfiguration = 0
    big = syntax == ExplicitVRBigEndian
    data.PixelData = (pixels.byteswap() if big else pixels).tobytes()
    data["PixelData"].VR = "OB" if data.BitsAllocated == 8 else "OW"
    for name, value in tags.items():
        setattr(data, name, value)
    return data


@quietly
def save(data: FileDataset, folder, name="scan.dcm"):
    path = folder / name
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def load(path, **options):
    blobs = MemoryBlobStore()
    study = load_study([path], blobs, **options)
    return study, study.images[0], decode_png(blobs.get(study.images[0].blob)), blobs


def jpeg(pixels, kind="JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def region(delta_x=0.02, delta_y=0.01, units=3, spatial=1) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = spatial, 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta_x, delta_y
    return item


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_grey_in_every_native_syntax(tmp_path, syntax):
    study, image, pixels, _ = load(save(make(GREY, syntax=syntax), tmp_path))
    assert np.array_equal(pixels, GREY)
    assert (study.modality, study.source_format, image.mode, image.raw_blob) == ("US", "DICOM", "L", None)
    assert study.provenance["TransferSyntaxUID"] == str(syntax)


def test_16_bits_in_big_endian_are_not_swapped(tmp_path):
    values = (GREY.astype(np.uint16) * 16) + 3
    _, image, _, blobs = load(save(make(values, syntax=ExplicitVRBigEndian, bits=12), tmp_path))
    assert np.array_equal(np.load(io.BytesIO(blobs.get(image.raw_blob))), values.astype(np.float32))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_syntaxes_by_pydicoms_encoders(tmp_path, syntax, pixels):
    data = make(pixels, photometric="MONOCHROME2" if pixels.ndim == 2 else "RGB")
    data.compress(syntax, generate_instance_uid=False)
    assert np.array_equal(load(save(data, tmp_path))[2], pixels)


def test_jpeg_2000_lossless(tmp_path):
    data = make(GREY, syntax=JPEG2000Lossless)
    data.PixelData = encapsulate([jpeg(GREY, "JPEG2000", irreversible=False, no_jp2=True)])
    assert np.array_equal(load(save(data, tmp_path))[2], GREY)


def test_jpeg_2000_with_its_own_colour_transformation(tmp_path):
    data = make(COLOUR, photometric="YBR_RCT", syntax=JPEG2000Lossless)
    data.PixelData = encapsulate([jpeg(COLOUR, "JPEG2000", irreversible=False, mct=1, no_jp2=True)])
    assert np.array_equal(load(save(data, tmp_path))[2], COLOUR)


def test_jpeg_baseline_ybr_422_comes_out_as_rgb(tmp_path):
    flat = np.zeros((40, 60, 3), np.uint8)
    flat[:, :30], flat[:, 30:] = (200, 30, 40), (20, 60, 210)
    data = make(flat, photometric="YBR_FULL_422", syntax=JPEGBaseline8Bit)
    data.PixelData = encapsulate([jpeg(flat, quality=95, subsampling="4:2:2")])
    _, image, pixels, _ = load(save(data, tmp_path))
    assert image.photometric == "YBR_FULL_422"
    assert np.abs(pixels[:, 4:24].astype(int) - (200, 30, 40)).max() < 8
    assert np.abs(pixels[:, 36:56].astype(int) - (20, 60, 210)).max() < 8


def test_native_ybr_full_and_422(tmp_path):
    ybr = convert_color_space(COLOUR, "RGB", "YBR_FULL")
    assert np.abs(load(save(make(ybr, photometric="YBR_FULL"), tmp_path))[2].astype(int) - COLOUR).max() <= 3
    flat = np.full((40, 60, 3), (180, 40, 60), np.uint8)
    y, b, r = (int(v) for v in convert_color_space(flat, "RGB", "YBR_FULL")[0, 0])
    data = make(flat, photometric="YBR_FULL_422")
    data.PixelData = bytes([y, y, b, r]) * (40 * 30)
    assert np.abs(load(save(data, tmp_path))[2].astype(int) - (180, 40, 60)).max() <= 3


@pytest.mark.parametrize(
    "name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_gdcm_KY.dcm", "SC_ybr_full_422_uncompressed.dcm"]
)
def test_pydicoms_colour_samples_look_alike(name):
    _, _, pixels, _ = load(get_testdata_file(name, download=False))
    want = [(255, 0, 0), (255, 128, 128), (0, 255, 0), (128, 255, 128), (0, 0, 255), (128, 128, 255), (0, 0, 0), (64, 64, 64)]
    got = [pixels[5 + 10 * band, 50] for band in range(8)]
    assert np.abs(np.array(got, int) - want).max() <= 6


def test_planar_configuration_1(tmp_path):
    data = make(COLOUR, photometric="RGB", PlanarConfiguration=1)
    data.PixelData = np.ascontiguousarray(COLOUR.transpose(2, 0, 1)).tobytes()
    assert np.array_equal(load(save(data, tmp_path))[2], COLOUR)


def test_grey_stored_as_rgb_becomes_one_channel(tmp_path):
    _, image, pixels, _ = load(save(make(np.stack([GREY] * 3, -1), photometric="RGB"), tmp_path))
    assert (image.mode, image.photometric) == ("L", "RGB")
    assert np.array_equal(pixels, GREY)


def test_palette_colour(tmp_path):
    data = make(GREY, photometric="PALETTE COLOR")
    for number, channel in enumerate(("Red", "Green", "Blue")):
        table = np.roll(np.arange(256, dtype=np.uint16), number * 40) * 257
        setattr(data, f"{channel}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(data, f"{channel}PaletteColorLookupTableData", table.tobytes())
    _, image, pixels, _ = load(save(data, tmp_path))
    assert image.photometric == "PALETTE COLOR"
    assert np.array_equal(pixels, np.stack([np.roll(np.arange(256), n * 40)[GREY] for n in range(3)], -1))


def test_monochrome_1_is_inverted(tmp_path):
    _, image, pixels, _ = load(save(make(GREY, photometric="MONOCHROME1"), tmp_path))
    assert image.photometric == "MONOCHROME1"
    assert np.array_equal(pixels, 255 - GREY)


def test_rescale_then_the_first_of_several_windows(tmp_path):
    stored = np.array([[0, 1000, 1024, 1100, 4000]], np.int16)
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": [40, 500], "WindowWidth": [401, 2000]}
    _, image, pixels, blobs = load(save(make(stored, bits=13, **tags), tmp_path))
    values = stored.astype(float) - 1024
    want = np.clip(((values - 39.5) / 400 + 0.5) * 255, 0, 255)  # PS3.3 C.11.2.1.2.1, LINEAR
    assert np.abs(pixels - want).max() <= 0.5
    assert np.array_equal(np.load(io.BytesIO(blobs.get(image.raw_blob))), values.astype(np.float32))


@pytest.mark.parametrize(("function", "want"), [("LINEAR_EXACT", [0, 64, 128, 191, 255]), ("SIGMOID", [30, 69, 128, 186, 225])])
def test_other_voi_functions(tmp_path, function, want):
    stored = np.array([[0, 50, 100, 150, 200]], np.uint16)
    tags = {"WindowCenter": 100, "WindowWidth": 200, "VOILUTFunction": function}
    assert np.abs(load(save(make(stored, bits=12, **tags), tmp_path))[2].astype(int) - want).max() <= 1


def lut(first, values, bits) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    item.ModalityLUTType = "US"
    return item


def test_modality_lut_and_voi_lut(tmp_path):
    stored = np.array([[0, 1, 2, 3]], np.uint16)
    data = make(stored, bits=12)
    data.ModalityLUTSequence, data.VOILUTSequence = [lut(0, [10, 20, 30, 40], 16)], [lut(10, [*range(0, 31 * 8, 8)], 8)]
    _, image, pixels, blobs = load(save(data, tmp_path))
    assert np.load(io.BytesIO(blobs.get(image.raw_blob))).tolist() == [[10, 20, 30, 40]]
    assert pixels.tolist() == [[0, 80, 160, 240]]


def test_padding_is_black_and_no_part_of_the_window(tmp_path):
    stored = np.full((20, 20), -2000, np.int16)
    stored[5:15, 5:15] = np.arange(100).reshape(10, 10)
    pixels = load(save(make(stored, bits=16, photometric="MONOCHROME1", PixelPaddingValue=-2000), tmp_path))[2]
    assert pixels[0, 0] == 0
    assert pixels[5, 5] == 255
    assert 100 < pixels[9, 14] < 155


@pytest.mark.parametrize(("asked", "got"), [(None, 2), (0, 0), (4, 4)])
@pytest.mark.parametrize("compressed", [False, True])
def test_frames(tmp_path, asked, got, compressed):
    data = make(np.stack([GREY + number for number in range(5)]), NumberOfFrames=5)
    if compressed:
        data.compress(RLELossless, generate_instance_uid=False)
    _, image, pixels, _ = load(save(data, tmp_path), frame=asked)
    assert (image.frame, image.frames) == (got, 5)
    assert np.array_equal(pixels, GREY + np.uint8(got))


def test_a_frame_that_is_not_there(tmp_path):
    path = save(make(np.stack([GREY] * 3), NumberOfFrames=3), tmp_path)
    with pytest.raises(InputError, match="no frame 3; it holds frames 0 to 2"):
        load(path, frame=3)


def test_functional_groups_of_an_enhanced_image(tmp_path):
    data = make(np.stack([GREY.astype(np.uint16)] * 2), bits=12, NumberOfFrames=2)
    shared, own = Dataset(), [Dataset(), Dataset()]
    measures, window = Dataset(), Dataset()
    measures.PixelSpacing, window.WindowCenter, window.WindowWidth = [0.3, 0.4], 10.5, 2
    shared.PixelMeasuresSequence, own[1].FrameVOILUTSequence = [measures], [window]
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], own
    path = save(data, tmp_path)
    _, image, pixels, _ = load(path, frame=1)
    assert (image.spacing.row_mm, image.spacing.column_mm) == (0.3, 0.4)
    assert pixels[0, 9] == 0
    assert pixels[0, 12] == 255
    assert 0 < load(path, frame=0)[2][0, 12] < 40


def spacing(tmp_path, **tags):
    image = load(save(make(GREY, **tags), tmp_path))[1]
    return image.spacing, image.spacing_reason


def test_ultrasound_regions_give_millimetres(tmp_path):
    found, reason = spacing(tmp_path, SequenceOfUltrasoundRegions=[region(), region(units=4, spatial=3), region()])
    assert (found.row_mm, found.column_mm, found.source, reason) == (0.1, 0.2, "SequenceOfUltrasoundRegions", None)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({}, "no calibration"),
        ({"SequenceOfUltrasoundRegions": [region(), region(delta_x=0.03)]}, "different calibrations"),
        ({"SequenceOfUltrasoundRegions": [region(units=4, spatial=2)]}, "no ultrasound region"),
        ({"SequenceOfUltrasoundRegions": [region(delta_x=0)]}, "no length"),
        ({"SequenceOfUltrasoundRegions": [region()], "PixelSpacing": [0.3, 0.3]}, "disagree"),
        ({"PixelSpacing": [0, 0.3]}, "not two lengths"),
    ],
)
def test_no_spacing_says_why(tmp_path, tags, reason):
    found, said = spacing(tmp_path, **tags)
    assert found is None
    assert reason in said


@pytest.mark.parametrize(
    ("tags", "source"),
    [
        ({"PixelSpacing": [0.3, 0.4]}, "PixelSpacing"),
        ({"Modality": "MG", "ImagerPixelSpacing": [0.3, 0.4]}, "ImagerPixelSpacing (detector plane)"),
        ({"Modality": "DX", "PixelSpacing": [0.3, 0.4]}, "PixelSpacing (detector plane)"),
        ({"Modality": "DX", "PixelSpacing": [0.3, 0.4], "PixelSpacingCalibrationType": "FIDUCIAL"}, "PixelSpacing"),
    ],
)
def test_spacing_attributes(tmp_path, tags, source):
    found, _ = spacing(tmp_path, **tags)
    assert (found.row_mm, found.column_mm, found.source) == (0.3, 0.4, source)


def test_facts_and_what_is_not_a_term_of_the_standard(tmp_path):
    study, *_ = load(save(make(GREY, BodyPartExamined="BREAST", ImageLaterality="R", ViewPosition="ZWIEBEL"), tmp_path))
    assert (study.body_part, study.laterality, study.view) == ("breast", "right", "unknown")
    assert study.provenance["Manufacturer"].startswith("ACME Ultra")
    assert len(study.provenance["Manufacturer"]) <= 64
    assert "ViewPosition" not in study.provenance
    sides = make(GREY, Modality="ES", ImageLaterality="R", Laterality="L", BodyPartExamined="ZWIEBELMANN")
    study, *_ = load(save(sides, tmp_path))
    assert (study.modality, study.body_part, study.laterality) == ("OT", "unknown", "unknown")


def test_mammography_is_of_the_breast(tmp_path):
    assert load(save(make(GREY, Modality="MG"), tmp_path))[0].body_part == "breast"


def test_content_decides_without_preamble_and_with_any_extension(tmp_path):
    data = make(GREY)
    bare = tmp_path / "picture.png"
    bare.write_bytes(save(data, tmp_path).read_bytes()[132:])
    assert np.array_equal(load(bare)[2], GREY)
    headless = Dataset(data)
    headless.file_meta = FileMetaDataset()
    for implicit in (True, False):
        quietly(pydicom.dcmwrite)(bare, headless, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
        assert bare.read_bytes()[128:132] != b"DICM"
        assert np.array_equal(load(bare)[2], GREY)


def test_a_tiff_header_in_the_preamble_does_not_mislead(tmp_path):
    data = make(GREY)
    data.preamble = b"II*\0" + b"\0" * 124
    assert load(save(data, tmp_path))[0].source_format == "DICOM"


def without_pixels() -> FileDataset:
    data = make(GREY)
    del data.PixelData
    return data


def two_patients(folder):
    return [save(make(GREY), folder, "a"), save(make(GREY, PatientID="OTHER"), folder, "b")]


BAD = {
    "no pixels": (without_pixels, "without pixels"),
    "no rows": (lambda: make(GREY, Rows=0), "has no pixels"),
    "huge": (lambda: make(GREY, Rows=30000, Columns=30000), "30000 x 30000 pixels, more than the limit"),
    "too few bytes": (lambda: make(GREY, Rows=400), "damaged or cut off"),
    "too many frames": (lambda: make(GREY, NumberOfFrames=2_000_000_000), "damaged or cut off"),
    "photometric": (lambda: make(COLOUR, photometric="CIELAB"), "photometric interpretation"),
    "samples": (lambda: make(GREY, SamplesPerPixel=4), "samples per pixel"),
    "unknown syntax": (lambda: make(GREY, syntax="1.2.826.99.4711.9"), "transfer syntax"),
    "bad jpeg": (lambda: jpeg_data(b"\xff\xd8\xff\xe0 nonsense \xff\xd9"), "compressed image is damaged"),
    "cut jpeg": (lambda: jpeg_data(jpeg(GREY)[:-40]), "cut off"),
    "jpeg of another size": (lambda: jpeg_data(jpeg(GREY[:20])), "differs from the header"),
    "jpeg bomb": (lambda: jpeg_data(resized(jpeg(GREY), 30000)), "more than the limit"),
    "jpeg 2000 bomb": (lambda: j2k_bomb(), "more than the limit"),
}


def jpeg_data(frame: bytes, syntax=JPEGBaseline8Bit) -> FileDataset:
    data = make(GREY, syntax=syntax)
    data.PixelData = encapsulate([frame])
    return data


def resized(stream: bytes, size: int) -> bytes:
    at = stream.index(b"\xff\xc0") + 5
    return stream[:at] + struct.pack(">HH", size, size) + stream[at + 4 :]


def j2k_bomb() -> FileDataset:
    stream = jpeg(GREY, "JPEG2000", no_jp2=True)
    return jpeg_data(stream[:8] + struct.pack(">II", 30000, 30000) + stream[16:], JPEG2000Lossless)


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_sentence(tmp_path, case, caplog):
    build, message = BAD[case]
    path = save(build(), tmp_path, "ZWIEBELMANN_Hannelore_19440229.dcm")
    caplog.clear()
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    text = "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
    assert not [word for word in PLANTED if word.lower() in str(caught.value).lower()]
    assert caught.value.__cause__ is None
    assert "During handling" not in text
    assert not caplog.records


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.99])
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
def test_truncated(tmp_path, share, syntax):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    data = make(noise)
    if syntax:
        data.compress(syntax, generate_instance_uid=False)
    path = save(data, tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(InputError):
        load(path)


def test_a_deflated_bomb_is_refused_while_it_unpacks(tmp_path, monkeypatch):
    monkeypatch.setattr("citrus_agent.app.dicom.MAX_DATASET_BYTES", 1 << 20)
    path = save(make(GREY, syntax=DeflatedExplicitVRLittleEndian), tmp_path)
    assert np.array_equal(load(path)[2], GREY)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = squeeze.compress(b"\0" * (8 << 20)) + squeeze.flush()
    raw = path.read_bytes()
    meta_end = 132 + 12 + struct.unpack("<I", raw[140:144])[0]
    path.write_bytes(raw[:meta_end] + bomb)
    with pytest.raises(InputError, match="unpacks to more"):
        load(path)


def test_float_pixels_with_nan(tmp_path):
    data = make(GREY)
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    values = np.linspace(0, 5, GREY.size, dtype=np.float32).reshape(GREY.shape)
    data.BitsAllocated, data.FloatPixelData = 32, values.tobytes()
    _, image, _, blobs = load(save(data, tmp_path))
    assert np.array_equal(np.load(io.BytesIO(blobs.get(image.raw_blob))), values)
    values[3, 3] = np.nan
    data.FloatPixelData = values.tobytes()
    with pytest.raises(InputError, match="not numbers"):
        load(save(data, tmp_path))


def test_pydicoms_own_objects_without_images():
    for name in ("DICOMDIR", "test-SR.dcm", "rtplan.dcm", "rtstruct.dcm", "MR_truncated.dcm"):
        with pytest.raises(InputError):
            load(get_testdata_file(name, download=False))


def test_no_identifier_in_study_blobs_log_or_warning(tmp_path, caplog, capfd, recwarn):
    data = make(GREY, ManufacturerModelName="Scan of Hannelore", PatientComments="ZWIEBELMANN", BodyPartExamined="BREAST")
    block = data.private_block(0x0011, "ACC99887", create=True)
    block.add_new(1, "LO", "Elbtalklinik")
    path = save(data, tmp_path, "ZWIEBELMANN_Hannelore_PAT4711X.dcm")
    with caplog.at_level(logging.DEBUG):
        study, _, _, blobs = load(path)
    text = study.model_dump_json() + caplog.text + "".join(capfd.readouterr()) + "".join(str(w.message) for w in recwarn)
    text += "".join(bytes(data).decode("latin-1") for data in blobs._data.values())
    assert not [word for word in PLANTED if word.lower() in text.lower()]
    assert "ManufacturerModelName" not in study.provenance
    assert study.provenance["BodyPartExamined"] == "BREAST"


def test_hashes_are_salted_and_the_salt_is_not_kept(tmp_path):
    path = save(make(GREY), tmp_path)
    one, two = (load(path)[0].provenance for _ in range(2))
    assert one["SeriesInstanceUIDHash"] != two["SeriesInstanceUIDHash"]
    assert one["SeriesInstanceUIDHash"] != hashlib.sha256(b"1.2.826.99.4711.2").hexdigest()
    kept = load(path, salt=b"key")[0].provenance
    assert kept["SeriesInstanceUIDHash"] == hashlib.sha256(b"key1.2.826.99.4711.2").hexdigest()
    assert kept["FileNameHash"] == hashlib.sha256(b"keyscan.dcm").hexdigest()


def test_pydicoms_warnings_do_not_pass(tmp_path):
    path = save(make(GREY, StudyTime="ZWIEBELMANN", PatientAge="Hannelore is old"), tmp_path)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        load(path)
    assert not seen


def test_two_patients_are_not_one_study(tmp_path):
    with pytest.raises(InputError, match="file 2 is of another patient than file 1") as caught:
        load_study(two_patients(tmp_path), MemoryBlobStore())
    assert "PAT4711X" not in str(caught.value)


def test_arguments_fill_in_and_never_contradict(tmp_path):
    path = save(make(GREY, ImageLaterality="L"), tmp_path)
    study, *_ = load(path, modality="us", body_part="Breast", laterality="left")
    assert (study.modality, study.body_part, study.laterality) == ("US", "breast", "left")
    for wrong, message in ({"modality": "MG"}, "modality"), ({"laterality": "right"}, "laterality"):
        with pytest.raises(InputError, match=f"the {message} given"):
            load(path, **wrong)


def test_files_of_one_study(tmp_path):
    left, right = (save(make(GREY, ImageLaterality=side), tmp_path, side) for side in "LR")
    with pytest.raises(InputError, match="different values of laterality"):
        load_study([left, right], MemoryBlobStore())
    plain = save(make(GREY, SOPInstanceUID=generate_uid()), tmp_path, "plain")
    study = load_study([left, plain], MemoryBlobStore())
    assert (len(study.images), study.modality, study.laterality) == (2, "US", "unknown")
    assert "file2.SOPInstanceUIDHash" in study.provenance
    assert "file2.SeriesInstanceUIDHash" not in study.provenance


def test_jpeg_lossless_by_gdcm_in_its_own_process(tmp_path):
    gdcm = pytest.importorskip("gdcm")
    plain, packed = save(make(GREY), tmp_path, "plain"), tmp_path / "packed"
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(packed))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    study, _, pixels, _ = load(packed)
    assert study.provenance["TransferSyntaxUID"] == "1.2.840.10008.1.2.4.70"
    assert np.array_equal(pixels, GREY)


def test_a_decoder_that_dies_or_hangs_does_not_take_the_program_along(tmp_path, monkeypatch):
    path = save(jpeg_data(jpeg(GREY)), tmp_path)
    monkeypatch.setattr("citrus_agent.app.dicom_pixels._PLUGINS", ())
    assert np.abs(load(path)[2].astype(int) - GREY).mean() < 20
    monkeypatch.setattr("citrus_agent.app.dicom_apart._SERVE", "import os; os.abort()")
    with pytest.raises(InputError, match="compressed image is damaged"):
        load(path)
    monkeypatch.setattr("citrus_agent.app.dicom_apart._SERVE", "import time; time.sleep(30)")
    monkeypatch.setattr("citrus_agent.app.dicom_apart.SECONDS", 0.2)
    with pytest.raises(InputError, match="takes too long"):
        load(path)


def test_what_goes_to_the_other_process_names_nobody():
    request = _request(make(GREY), jpeg(GREY))
    assert not [word for word in PLANTED if word.encode() in request]
