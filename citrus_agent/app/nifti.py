"""NIfTI-1 and -2 (.nii, .nii.gz) to a picture of one slice. Knows no extensions and no .hdr/.img pairs.

Only the header and the bytes of the slice are read, so neither a large volume nor a gzip bomb is ever held in memory. The slice is
taken along the third axis of the volume turned to RAS+ (along its one-voxel axis where it has one), and shown as radiologists do: patient
right at the left, anterior or superior at the top. Without a stated orientation (qform and sform code 0) the storage order is shown and the
spacing is unknown.
"""

from __future__ import annotations

import gzip
import math
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.orientations import aff2axcodes, io_orientation
from numpy.typing import NDArray

from citrus_agent.app.picture import Picture, Problem, Source, check_size, choose, numeric_picture
from citrus_agent.core.study import Spacing

MAX_VOLUME_BYTES = 2 << 30
_MAX_OFFSET = 16 << 20
_SIZES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_MAGIC = {348: (344, b"n+1\0", b"ni1\0"), 540: (4, b"n+2\0", b"ni2\0")}
_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
_WAYS = {
    **dict.fromkeys("RL", "right to left"),
    **dict.fromkeys("AP", "anterior to posterior"),
    **dict.fromkeys("SI", "superior to inferior"),
}


def header_size(head: bytes) -> int | None:
    """348 or 540 where ``head`` (544 bytes or more) starts a NIfTI file or header of a pair, else None."""
    for size in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")):
        if size in _MAGIC:
            at, *magics = _MAGIC[size]
            if head[at : at + 4] in magics:
                return size
    return None


def read_nifti(stream: BinaryIO, *, slice_index: int | None, frame: int | None, max_pixels: int) -> Source:
    """One slice: the one asked for, else the middle one; ``frame`` is the index along the fourth axis."""
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    data = cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if packed else stream
    header = _header(data)
    shape = _shape(header)
    affine, oriented = header.get_best_affine(), int(header["qform_code"]) > 0 or int(header["sform_code"]) > 0
    axes = io_orientation(affine) if oriented else np.array([[0, 1], [1, 1], [2, 1]], dtype=float)
    if np.isnan(axes).any():
        raise Problem("has an affine that is not invertible; export it again")
    column, row, cut = _axes(axes, shape)
    check_size(shape[column], shape[row], max_pixels)
    index, time = choose(slice_index, shape[cut], "slice"), choose(frame, shape[3], "frame")
    plane = _plane(data, header, cut, index if axes[cut, 1] > 0 else shape[cut] - 1 - index, time)
    _check_complete(data, header, shape)
    picture = _picture(_turn(plane, axes, column, row, oriented))
    picture.frame, picture.frames = index, shape[cut]
    _calibrate(picture, header, affine[:3, [column, row]], oriented)
    return Source(picture=picture, format="NIfTI", provenance=_provenance(header, affine, shape, (column, row, time), oriented))


