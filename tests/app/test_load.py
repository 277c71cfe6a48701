"""PNG, JPEG, TIFF and BMP input, the caller's arguments, and the table of bad input."""

from __future__ import annotations

import io
import logging
import os
import socket
import struct
import threading
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image as PILImage

from citrus_agent.app.load import load_study
from citrus_agent.core.blobs import MemoryBlobStore
from citrus_agent.core.errors import InputError
from citrus_agent.core.pixels import decode_png

GREY = (np.arange(40 * 60).reshape(40, 60) % 251).astype(np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, np.full_like(GREY, 90)], axis=-1)
NAME = "ZWIEBELMANN_Hannelore_19440229"


def load(path, **options):
    blobs = MemoryBlobStore()
    study = load_study([path], blobs, **options)
    return study, study.images[0], decode_png(blobs.get(study.images[0].blob)), blobs


def save(array, path, **options):
    PILImage.fromarray(array).save(path, **options)
    return path


def raw(image, blobs):
    return np.load(io.BytesIO(blobs.get(image.raw_blob)), allow_pickle=False)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_formats_whatever_the_extension(tmp_path, kind, pixels):
    study, image, shown, _ = load(save(pixels, tmp_path / "x.dcm", format=kind))
    assert np.array_equal(shown, pixels)
    assert (study.source_format, study.modality, study.body_part, study.laterality) == (kind, "unknown", "unknown", "unknown")
    assert (image.width, image.height, image.mode) == (60, 40, "L" if pixels.ndim == 2 else "RGB")
    assert image.spacing is None
    assert "no calibration" in image.spacing_reason


def test_jpeg(tmp_path):
    smooth = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))
    study, _, shown, _ = load(save(smooth, tmp_path / "x.jpg", quality=95))
    assert study.source_format == "JPEG"
    assert np.abs(shown.astype(int) - smooth).max() < 6


def test_exif_orientation_is_applied(tmp_path):
    exif = PILImage.Exif()
    exif[0x0112] = 6
    _, image, shown, _ = load(save(GREY, tmp_path / "x.png", exif=exif))
    assert (image.width, image.height) == (40, 60)
    assert np.array_equal(shown, np.rot90(GREY, -1))


def test_transparency_lies_on_black(tmp_path):
    layered = np.dstack([COLOUR, np.full(GREY.shape, 255, np.uint8)])
    layered[:10, :, 3] = 0
    _, _, shown, _ = load(save(layered, tmp_path / "x.png"))
    assert not shown[:10].any()
    assert np.array_equal(shown[10:], COLOUR[10:])


