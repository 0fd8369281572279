"""Which remembered objects a frame shows not to be where they were: it looks through their place."""

from __future__ import annotations

import numpy as np

from referent.memory.places import Place
from referent.types import Array, RgbdFrame

_NEAREST_M = 0.05
_SPOTS = 0.25  # of the width, to the sides of its middle: what is looked at
_SHARE_BEHIND = 0.8  # of the known depth there must lie behind it
_LEAST_KNOWN = 12  # pixels of known depth, of 5 spots of 3 x 3


def seen_through(frame: RgbdFrame, fixed_from_camera: Array, positions_m: Array) -> Array:
    """(N,) bool: which of (N, 3) positions in the fixed frame are in the picture, with depth beyond them."""
    if frame.depth_m is None or not len(positions_m):
        return np.zeros(len(positions_m), bool)
    camera = frame.intrinsics
    x, y, z = ((positions_m - fixed_from_camera[:3, 3]) @ fixed_from_camera[:3, :3]).T
    ahead = z > _NEAREST_M
    z = np.where(ahead, z, 1.0)
    u, v = np.floor(camera.fx * x / z + camera.cx + 0.5), np.floor(camera.fy * y / z + camera.cy + 0.5)
    inside = ahead & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    beyond = frame.depth_m[np.where(inside, v, 0).astype(int), np.where(inside, u, 0).astype(int)] > z
    return np.asarray(inside & beyond)


def is_empty(frame: RgbdFrame, fixed_from_camera: Array, place: Place) -> bool:
    """Whether `frame` sees through the whole of a place: depth ends well behind where its thing should be.

    False for what is not wholly in the picture, hidden behind something nearer, or without depth.
    """
    if frame.depth_m is None:
        return False
    pixels = _spots(frame, fixed_from_camera, place)
    return pixels is not None and _looks_through(frame.depth_m, pixels, _far_side_m(place, fixed_from_camera))


def _spots(frame: RgbdFrame, fixed_from_camera: Array, place: Place) -> Array | None:
    """(5, 2) pixels of a thing's middle and to its sides; None when one is outside the picture."""
    camera = frame.intrinsics
    middle = (place.position_m - fixed_from_camera[:3, 3]) @ fixed_from_camera[:3, :3]
    side = _SPOTS * place.width_m
    spots = middle[:2] + side * np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])
    pixels = np.round(spots / middle[2] * (camera.fx, camera.fy) + (camera.cx, camera.cy)).astype(int)
    high = np.array([camera.width, camera.height]) - 2
    return pixels if ((pixels >= 1) & (pixels <= high)).all() else None


def _far_side_m(place: Place, fixed_from_camera: Array) -> float:
    """Depth beyond which nothing of the thing can be, three sigmas of its place included."""
    ahead = fixed_from_camera[:3, 2]
    middle = float((place.position_m - fixed_from_camera[:3, 3]) @ ahead)
    half = float(np.abs(place.fixed_from_object[:3, :3].T @ ahead) @ place.size_m) / 2
    return middle + half + 3 * float(np.sqrt(ahead @ place.covariance[:3, :3] @ ahead))


def _looks_through(depth_m: Array, pixels: Array, far_m: float) -> bool:
    spots = np.concatenate([depth_m[y - 1 : y + 2, x - 1 : x + 2].ravel() for x, y in pixels])
    known = spots[np.isfinite(spots)]
    return len(known) >= _LEAST_KNOWN and bool(np.mean(known > far_m) >= _SHARE_BEHIND)