def _axes(axes: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Storage axes of the picture's columns, of its rows, and of the cut."""
    order = [int(np.flatnonzero(axes[:, 0] == axis)[0]) for axis in range(3)]  # storage axis of R, A, S
    cut = next((axis for axis in reversed(order) if shape[axis] == 1), order[2])
    column, row = (axis for axis in order if axis != cut)
    return column, row, cut


def _header(data: BinaryIO) -> Any:
    head = data.read(544)
    size = header_size(head.ljust(544, b"\0"))
    if size is None:
        raise Problem("is no NIfTI file in spite of its gzip wrapping; give .nii or .nii.gz")
    if _MAGIC[size][2] in (head[344:348], head[4:8]):
        raise Problem("is one half of a NIfTI pair (.hdr and .img); save it as a single .nii file")
    if len(head) < size:
        raise Problem("is cut off in its NIfTI header; export it again")
    return _SIZES[size](binaryblock=head[:size])


def _shape(header: Any) -> tuple[int, int, int, int]:
    """Four axes, checked against the limits before anything is read."""
    shape = [int(n) for n in header.get_data_shape()]
    while len(shape) > 4 and shape[-1] == 1:
        shape.pop()
    if not 2 <= len(shape) <= 4:
        raise Problem(f"has {len(shape)} axes; give a NIfTI file with 2 to 4")
    shape += [1] * (4 - len(shape))
    if min(shape) <= 0:
        raise Problem("has no pixels; export the image again")
    if math.prod(shape) * header.get_data_dtype().itemsize > MAX_VOLUME_BYTES:
        raise Problem(f"declares {' x '.join(map(str, shape))} voxels, more than {MAX_VOLUME_BYTES >> 30} GiB; give a smaller volume")
    if not 0 <= header.get_data_offset() <= _MAX_OFFSET:
        raise Problem("has a data offset that makes no sense; export it again")
    return shape[0], shape[1], shape[2], shape[3]


def _check_complete(data: BinaryIO, header: Any, shape: tuple[int, ...]) -> None:
    """The whole volume must be there, not only the slice: a file that was cut off is not to be trusted."""
    data.seek(header.get_data_offset() + math.prod(shape) * header.get_data_dtype().itemsize - 1)
    if not data.read(1):
        raise Problem("is damaged or cut off: it holds fewer voxels than its header declares; export it again")
    data.read(1)  # at the end of a gzip stream this checks its length and checksum


def _plane(data: BinaryIO, header: Any, axis: int, index: int, time: int) -> NDArray[Any]:
    """The 2-D slice in storage order of the two other axes, scaled by the header's slope and intercept."""
    shape = header.get_data_shape()
    picks = [slice(None)] * 3 + [time] + [0] * 8
    picks[axis] = index
    plane = ArrayProxy(data, header)[tuple(picks[: len(shape)])]
    if header.get_data_dtype().names:
        return np.stack([plane[name] for name in ("R", "G", "B")], axis=-1)
    if np.iscomplexobj(plane):
        raise Problem("holds complex numbers; save the magnitude")
    return np.asarray(plane)


def _turn(plane: NDArray[Any], axes: NDArray[np.float64], column: int, row: int, oriented: bool) -> NDArray[Any]:
    """Columns from right (or anterior), rows from anterior (or superior); as stored, second axis down, where orientation is unknown."""
    if column < row:
        plane = plane.swapaxes(0, 1)
    if oriented:
        for place, storage in enumerate((row, column)):
            if axes[storage, 1] > 0:
                plane = np.flip(plane, place)
    return np.ascontiguousarray(plane)


def _picture(values: NDArray[Any]) -> Picture:
    if values.ndim == 3:
        return Picture(display=values.astype(np.uint8), photometric="RGB")
    if values.dtype == np.uint8:
        return Picture(display=values)
    return numeric_picture(values.astype(np.float32))


def _calibrate(picture: Picture, header: Any, columns: NDArray[np.float64], oriented: bool) -> None:
    """Voxel sizes are the lengths of the affine's columns; a sheared plane has no row and column spacing."""
    unit = header.get_xyzt_units()[0]
    columns = columns * _MM.get(unit, math.nan)
    width, height = np.linalg.norm(columns, axis=0)
    if not oriented:
        picture.spacing_reason = "the NIfTI header states neither qform nor sform"
    elif not (np.isfinite([width, height]).all() and width > 0 and height > 0):
        picture.spacing_reason = "the NIfTI affine gives no voxel size"
    elif abs(columns[:, 0] @ columns[:, 1]) > 0.01 * width * height:
        picture.spacing_reason = "the NIfTI affine is sheared in the plane of the slice"
    else:
        note = "affine" if unit != "unknown" else "affine (unit not stated, mm by convention)"
        picture.spacing = Spacing(row_mm=float(height), column_mm=float(width), source=note)


def _provenance(
    header: Any, affine: NDArray[np.float64], shape: tuple[int, ...], picked: tuple[int, int, int], oriented: bool
) -> dict[str, str]:
    codes = [str(code) for code in aff2axcodes(affine)] if oriented else []
    column, row, time = picked
    return {
        "Dimensions": " x ".join(map(str, shape)),
        "DataType": "RGB" if header.get_data_dtype().names else str(header.get_data_dtype()),
        "StorageOrientation": "".join(codes) or "unknown",
        "DisplayOrientation": f"columns {_WAYS[codes[column]]}, rows {_WAYS[codes[row]]}" if codes else "storage order",
        **({"FourthAxisIndex": str(time)} if shape[3] > 1 else {}),
    }
