"""The size a jpeg or png says it has, read from its first bytes: before anybody makes room for its pixels."""

from __future__ import annotations

import struct

from referent.errors import BadMessage
from referent.types import Array

LARGEST_PIXELS = 1 << 25  # of what a picture or a camera promises: room is made before pixels are seen
_PNG_START, _JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_SIZE, _JPEG_SIZE, _JPEG_LENGTH = struct.Struct(">II"), struct.Struct(">HH"), struct.Struct(">H")
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame, of whatever kind (ITU T.81)


def coded_size(data: Array) -> tuple[int, int] | None:
    """Width and height that (N,) uint8 `data` promises; None for what is neither jpeg nor png, or damaged."""
    start = data[:24].tobytes()
    if start.startswith(_PNG_START) and len(start) == 24:
        width, height = _PNG_SIZE.unpack_from(start, 16)
        return width, height
    return _jpeg_size(data) if start.startswith(_JPEG_START) else None


def require_size(data: Array, name: str, *, known: str = "jpeg and png are read") -> None:
    """Raise BadMessage unless `data` is a jpeg or png of a size there is room for; `name` is what to call it."""
    size = coded_size(data)
    if size is None:
        raise BadMessage(f"{name}: cannot be decoded ({data.size} bytes): {known}")
    if size[0] * size[1] > LARGEST_PIXELS:
        raise BadMessage(f"{name}: {size[0]}x{size[1]} pixels are more than {LARGEST_PIXELS}")


def _jpeg_size(data: Array) -> tuple[int, int] | None:
    """From the first frame header; segments before it are stepped over."""
    at = 2
    while at + 9 <= data.size and data[at] == 0xFF:
        segment = data[at : at + 9].tobytes()
        if segment[1] in _SIZE_MARKERS:
            height, width = _JPEG_SIZE.unpack_from(segment, 5)
            return width, height
        at += 1 if segment[1] == 0xFF else 2 + _JPEG_LENGTH.unpack_from(segment, 2)[0]
    return None
