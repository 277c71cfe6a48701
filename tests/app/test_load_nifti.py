"""NIfTI input: slices, orientation, spacing, and bad files."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from citrus_agent.app.load import load_study
from citrus_agent.core.blobs import MemoryBlobStore
from citrus_agent.core.errors import InputError
from citrus_agent.core.pixels import decode_png

VOLUME = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
RAS = np.diag([0.5, 0.75, 2.0, 1.0])


def save(volume, affine, path, units="mm", kind=nib.Nifti1Image):
    image = kind(volume, affine)
    image.header.set_xyzt_units(units)
    path.write_bytes(gzip.compress(image.to_bytes()) if path.suffix == ".gz" else image.to_bytes())
    return path


def load(path, **options):
    blobs = MemoryBlobStore()
    study = load_study([path], blobs, **options)
    image = study.images[0]
    raw = np.load(io.BytesIO(blobs.get(image.raw_blob))) if image.raw_blob else None
    return study, image, decode_png(blobs.get(image.blob)), raw


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.png"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_the_middle_slice_as_radiologists_see_it(tmp_path, name, kind):
    study, image, _, raw = load(save(VOLUME, RAS, tmp_path / name, kind=kind))
    assert (image.frame, image.frames, image.width, image.height) == (3, 7, 5, 6)
    assert np.array_equal(raw, VOLUME[::-1, ::-1, 3].T)  # right at the left, anterior at the top
    assert (image.spacing.row_mm, image.spacing.column_mm, image.spacing.source) == (0.75, 0.5, "affine")
    assert (study.source_format, study.provenance["StorageOrientation"]) == ("NIfTI", "RAS")
    assert study.modality == "unknown"


@pytest.mark.parametrize("codes", ["LPS", "RAS", "LAS", "SRA", "ASL", "PIR", "IPL"])
def test_storage_order_does_not_matter(tmp_path, codes):
    ornt = nib.orientations.axcodes2ornt(codes)
    turned = nib.Nifti1Image(VOLUME, RAS).as_reoriented(nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), ornt))
    path = save(np.asarray(turned.dataobj), turned.affine, tmp_path / "x.nii.gz")
    study, image, _, raw = load(path, slice_index=5)
    assert study.provenance["StorageOrientation"] == codes
    assert np.array_equal(raw, VOLUME[::-1, ::-1, 5].T)
    assert (image.spacing.row_mm, image.spacing.column_mm) == (0.75, 0.5)


def test_units(tmp_path):
    assert load(save(VOLUME, RAS / 1000, tmp_path / "m.nii", units="meter"))[1].spacing.column_mm == pytest.approx(0.5)
    assumed = load(save(VOLUME, RAS, tmp_path / "u.nii", units="unknown"))[1].spacing
    assert assumed.column_mm == 0.5
    assert "not stated" in assumed.source


def test_no_orientation_no_spacing(tmp_path):
    image = nib.Nifti1Image(VOLUME, None)
    (tmp_path / "x.nii").write_bytes(image.to_bytes())
    study, found, _, raw = load(tmp_path / "x.nii")
    assert found.spacing is None
    assert "neither qform nor sform" in found.spacing_reason
    assert study.provenance["StorageOrientation"] == "unknown"
    assert np.array_equal(raw, VOLUME[:, :, 3].T)


def test_a_sheared_plane_has_no_spacing(tmp_path):
    sheared = RAS.copy()
    sheared[0, 1] = 0.4
    assert "sheared" in load(save(VOLUME, sheared, tmp_path / "x.nii"))[1].spacing_reason


def test_two_and_four_axes(tmp_path):
    _, image, _, raw = load(save(VOLUME[:, :, 2], RAS, tmp_path / "2.nii"))
    assert (image.frames, raw.shape) == (1, (6, 5))
    sagittal = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    _, image, _, raw = load(save(VOLUME[:, :, 2], sagittal, tmp_path / "s.nii"))
    assert np.array_equal(raw, VOLUME[::-1, ::-1, 2].T)
    four = np.stack([VOLUME, VOLUME + 1000, VOLUME + 2000], axis=-1)
    study, _, _, raw = load(save(four, RAS, tmp_path / "4.nii.gz"), slice_index=0, frame=2)
    assert np.array_equal(raw, four[::-1, ::-1, 0, 2].T)
    assert study.provenance["FourthAxisIndex"] == "2"


def test_scaled_values_and_8_bits(tmp_path):
    image = nib.Nifti1Image(VOLUME, RAS)
    image.header.set_slope_inter(2.0, -10.0)
    data = bytearray(image.to_bytes())
    data[112:120] = struct.pack("<ff", 2.0, -10.0)
    (tmp_path / "x.nii").write_bytes(data)
    assert np.array_equal(load(tmp_path / "x.nii")[3], VOLUME[::-1, ::-1, 3].T * 2.0 - 10)
    bytes_ = (VOLUME % 200).astype(np.uint8)
    _, found, shown, raw = load(save(bytes_, RAS, tmp_path / "8.nii"))
    assert found.raw_blob is raw is None
    assert np.array_equal(shown, bytes_[::-1, ::-1, 3].T)


def test_colour(tmp_path):
    colour = np.zeros((5, 6, 1), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["R"][..., 0], colour["B"] = VOLUME[:, :, 0], 7
    _, image, shown, _ = load(save(colour, RAS, tmp_path / "x.nii"))
    assert image.mode == "RGB"
    assert np.array_equal(shown[..., 0], VOLUME[::-1, ::-1, 0].T)
    assert (shown[..., 2] == 7).all()


def test_slices_that_are_not_there(tmp_path):
    path = save(VOLUME, RAS, tmp_path / "x.nii")
    for wrong, message in ({"slice_index": 7}, "no slice 7"), ({"frame": 1}, "no frame 1"):
        with pytest.raises(InputError, match=message):
            load(path, **wrong)


def patched(offset, data, gz=False):
    content = bytearray(nib.Nifti1Image(VOLUME, RAS).to_bytes())
    content[offset : offset + len(data)] = data
    return gzip.compress(content) if gz else bytes(content)


def with_nan(value, everywhere=False):
    values = VOLUME.astype(np.float32)
    values[(slice(None),) * 3 if everywhere else (2, 2, 3)] = value
    return nib.Nifti1Image(values, RAS).to_bytes()


HUGE = struct.pack("<8h", 3, 30000, 30000, 1, 1, 1, 1, 1)
BAD = {
    "30,000 x 30,000": (patched(40, HUGE), "more than the limit"),
    "30,000 x 30,000 in gzip": (patched(40, HUGE, gz=True), "more than the limit"),
    "huge volume": (patched(40, struct.pack("<8h", 4, 2000, 2000, 2000, 100, 1, 1, 1), gz=True), "more than 2 GiB"),
    "zero size": (patched(40, struct.pack("<8h", 3, 5, 0, 7, 1, 1, 1, 1)), "no pixels"),
    "six axes": (patched(40, struct.pack("<8h", 6, 5, 6, 1, 1, 1, 7, 1)), "6 axes"),
    "data offset": (patched(108, struct.pack("<f", 1e9)), "offset"),
    "half of a pair": (patched(344, b"ni1\0"), "pair"),
    "NaN": (with_nan(np.nan), "not numbers"),
    "infinity": (with_nan(np.inf), "not numbers"),
    "all NaN": (with_nan(np.nan, True), "not numbers"),
    "cut": (nib.Nifti1Image(VOLUME, RAS).to_bytes()[:-200], "damaged or cut off"),
    "cut after the slice": (nib.Nifti1Image(VOLUME, RAS).to_bytes()[:-1], "damaged or cut off"),
    "gzip with a wrong checksum": (gzip.compress(nib.Nifti1Image(VOLUME, RAS).to_bytes())[:-8] + b"\0" * 8, "damaged or cut off"),
    "cut header": (nib.Nifti1Image(VOLUME, RAS).to_bytes()[:200], "is no image|cut off"),
    "cut gzip": (gzip.compress(nib.Nifti1Image(VOLUME, RAS).to_bytes())[:-12], "damaged or cut off"),
    "gzip of text": (gzip.compress(b"Hannelore Zwiebelmann " * 100), "no NIfTI file"),
    "gzip bomb": (gzip.compress(b"\0" * (64 << 20)), "no NIfTI file"),
    "gzip of nothing": (gzip.compress(b""), "no NIfTI file"),
    "complex": (nib.Nifti1Image(VOLUME.astype(np.complex64), RAS).to_bytes(), "complex"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_sentence_and_little_memory(tmp_path, case):
    content, message = BAD[case]
    path = tmp_path / "ZWIEBELMANN.nii.gz"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    assert "zwiebelmann" not in str(caught.value).lower()


def test_a_description_does_not_reach_the_study(tmp_path):
    path = tmp_path / "x.nii"
    path.write_bytes(patched(148, b"Hannelore Zwiebelmann"))
    assert "Hannelore" not in load(path)[0].model_dump_json()
