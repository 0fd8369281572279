"""Depth images in RVL: runs of zeros and of differences, in nibbles (Wilson 2017, Fast Lossless Depth Compression)."""

from __future__ import annotations

import struct

import numpy as np

from referent.errors import BadMessage
from referent.types import Array

_SIZE = struct.Struct("<II")  # columns, rows: what compressed_depth_image_transport puts before the runs
_MAX_PIXELS = 1 << 26
_MORE, _BITS = 8, 3  # a nibble's highest bit says that three more bits of the number follow, higher ones
_MAX_DIGITS = 10  # of 30 bits: no run or difference is as long


def counts_from_rvl(data: Array) -> Array:
    """The 16-bit image (H, W) that (N,) uint8 `data` holds. Raises BadMessage."""
    if data.size < _SIZE.size:
        raise BadMessage(f"rvl depth of {data.size} bytes, at least {_SIZE.size} expected: cut off")
    columns, rows = _SIZE.unpack(data[: _SIZE.size].tobytes())
    if not 0 < columns * rows <= _MAX_PIXELS:
        raise BadMessage(f"rvl depth of {columns}x{rows} pixels: 1 to {_MAX_PIXELS} are taken")
    return _pixels(_numbers(data[_SIZE.size :]), columns * rows).reshape(rows, columns)


def _numbers(data: Array) -> Array:
    """All numbers in the stream, int32: nibbles of words, those in higher bits first; filling reads as zeros."""
    high_first = data[: data.size // 4 * 4].view("<u4").astype(">u4").view(np.uint8)
    nibbles = np.empty(2 * len(high_first), np.uint8)
    nibbles[0::2], nibbles[1::2] = high_first >> 4, high_first & 0xF
    ends = np.flatnonzero(nibbles < _MORE)
    starts = np.empty_like(ends)
    starts[:1], starts[1:] = 0, ends[:-1] + 1
    digits = ends - starts
    if digits.max(initial=0) >= _MAX_DIGITS:
        raise BadMessage(f"rvl depth holds a number of {digits.max() + 1} digits: it is damaged")
    nibbles &= _MORE - 1
    numbers = nibbles[starts].astype(np.int32)
    longer = np.flatnonzero(digits)
    for place in range(1, int(digits.max(initial=0)) + 1):
        numbers[longer] |= nibbles[starts[longer] + place].astype(np.int32) << (_BITS * place)
        longer = longer[digits[longer] > place]
    return numbers


def _pixels(numbers: Array, count: int) -> Array:
    """The image's pixels in order, (count,) uint16: from runs of zeros, and of differences to the last known pixel."""
    zeros, known, read, written = [], [], 0, 0
    while written < count:
        if read + 2 > len(numbers):
            raise BadMessage(f"rvl depth ends after {written} of {count} pixels: it is cut off")
        zeros.append(int(numbers[read]))
        known.append(int(numbers[read + 1]))
        read, written = read + 2 + known[-1], written + zeros[-1] + known[-1]
    if written > count or read > len(numbers):
        raise BadMessage(f"rvl depth holds {written} pixels, {count} expected: it is damaged")
    coded = numbers[:read][_alternating([2] * len(known), known)]
    differences = (coded >> 1) ^ -(coded & 1)  # zigzag: 0, -1, 1, -2, ...
    pixels = np.zeros(count, np.uint16)
    pixels[_alternating(zeros, known)] = np.cumsum(differences, dtype=np.int32).astype(np.uint16)
    return pixels


def _alternating(no: list[int], yes: list[int]) -> Array:
    """bool: so many False, so many True, and so on."""
    lengths = np.stack([no, yes], axis=1).ravel()
    return np.repeat(np.tile([False, True], len(no)), lengths)
