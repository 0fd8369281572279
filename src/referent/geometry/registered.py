"""Depth of another camera as the color camera sees it."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from referent.geometry.camera import rays
from referent.types import Array, Intrinsics

_BEHIND = 1.05  # a pixel this much farther than what closes around it is seen through a gap between two samples
_SAME_CAMERA_PX = 0.5  # two cameras in one place whose pixels differ by less see the same picture


def register_depth(
    depth_m: Array, depth_camera: Intrinsics, color_from_depth: Array, color_camera: Intrinsics
) -> Array:
    """Depth (H, W) float32 metres, NaN = unknown, as (H', W') float32 of the color camera.

    `color_from_depth` (4, 4) moves points of the depth camera's optical frame into the color camera's. Every depth
    pixel is carried over, the nearest wins, and gaps between the carried samples of one surface are closed when color
    has the finer pixels; what the depth camera does not see stays unknown. Both pictures must be free of distortion.
    """
    nearness = _nearest(depth_m, depth_camera, np.asarray(color_from_depth, np.float64), color_camera)
    closed = cv2.morphologyEx(nearness, cv2.MORPH_CLOSE, _gap(depth_camera, color_camera))
    nearness = np.where(nearness * np.float32(_BEHIND) < closed, closed, nearness)
    with np.errstate(divide="ignore"):
        registered = np.float32(1) / nearness
    registered[nearness == 0] = np.nan
    return np.asarray(registered)


def is_registered(depth_camera: Intrinsics, color_from_depth: Array, color_camera: Intrinsics) -> bool:
    """Whether two cameras see the same picture already: in one place and with the same pixels, to half a pixel."""
    if (depth_camera.width, depth_camera.height) != (color_camera.width, color_camera.height):
        return False
    corners = np.array([[0, 0, 1], [depth_camera.width, depth_camera.height, 1]], np.float64)
    moved = _matrix(color_camera) @ np.linalg.solve(_matrix(depth_camera), corners.T)
    near = float(np.abs(moved[:2].T - corners[:, :2]).max()) < _SAME_CAMERA_PX
    return near and bool(np.allclose(color_from_depth, np.eye(4), atol=1e-6))


def _nearest(depth_m: Array, depth_camera: Intrinsics, color_from_depth: Array, color_camera: Intrinsics) -> Array:
    """(H', W') float32: 1/z of the nearest depth pixel that falls into each color pixel; 0 = none does."""
    turned = _turned_rays(depth_camera, color_from_depth[:3, :3].tobytes(), color_camera)
    x, y, z = (axis * depth_m for axis in turned)
    # In pixels of the color camera: the translation seen through its matrix.
    shift_x, shift_y, shift_z = (_matrix(color_camera) @ color_from_depth[:3, 3]).astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        z += shift_z
        nearness = np.float32(1) / z
        columns = np.rint((x + shift_x) * nearness)
        rows = np.rint((y + shift_y) * nearness)
        inside = (depth_m > 0) & (z > 0) & (columns >= 0) & (rows >= 0)
        inside &= (columns < color_camera.width) & (rows < color_camera.height)
    seen = np.zeros(color_camera.height * color_camera.width, np.float32)
    places = rows[inside].astype(np.intp) * color_camera.width + columns[inside].astype(np.intp)
    np.maximum.at(seen, places, nearness[inside])
    return seen.reshape(color_camera.height, color_camera.width)


@lru_cache(maxsize=4)
def _turned_rays(depth_camera: Intrinsics, rotation: bytes, color_camera: Intrinsics) -> tuple[Array, Array, Array]:
    """The depth camera's rays, each (H, W) float32, turned into the color camera and through its matrix."""
    turn = _matrix(color_camera) @ np.frombuffer(rotation, np.float64).reshape(3, 3)
    turned = rays(depth_camera).astype(np.float64) @ turn.T
    x, y, z = (np.ascontiguousarray(turned[..., axis], np.float32) for axis in range(3))
    return x, y, z


def _gap(depth_camera: Intrinsics, color_camera: Intrinsics) -> Array:
    """What is wider than the largest gap between two carried samples of one surface; 2x2 where color is the coarser."""
    fine = max(color_camera.fx / depth_camera.fx, color_camera.fy / depth_camera.fy)
    side = math.ceil(fine - 0.05) + 1
    return np.ones((side, side), np.uint8)


def _matrix(camera: Intrinsics) -> Array:
    return np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]], np.float64)
