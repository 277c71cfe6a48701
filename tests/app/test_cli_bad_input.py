"""The table of bad input, through the command line: exit 3, one sentence, and nothing written but the trace of the attempt."""

import json
import struct
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from typer.testing import CliRunner

from citrus_agent.app.cli import app
from citrus_agent.core.trace import Trace, verify_trace

pytestmark = pytest.mark.usefixtures("simulated_model")


def png_header(width, height):
    """A PNG that claims a size and holds next to no pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def dicom_without_pixels(path):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PatientName, data.Modality = "Doe^Jane", "US"
    pydicom.dcmwrite(path, data)


def nan_tiff(path):
    pixels = np.full((40, 40), 0.5, np.float32)
    pixels[5, 5] = np.nan
    Image.fromarray(pixels).save(path, format="TIFF")


def truncated(path, picture):
    Image.fromarray(picture()[0]).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:500])


BAD = {
    "missing.png": lambda path, picture: None,
    "empty.png": lambda path, picture: path.write_bytes(b""),
    "folder.png": lambda path, picture: path.mkdir(),
    "truncated.png": truncated,
    "zero.png": lambda path, picture: path.write_bytes(png_header(0, 10)),
    "text.png": lambda path, picture: path.write_text("Dear colleague, Jane Doe was seen today."),
    "no-pixels.dcm": lambda path, picture: dicom_without_pixels(path),
    "nan.tiff": lambda path, picture: nan_tiff(path),
    "bomb.png": lambda path, picture: path.write_bytes(png_header(30_000, 30_000)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_end_with_3_and_leave_the_trace_of_the_attempt_only(tmp_path, picture, name):
    path, out = tmp_path / name, tmp_path / "run"
    BAD[name](path, picture)
    result = CliRunner().invoke(app, ["consult", str(path), "--out", str(out), "--json"])
    assert result.exit_code == 3
    message = json.loads(result.stdout)["error"]["message"]
    assert result.stderr.strip().splitlines()[-1] == f"error: {message}"
    assert not [secret for secret in ("Doe", name, str(tmp_path)) if secret in result.stdout + result.stderr]
    assert [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()] == ["trace.jsonl"]
    assert verify_trace(out).status == "failed"
    assert [event.kind for event in Trace.load(out).events] == ["run_started", "attempt_failed", "seal"]
