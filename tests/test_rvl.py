"""Depth in RVL is read as it was written, and what is damaged is refused."""

from __future__ import annotations

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rvl_encoder import rvl_from_counts

from referent.errors import BadMessage
from referent.rvl import counts_from_rvl
from referent.types import Array

FEW = st.sampled_from([0, 0, 0, 1, 7, 8, 1000, 1001, 32767, 32768, 65535])


def read(data: bytes) -> Array:
    return counts_from_rvl(np.frombuffer(data, np.uint8))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_every_image_comes_back(height: int, width: int, data: st.DataObject) -> None:
    pixels = data.draw(st.lists(FEW | st.integers(0, 65535), min_size=height * width, max_size=height * width))
    counts = np.array(pixels, np.uint16).reshape(height, width)
    np.testing.assert_array_equal(read(rvl_from_counts(counts)), counts)


@pytest.mark.parametrize("pixel", [0, 1, 1500, 65535])
def test_an_image_of_one_value_comes_back(pixel: int) -> None:
    counts = np.full((48, 64), pixel, np.uint16)
    np.testing.assert_array_equal(read(rvl_from_counts(counts)), counts)


def test_bytes_known_from_the_paper_are_read() -> None:
    # 1 zero, 2 known: +5 -> zigzag 10 = 0b001_010 -> nibbles 1010, 0001; -2 -> zigzag 3 -> 0011.
    assert read(struct.pack("<III", 3, 1, 0x12A13000)).tolist() == [[0, 5, 3]]


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 20), st.integers(0, 20))
def test_noise_is_read_or_refused_and_nothing_else(noise: bytes, width: int, height: int) -> None:
    with suppress(BadMessage):
        assert read(struct.pack("<II", width, height) + noise).shape == (height, width)


@pytest.mark.parametrize("keep", [0, 7, 8, 12, 40])
def test_what_is_cut_off_is_refused(keep: int) -> None:
    counts = np.random.default_rng(0).integers(1, 5000, (12, 16)).astype(np.uint16)
    with pytest.raises(BadMessage, match=r"cut off|0x0|damaged"):
        read(rvl_from_counts(counts)[:keep])


def test_an_image_as_large_as_the_world_is_refused_before_any_memory_is_taken() -> None:
    with pytest.raises(BadMessage, match="4294967295x4294967295"):
        read(struct.pack("<II", 2**32 - 1, 2**32 - 1) + bytes(8))
