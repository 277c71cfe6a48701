"""Files to a study: what a file is (by content), which facts of several files and of the caller agree, and what leaves the loader.

No identifier leaves it: provenance is an allow-list of technical tags, UIDs and file names are hashed with a salt that is thrown away, and
an error says what is wrong with "the file" or "file 2", never its name and never text out of it. Knows nothing of what images show.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast, get_args

from citrus_agent.app.dicom import looks_like_dicom, read_dicom
from citrus_agent.app.nifti import header_size, read_nifti
from citrus_agent.app.picture import Problem, Source, store_picture
from citrus_agent.app.raster import read_raster
from citrus_agent.core.errors import InputError
from citrus_agent.core.protocols import BlobStore
from citrus_agent.core.study import Laterality, Modality, Study

MAX_PIXELS = 64_000_000
_HEAD = 1024
_RASTERS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")
_SUPPORTED = "PNG, JPEG, TIFF, BMP, DICOM or NIfTI"
_TALKATIVE = ("pydicom", "nibabel", "nibabel.global", "PIL", "openjpeg", "pylibjpeg", "rle")
_SIDES = {"l": "left", "r": "right"}
# Warnings filters and loggers are the process's: two loads at once would undo each other's settings.
_ONE_AT_A_TIME = threading.RLock()


def load_study(
    paths: Sequence[Path],
    blobs: BlobStore,
    *,
    slice_index: int | None = None,
    frame: int | None = None,
    modality: str | None = None,
    body_part: str | None = None,
    laterality: str | None = None,
    max_pixels: int = MAX_PIXELS,
    salt: bytes | None = None,
) -> Study:
    """One image of each file, stored in ``blobs``, and the technical facts.

    Args:
        paths: Regular files, told apart by content: PNG, JPEG, TIFF, BMP, DICOM, NIfTI.
        blobs: Where display PNGs (and raw values beyond 8 bits) go.
        slice_index: Slice of a NIfTI volume along its third RAS+ axis, from 0; default: the middle one.
        frame: Frame of a multi-frame DICOM, page of a TIFF, or index along a NIfTI's fourth axis, from 0; default: the middle one.
        modality: DICOM code (``US``), where the files do not say.
        body_part: Body part (``breast``), where the files do not say.
        laterality: ``left`` or ``right``, where the files do not say.
        max_pixels: Largest width times height that is read.
        salt: Key of the hashes of UIDs and file names; default: random and forgotten, so that nobody can try names against a hash.

    Raises:
        InputError: A file cannot be used, the files contradict each other, or an argument contradicts a file.
    """
    if not paths:
        raise InputError("no file was given; name at least one image")
    key = secrets.token_bytes(16) if salt is None else salt
    sources = [_load_one(Path(path), name, slice_index, frame, max_pixels) for name, path in _named(paths)]
    _same_person(sources)
    formats = [source.format for source in sources]
    if slice_index is not None and "NIfTI" not in formats:
        raise InputError("a slice was asked for, but no file is a NIfTI volume; leave it out")
    return Study(
        images=tuple(store_picture(source.picture, blobs) for source in sources),
        modality=cast(Modality, _settle("modality", [s.modality for s in sources], _modality(modality))),
        body_part=_settle("body part", [s.body_part for s in sources], _body_part(body_part)),
        laterality=cast(Laterality, _settle("laterality", [s.laterality for s in sources], _laterality(laterality))),
        view=sources[0].view if len({source.view for source in sources}) == 1 else "unknown",
        source_format="+".join(dict.fromkeys(formats)),
        provenance=_provenance(sources, paths, key),
    )


def _named(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Each path with what an error may call it."""
    for number, path in enumerate(paths, start=1):
        yield ("the file" if len(paths) == 1 else f"file {number}"), path


def _load_one(path: Path, name: str, slice_index: int | None, frame: int | None, max_pixels: int) -> Source:
    try:
        with _open(path) as stream, _quiet():
            return _read(stream, slice_index, frame, max_pixels)
    except Problem as problem:
        raise InputError(f"{name} {problem}") from None
    except Exception:  # noqa: BLE001 - decoders raise anything on damaged bytes, and their texts may quote the file: none is passed on
        raise InputError(f"{name} cannot be decoded: it is damaged or cut off; export it again") from None


