"""Oriented boxes drawn on pictures."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np

from referent.geometry.camera import project
from referent.types import Array, Intrinsics

TRUTH, GIVEN = (0, 158, 115), (230, 97, 0)
AXES = ((220, 40, 40), (40, 170, 60), (50, 90, 230))  # x, y, z
_CORNERS = np.array([[(corner >> axis & 1) - 0.5 for axis in range(3)] for corner in range(8)])
_EDGES = [(a, b) for a, b in combinations(range(8), 2) if (a ^ b).bit_count() == 1]


def corners_m(camera_from_object: Array, size_m: Array) -> Array:
    """(8, 3) corners of a box in the camera's frame."""
    return np.asarray((_CORNERS * size_m) @ camera_from_object[:3, :3].T + camera_from_object[:3, 3])


def draw_box(
    picture: Array,
    camera_from_object: Array,
    size_m: Array,
    camera: Intrinsics,
    *,
    color: tuple[int, int, int],
    axes: bool = False,
) -> None:
    """Draw the edges of a box into `picture` (H, W, 3) uint8, and from its centre its x, y, z in red, green, blue."""
    pixels = project(corners_m(camera_from_object, size_m), camera)
    for a, b in _EDGES:
        _line(picture, pixels[a], pixels[b], color)
    if axes:
        center = camera_from_object[:3, 3]
        tips = project(np.vstack([center, center + (camera_from_object[:3, :3] * size_m / 2).T]), camera)
        for tip, axis_color in zip(tips[1:], AXES, strict=True):
            _line(picture, tips[0], tip, axis_color)


def _line(picture: Array, start: Array, end: Array, color: tuple[int, int, int]) -> None:
    if np.isfinite([start, end]).all() and np.abs([start, end]).max() < 1e4:
        a, b = (tuple(int(v) for v in np.round(point)) for point in (start, end))
        cv2.line(picture, a, b, color, 2, cv2.LINE_AA)
