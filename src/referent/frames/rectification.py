"""Raw pictures of a real lens as a pinhole camera would have taken them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from referent.messages import Lens
from referent.types import Array


class _Maps(NamedTuple):
    """Where each rectified pixel lies in the raw picture, in the forms cv2.remap takes."""

    color: tuple[Array, Array]  # fixed point, for interpolation
    depth: Array  # (H, W, 2) int16, the nearest pixel
    depth_scale: Array | None  # (H, W) float32: rectified z / raw z; None = the camera keeps its direction


def rectified_rgb(rgb: Array, lens: Lens) -> Array:
    """Color (H, W, 3) uint8 without distortion, interpolated bilinearly; black where the lens saw nothing."""
    if lens.changes_nothing:
        return rgb
    return np.asarray(cv2.remap(rgb, *_maps(lens).color, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def rectified_depth(depth_m: Array, lens: Lens) -> Array:
    """Depth (H, W) float32 metres without distortion, the nearest reading of each pixel; NaN where there is none.

    Readings are never mixed: between two surfaces there is nothing.
    """
    if lens.changes_nothing:
        return depth_m
    maps, nothing = _maps(lens), np.empty(0, np.int16)
    nan = (float("nan"),)
    moved = cv2.remap(depth_m, maps.depth, nothing, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=nan)
    return np.asarray(moved if maps.depth_scale is None else moved * maps.depth_scale)


def rectified_mask(mask: Array, lens: Lens) -> Array:
    """A mask (H, W) bool without distortion, the nearest pixel of each; False where the lens saw nothing."""
    if lens.changes_nothing:
        return mask
    maps, nothing = _maps(lens), np.empty(0, np.int16)
    moved = cv2.remap(mask.view(np.uint8), maps.depth, nothing, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(moved != 0)


@lru_cache(maxsize=4)
def largest_bend_px(lens: Lens) -> float:
    """How far a straight line of the world may lie from where it is in the rectified picture, if that is not done."""
    if lens.changes_nothing:
        return 0.0
    x, y = _raw_places(lens)
    columns, rows = np.arange(lens.camera.width), np.arange(lens.camera.height)[:, None]
    inside = (x >= 0) & (x < lens.camera.width) & (y >= 0) & (y < lens.camera.height)
    return float(np.hypot(x - columns, y - rows)[inside].max(initial=0.0))


@lru_cache(maxsize=4)
def _maps(lens: Lens) -> _Maps:
    x, y = _raw_places(lens)
    depth, _ = cv2.convertMaps(x, y, cv2.CV_16SC2, nninterpolation=True)
    return _Maps(cv2.convertMaps(x, y, cv2.CV_16SC2), depth, _depth_scale(lens, _rotation(lens)))


def _raw_places(lens: Lens) -> tuple[Array, Array]:
    """(H, W) float32 x and y in the raw picture of each rectified pixel."""
    camera = lens.camera
    fx, fy, cx, cy = lens.raw
    raw = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    seen = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    d = np.array(lens.coefficients or (0.0,) * 4)
    of_lens = cv2.fisheye.initUndistortRectifyMap if lens.model == "equidistant" else cv2.initUndistortRectifyMap
    x, y = of_lens(raw, d, _rotation(lens), seen, (camera.width, camera.height), cv2.CV_32FC1)
    return np.asarray(x), np.asarray(y)


def _rotation(lens: Lens) -> Array:
    return np.array(lens.rotation).reshape(3, 3)


def _depth_scale(lens: Lens, rotation: Array) -> Array | None:
    """What a raw reading is multiplied by to lie along the rectified camera's direction of view."""
    if np.array_equal(rotation, np.eye(3)):
        return None
    camera = lens.camera
    u = (np.arange(camera.width) - camera.cx) / camera.fx
    v = (np.arange(camera.height) - camera.cy) / camera.fy
    raw_z = u[None, :] * rotation[0, 2] + v[:, None] * rotation[1, 2] + rotation[2, 2]  # of rotation.T @ (u, v, 1)
    return np.asarray(1 / raw_z, np.float32)
