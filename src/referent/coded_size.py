"""The size a jpeg or png says it has, read from its first bytes: before anybody makes room for its pixels."""

from __future__ import annotations

import struct

from referent.types import Array

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