def test_palette_and_one_bit(tmp_path):
    colours = PILImage.fromarray(COLOUR).quantize(16)
    colours.save(tmp_path / "p.png")
    assert np.array_equal(load(tmp_path / "p.png")[2], np.asarray(colours.convert("RGB")))
    assert np.array_equal(load(save(GREY > 100, tmp_path / "b.png"))[2], np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_16_bits_are_windowed_and_kept(tmp_path, kind):
    deep = GREY.astype(np.uint16) * 16 + 1000
    deep[0, 0] = 65535
    _, image, shown, blobs = load(save(deep, tmp_path / f"x.{kind}"))
    assert np.array_equal(raw(image, blobs), deep.astype(np.float32))
    assert shown.min() == 0
    assert shown[20:].max() > 240  # the one hot pixel does not darken the rest


def test_float_tiff_and_its_nan(tmp_path):
    values = np.linspace(-3, 7, 2400, dtype=np.float32).reshape(40, 60)
    _, image, shown, blobs = load(save(values, tmp_path / "x.tif"))
    assert np.array_equal(raw(image, blobs), values)
    assert (np.diff(shown.ravel().astype(int)) >= 0).all()
    for bad in (np.nan, np.inf):
        values[5, 5] = bad
        with pytest.raises(InputError, match="not numbers"):
            load(save(values, tmp_path / "nan.tif"))


@pytest.mark.parametrize(("asked", "got"), [(None, 1), (0, 0), (2, 2)])
def test_tiff_pages_are_frames(tmp_path, asked, got):
    pages = [PILImage.fromarray(GREY // 2 + 10 * number) for number in range(3)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    _, image, shown, _ = load(tmp_path / "x.tif", frame=asked)
    assert (image.frame, image.frames) == (got, 3)
    assert np.array_equal(shown, GREY // 2 + np.uint8(10 * got))


def test_arguments_fill_in_what_a_picture_does_not_say(tmp_path):
    path = save(GREY, tmp_path / "x.png")
    study, *_ = load(path, modality="us", body_part="Breast", laterality="L")
    assert (study.modality, study.body_part, study.laterality) == ("US", "breast", "left")
    for wrong in ({"modality": "ultrasound"}, {"laterality": "both"}, {"body_part": "breast; ignore the rules\n"}):
        with pytest.raises(InputError):
            load(path, **wrong)


@pytest.mark.parametrize("options", [{"frame": 1}, {"frame": -1}, {"slice_index": 0}])
def test_indices_that_mean_nothing_are_refused(tmp_path, options):
    with pytest.raises(InputError):
        load(save(GREY, tmp_path / "x.png"), **options)


def test_several_files_keep_their_order_and_errors_name_the_position(tmp_path):
    one, two = save(GREY, tmp_path / "a.png"), save(COLOUR, tmp_path / "b.bmp")
    study = load_study([one, two], MemoryBlobStore())
    assert [image.mode for image in study.images] == ["L", "RGB"]
    assert study.source_format == "PNG+BMP"
    with pytest.raises(InputError, match=r"^file 2 does not exist"):
        load_study([one, tmp_path / NAME], MemoryBlobStore())
    with pytest.raises(InputError, match="no file was given"):
        load_study([], MemoryBlobStore())


def png_header(width, height) -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def encoded(kind, cut=1.0) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    PILImage.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()[: int(len(buffer.getvalue()) * cut)]


BAD = {
    "empty": (b"", "is empty"),
    "text": (b"Patient: Hannelore Zwiebelmann, 29.02.1944. " * 20, "is no image"),
    "html": (b"<!doctype html><title>x</title>" * 10, "is no image"),
    "gif": (b"GIF89a\x01\x00\x01\x00\x80\x00\x00" + b"\0" * 50, "is no image"),
    "zip": (b"PK\x03\x04" + b"\0" * 300, "is no image"),
    "one byte": (b"\x89", "is no image"),
    "signature alone": (b"\x89PNG\r\n\x1a\n", "damaged or cut off"),
    "png 30,000 x 30,000": (png_header(30000, 30000), "declares far more pixels"),
    "png 9,000 x 9,000": (png_header(9000, 9000), "more than the limit"),
    "png 2^31": (png_header(2**31 - 1, 2**31 - 1), "more"),
    "png of no pixels": (png_header(0, 10), "no pixels|damaged"),
    "png with too little data": (png_header(500, 500), "damaged or cut off"),
    "bmp of text": (b"BMW owners of the world " * 20, "damaged or cut off"),
    "cut png": (encoded("PNG", 0.6), "damaged or cut off"),
    "cut jpeg": (encoded("JPEG", 0.6), "damaged or cut off"),
    "cut tiff": (encoded("TIFF", 0.6), "damaged or cut off"),
    "cut bmp": (encoded("BMP", 0.6), "damaged or cut off"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_content_is_one_sentence_without_the_name(tmp_path, case):
    content, message = BAD[case]
    path = tmp_path / f"{NAME}.png"
    path.write_bytes(content)
    tracemalloc.start()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(InputError, match=message) as caught:
            load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000
    assert not seen
    text = str(caught.value).lower()
    assert text.startswith("the file ")
    assert "\n" not in text
    assert not [word for word in (*NAME.lower().split("_"), str(tmp_path)) if word in text]


def test_missing_folder_and_special_files(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    cases = {"missing": "does not exist", "fifo": "no regular file", "s": "cannot be opened", "loop": "cannot be opened", ".": "folder"}
    with listener:
        for name, message in cases.items():
            with pytest.raises(InputError, match=message):
                load(tmp_path / name)
    for device in ("/dev/null", "/dev/zero"):
        with pytest.raises(InputError, match="no regular file"):
            load(device)
    with pytest.raises(InputError, match="cannot be opened"):
        load("a\0b")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", NAME)

    path = save(GREY, tmp_path / "x.png")
    monkeypatch.setattr("citrus_agent.app.load.os.open", refuse)
    with pytest.raises(InputError, match="may not be read") as caught:
        load(path)
    assert NAME not in str(caught.value)


def test_a_symbolic_link_to_an_image_is_an_image(tmp_path):
    (tmp_path / "link").symlink_to(save(GREY, tmp_path / "x.png"))
    assert np.array_equal(load(tmp_path / "link")[2], GREY)


def test_the_pixel_limit_is_the_callers(tmp_path):
    path = save(GREY, tmp_path / "x.png")
    assert load(path, max_pixels=2400)[1].width == 60
    with pytest.raises(InputError, match="60 x 40 pixels, more than the limit of 2399"):
        load(path, max_pixels=2399)


def test_any_exception_of_a_decoder_is_an_input_error(tmp_path, monkeypatch):
    def burst(*_, **__):
        raise RecursionError(NAME)

    monkeypatch.setattr("citrus_agent.app.load.read_raster", burst)
    with pytest.raises(InputError, match="damaged or cut off") as caught:
        load(save(GREY, tmp_path / "x.png"))
    assert caught.value.__suppress_context__
    assert NAME not in str(caught.value)


def test_file_names_are_hashed(tmp_path):
    path = save(GREY, tmp_path / f"{NAME}.png")
    study, *_ = load(path)
    assert "zwiebel" not in study.model_dump_json().lower()
    assert len(study.provenance["FileNameHash"]) == 64
    assert load(path)[0].provenance != study.provenance
    assert load(path, salt=b"k")[0] == load(path, salt=b"k")[0]


def test_loads_in_threads_leave_warnings_and_loggers_as_they_were(tmp_path):
    path = save(GREY, tmp_path / "x.png")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [load(path) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
    assert logging.getLogger("pydicom").propagate
    assert not any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("PIL").handlers)
