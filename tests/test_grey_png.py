"""Depth in png: what OpenCV reads, bit by bit, and nothing of what is damaged."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from builders import a_compressed

from referent.errors import BadMessage
from referent.grey_png import counts_from_png
from referent.messages import depth_from_image
from referent.types import Array

RNG = np.random.default_rng(0)
FILTERS = 5  # none, sub, up, average, Paeth
END_BYTES = 12
HEAD_BYTES = 41  # up to the first pixels


def a_depth(height: int = 48, width: int = 64) -> Array:
    """Of a slanted wall with noise and holes, in millimetres."""
    wall = 800 + 3 * np.arange(width)[None] + RNG.normal(0, 2, (height, width))
    return np.where(RNG.random((height, width)) < 0.2, 0, wall).astype(np.uint16)


def a_png(counts: Array, *, level: int = 9) -> bytes:
    """As compressed_depth_image_transport writes it."""
    return bytes(cv2.imencode(".png", counts, [cv2.IMWRITE_PNG_COMPRESSION, level])[1])


def a_png_of(rows: bytes, width: int, height: int, *, interlaced: bool = False) -> bytes:
    """Of rows that are filtered already, in pieces of 300 bytes."""
    pixels = zlib.compress(rows)
    pieces = [_chunk(b"IDAT", pixels[at : at + 300]) for at in range(0, len(pixels), 300)]
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(pieces) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def counts_of(file: bytes) -> Array | None:
    return counts_from_png(np.frombuffer(file, np.uint8))


def opencv_of(file: bytes) -> Array:
    return np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED))


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (48, 64), (33, 101)])
def test_pixels_are_those_that_were_written(size: tuple[int, int], level: int) -> None:
    for counts in (a_depth(*size), RNG.integers(0, 1 << 16, size, np.uint16)):
        read = counts_of(a_png(counts, level=level))
        assert read is not None
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read, counts)


@pytest.mark.parametrize("only", [*range(FILTERS), None])
def test_pixels_are_those_of_opencv_with_every_filter(only: int | None) -> None:
    height, width = 40, 50
    rows = RNG.integers(0, 256, (height, 1 + 2 * width), np.uint8)
    rows[:, 0] = RNG.integers(0, FILTERS, height) if only is None else only
    file = a_png_of(rows.tobytes(), width, height)
    np.testing.assert_array_equal(counts_of(file), opencv_of(file))


def test_a_changed_byte_never_becomes_a_wrong_depth() -> None:
    file = a_png(a_depth(24, 32))
    for at in range(HEAD_BYTES, len(file) - END_BYTES):
        damaged = bytearray(file)
        damaged[at] ^= 0x41
        with pytest.raises(BadMessage, match="cannot be decoded"):
            depth_from_image(a_compressed(bytes(12) + bytes(damaged), "16UC1; compressedDepth png"))


def test_a_cut_off_png_is_refused_wherever_it_was_cut() -> None:
    file = a_png(a_depth(24, 32))
    for size in range(1, len(file)):
        with pytest.raises(BadMessage, match="cannot be decoded"):
            depth_from_image(a_compressed(bytes(12) + file[:size], "16UC1; compressedDepth png"))


@pytest.mark.parametrize("rows", [3, 23])
def test_a_png_with_fewer_rows_than_it_promises_is_refused(rows: int) -> None:
    file = a_png_of(bytes(65 * rows), 32, 24)
    with pytest.raises(BadMessage, match="png of 32x24 pixels cannot be decoded"):
        counts_of(file)


def test_a_png_with_more_rows_than_it_promises_gives_the_promised_ones() -> None:
    np.testing.assert_array_equal(counts_of(a_png_of(bytes(65 * 100_000), 32, 24)), np.zeros((24, 32)))


def test_a_png_that_promises_a_world_of_depth_is_refused_before_room_is_made() -> None:
    file = a_png_of(bytes(65 * 24), 60_000, 60_000)
    with pytest.raises(BadMessage, match="60000x60000 pixels are more than"):
        counts_of(file)


def test_a_png_without_pixels_is_refused() -> None:
    with pytest.raises(BadMessage, match="png of 0x24 pixels cannot be decoded"):
        counts_of(a_png_of(b"", 0, 24))


@pytest.mark.parametrize(
    "file",
    [
        b"",
        a_png(a_depth())[:-1],
        a_png(a_depth()) + b"\0",
        a_png((a_depth() >> 4).astype(np.uint8)),
        a_png(np.dstack([a_depth()] * 3)),
        a_png_of(bytes(65 * 24), 32, 24, interlaced=True),
        bytes(cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1]),
    ],
    ids=["nothing", "cut off", "padded", "8 bits", "color", "interlaced", "jpeg"],
)
def test_what_is_of_another_kind_is_left_to_opencv(file: bytes) -> None:
    assert counts_of(file) is None


def test_a_padded_png_of_depth_is_still_read() -> None:
    counts = a_depth()
    message = a_compressed(bytes(12) + a_png(counts) + bytes(7), "16UC1; compressedDepth png")
    np.testing.assert_allclose(np.nan_to_num(depth_from_image(message)), counts / 1e3, rtol=1e-6)
