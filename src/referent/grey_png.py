"""Depth as cameras send it, a png of 16-bit grey and nothing else, in little more than half of OpenCV's time."""

from __future__ import annotations

import struct

import numpy as np
from kornia_rs.io import decode_image_png_u16

from referent.coded_size import require_size
from referent.errors import BadMessage
from referent.types import Array

# What compressed_depth_image_transport and OpenCV write: signature, IHDR, then at once the pixels. Source: RFC 2083.
_HEAD = struct.Struct(">8s4x4sII5s4x4x4s")
_SIGNATURE, _GREY_16 = b"\x89PNG\r\n\x1a\n", bytes((16, 0, 0, 0, 0))  # bits; grey, deflated, filtered, row after row
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"


def counts_from_png(data: Array) -> Array | None:
    """The pixels (H, W) uint16 of the png that (N,) uint8 `data` holds; None for what is of another kind or cut off.

    Bit by bit what OpenCV makes of it. Raises BadMessage for damaged data, and for a size there is no room for.
    """
    if data.size < _HEAD.size + len(_END) or data[-len(_END) :].tobytes() != _END:
        return None
    signature, header, width, height, kind, first = _HEAD.unpack(data[: _HEAD.size].tobytes())
    if (signature, header, kind, first) != (_SIGNATURE, b"IHDR", _GREY_16, b"IDAT"):
        return None
    require_size(data, "png of 16-bit grey")
    try:
        picture = decode_image_png_u16(data.tobytes(), (height, width), "mono")
    except Exception as error:  # its own kind of error for damaged data is no other
        raise BadMessage(f"png of {width}x{height} pixels cannot be decoded: {error}") from error
    return np.asarray(picture)[..., 0]
