"""The pinhole camera: pixels and depth to points and back."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from referent.types import Array, Intrinsics


@lru_cache(maxsize=4)
def rays(intrinsics: Intrinsics) -> Array:
    """(H, W, 3) float32 viewing rays with z = 1 in the camera's optical frame; read-only, kept for a few cameras."""
    u = (np.arange(intrinsics.width) - intrinsics.cx) / intrinsics.fx
    v = (np.arange(intrinsics.height) - intrinsics.cy) / intrinsics.fy
    field = np.ones((intrinsics.height, intrinsics.width, 3), np.float32)
    field[..., 0] = u[None, :]
    field[..., 1] = v[:, None]
    field.setflags(write=False)
    return field


def points_at(depth_m: Array, rows: Array, columns: Array, intrinsics: Intrinsics) -> Array:
    """The pixels (rows, columns) as (N, 3) float32 points in metres in the camera's optical frame."""
    flat = rows * intrinsics.width + columns  # several times faster than indexing by both
    return np.asarray(rays(intrinsics).reshape(-1, 3).take(flat, axis=0) * depth_m.take(flat)[:, None])


def backproject(depth_m: Array, mask: Array, intrinsics: Intrinsics) -> Array:
    """Masked pixels with known depth as (N, 3) float32 points in the camera's optical frame, row by row."""
    rows, columns = np.nonzero(mask & known_depth(depth_m))
    return points_at(depth_m, rows, columns, intrinsics)


def project(points_m: Array, intrinsics: Intrinsics) -> Array:
    """(N, 3) points in the camera's optical frame as (N, 2) pixels (x, y); NaN for points not before the camera."""
    points = np.asarray(points_m, np.float64)
    z = np.where(points[:, 2] > 0, points[:, 2], np.nan)
    u = intrinsics.fx * points[:, 0] / z + intrinsics.cx
    v = intrinsics.fy * points[:, 1] / z + intrinsics.cy
    return np.stack([u, v], axis=1)


def known_depth(depth_m: Array) -> Array:
    """True where depth is a measurement: finite and positive (zero means "none" in many drivers)."""
    with np.errstate(invalid="ignore"):
        return np.asarray((depth_m > 0) & (depth_m < np.inf))
