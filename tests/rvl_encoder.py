"""Writes depth as RVL, pixel by pixel as Wilson's paper lists it: the other side of what is to be read."""

from __future__ import annotations

import struct

import numpy as np

from referent.types import Array


def rvl_from_counts(counts: Array) -> bytes:
    """(H, W) uint16 as compressed_depth_image_transport sends it after its own header."""
    pixels = [int(pixel) for pixel in counts.ravel()]
    nibbles: list[int] = []
    at = previous = 0
    while at < len(pixels):
        start = at
        while at < len(pixels) and not pixels[at]:
            at += 1
        nibbles += nibbles_of(at - start)
        start = at
        while at < len(pixels) and pixels[at]:
            at += 1
        nibbles += nibbles_of(at - start)
        for pixel in pixels[start:at]:
            difference = pixel - previous
            nibbles += nibbles_of(2 * difference if difference >= 0 else -2 * difference - 1)
            previous = pixel
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int("".join(f"{nibble:x}" for nibble in nibbles[i : i + 8]), 16) for i in range(0, len(nibbles), 8)]
    height, width = counts.shape
    return struct.pack("<II", width, height) + np.array(words, "<u4").tobytes()


def nibbles_of(number: int) -> list[int]:
    """Three bits at a time, the lowest first; the fourth says that more follow."""
    nibbles = []
    while True:
        nibble, number = number & 7, number >> 3
        nibbles.append(nibble | 8 if number else nibble)
        if not number:
            return nibbles
