"""Sizes that JPEG, JPEG-LS and JPEG 2000 code streams declare, and whether they end. Decodes nothing.

Sources: ITU-T T.81 (frame header SOF, B.2.2), ITU-T T.87 (SOF55, C.2.2), ITU-T T.800 (SIZ, A.5.1).
"""

from __future__ import annotations

_SOI, _SOC, _JP2 = b"\xff\xd8", b"\xff\x4f", b"\x00\x00\x00\x0cjP  "
# SOF0 to SOF15 less DHT (C4), JPG (C8) and DAC (CC), and JPEG-LS' SOF55.
_FRAME_HEADERS = ({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}) | {0xF7}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, or None where the stream is of another kind or damaged before its frame header."""
    if data.startswith(_SOI):
        return _jpeg_size(data)
    start = data.find(_SOC + b"\xff\x51") if data.startswith((_SOC, _JP2)) else -1
    if start < 0 or len(data) < start + 24:
        return None
    # After SOC, SIZ, Lsiz and Rsiz: the grid's far corner, then the image's offset in it.
    x, y, x0, y0 = (int.from_bytes(data[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
    return x - x0, y - y0


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_HEADERS:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def is_closed(data: bytes) -> bool:
    """False where a JPEG, JPEG-LS or JPEG 2000 stream lacks its end marker; decoders would fill the rest with grey."""
    if not data.startswith((_SOI, _SOC, _JP2)):
        return True
    # Padding to an even length: 00, and FF of some writers.
    return data.rstrip(b"\x00\xff").endswith(b"\xd9")