def _open(path: Path) -> BinaryIO:
    """A regular file, opened without waiting (a FIFO would block) and checked after opening, so that it cannot be swapped."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise Problem("does not exist; check the path") from None
    except PermissionError:
        raise Problem("is a folder or may not be read; name a file that you may read") from None
    except (OSError, ValueError):
        raise Problem("cannot be opened; name a regular file") from None
    status = os.fstat(handle)
    if stat.S_ISREG(status.st_mode) and status.st_size > 0:
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(status.st_mode):
        raise Problem("is a folder; name the files in it")
    raise Problem("is empty; export it again" if stat.S_ISREG(status.st_mode) else "is no regular file; save the image to a file first")


@contextmanager
def _quiet() -> Iterator[None]:
    """Decoders' warnings and log lines quote the file: they end here."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers = [logging.getLogger(name) for name in _TALKATIVE]
        before = [(logger.handlers, logger.propagate) for logger in loggers]
        for logger in loggers:
            # Not ``disabled``: that would let the records of child loggers pass.
            logger.handlers, logger.propagate = [logging.NullHandler()], False
        try:
            yield
        finally:
            for logger, (handlers, propagate) in zip(loggers, before, strict=True):
                logger.handlers, logger.propagate = handlers, propagate


def _read(stream: BinaryIO, slice_index: int | None, frame: int | None, max_pixels: int) -> Source:
    """The content decides, never the extension. DICM goes first: a DICOM preamble may itself hold a TIFF header."""
    head = stream.read(_HEAD)
    stream.seek(0)
    if head[128:132] == b"DICM":
        return read_dicom(stream, frame=frame, max_pixels=max_pixels)
    if head.startswith(b"\x1f\x8b") or header_size(head.ljust(_HEAD, b"\0")) is not None:
        return read_nifti(stream, slice_index=slice_index, frame=frame, max_pixels=max_pixels)
    if head.startswith(_RASTERS):
        return read_raster(stream, frame=frame, max_pixels=max_pixels)
    if looks_like_dicom(head):
        return read_dicom(stream, frame=frame, max_pixels=max_pixels)
    raise Problem(f"is no image that can be read; give {_SUPPORTED}")


def _same_person(sources: Sequence[Source]) -> None:
    people = [(number, source.person) for number, source in enumerate(sources, start=1) if source.person]
    for number, person in people[1:]:
        if person != people[0][1]:
            raise InputError(f"file {number} is of another patient than file {people[0][0]}; consult one patient at a time")


def _settle(what: str, found: Sequence[str], asked: str | None) -> str:
    """One value for the study. An argument fills in what files leave open and contradicts none; a fact that only some state is unknown."""
    known = {value for value in found if value != "unknown"}
    if len(known) > 1:
        raise InputError(f"the files have different values of {what} ({' and '.join(sorted(known))}); consult them one by one")
    if asked is not None:
        if known and known != {asked}:
            raise InputError(f"the {what} given ({asked}) contradicts the file's ({known.pop()}); leave it out or give another file")
        return asked
    return known.pop() if known and "unknown" not in found else "unknown"


def _modality(value: str | None) -> str | None:
    allowed = get_args(Modality)
    if value is None or value.strip().lower() == "unknown":
        return None
    if value.strip().upper() not in allowed:
        raise InputError(f"the modality given is none of {', '.join(allowed)}")
    return value.strip().upper()


def _body_part(value: str | None) -> str | None:
    text = (value or "").strip().lower()
    if len(text) > 32 or not all(char.isalpha() or char in " -_" for char in text):
        raise InputError("the body part given is not a plain word such as breast; write it in letters, at most 32")
    return text if text not in ("", "unknown") else None


def _laterality(value: str | None) -> str | None:
    text = (value or "").strip().lower()
    text = _SIDES.get(text, text)
    if text not in ("", *get_args(Laterality)):
        raise InputError("the laterality given is neither left nor right")
    return text if text in ("left", "right") else None


def _provenance(sources: Sequence[Source], paths: Sequence[Path], salt: bytes) -> dict[str, str]:
    """The first file's facts under plain names; a further file's under ``file2.`` and so on, where they differ."""

    def digest(text: str) -> str:
        return hashlib.sha256(salt + text.encode("utf-8", "surrogateescape")).hexdigest()

    facts: dict[str, str] = {}
    for number, (source, path) in enumerate(zip(sources, paths, strict=True), start=1):
        own = source.provenance | {f"{name}Hash": digest(uid) for name, uid in source.uids.items()}
        own["FileNameHash"] = digest(Path(path).name)
        facts |= own if number == 1 else {f"file{number}.{name}": value for name, value in own.items() if facts.get(name) != value}
    return facts
