"""The surface an object stands on, found in a ring around its mask."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from referent.config import GeometryConfig
from referent.geometry.points import Patch, mean_of, thinned
from referent.types import Array

_RING_INNER_PX = 6  # nearer pixels may be the object's own under an imprecise mask
_RING_POINTS = 500
_STANDING_POINTS = 200
_HYPOTHESES = 150
_MIN_SHARE = 0.25  # of the ring that must lie on the plane
_MAX_TILT_COS = np.cos(np.deg2rad(30.0))
_LEVEL_COS = np.cos(np.deg2rad(5.0))
_CONTACT_M = 0.03  # an object may float this high above its support, or by the height that is seen of it
_STEEP_COS = 0.8  # seen from this steeply above, the foot of an object is hidden below it
_MAX_HIDDEN_HEIGHT_M = 0.3


@dataclass(frozen=True, eq=False)
class Plane:
    """Points p with normal . p = offset_m; the normal points to the side the object is on."""

    normal: Array  # (3,) float64, unit
    offset_m: float
    support: int  # ring points on it


def ring_pixels(patch: Patch, config: GeometryConfig) -> tuple[Array, Array]:
    """Rows and columns, in the whole picture, of up to 500 smooth depth pixels in a ring around the mask."""
    outside = np.where(patch.mask, 0, 1).astype(np.uint8)
    distance_px = cv2.distanceTransform(outside, cv2.DIST_L2, 3)
    inner = min(_RING_INNER_PX, config.plane_ring_px // 2)
    ring = (distance_px > inner) & (distance_px <= config.plane_ring_px) & patch.known & ~patch.edge
    rows, columns = np.divmod(thinned(np.flatnonzero(ring), _RING_POINTS), ring.shape[1])
    return rows + patch.row, columns + patch.column


def heights_m(points_m: Array, plane: Plane) -> Array:
    """(N,) signed distances of the points above the plane."""
    return np.asarray(points_m @ plane.normal - plane.offset_m)


def support_plane(
    ring_m: Array, object_m: Array, *, tolerance_m: float, up_in_camera: Array | None = None
) -> Plane | None:
    """The plane most of `ring_m` lies on that can carry `object_m`; None when there is none.

    Points are (N, 3) in the camera's optical frame. With `up_in_camera` the plane is level to 30 degrees; without,
    its normal points to the camera's side. RANSAC with a fixed seed: the same points give the same plane.
    """
    if len(ring_m) < 30:
        return None
    ring = ring_m[thinned(np.arange(len(ring_m)), _RING_POINTS)].astype(np.float64)
    standing = object_m[thinned(np.arange(len(object_m)), _STANDING_POINTS)].astype(np.float64)
    normals, offsets = _hypotheses(ring, up_in_camera)
    trust = _can_carry(normals, offsets, standing, tolerance_m, gravity_known=up_in_camera is not None)
    able = trust > 0
    normals, offsets = normals[able], offsets[able]
    if len(normals) == 0:
        return None
    inliers = np.abs(normals @ ring.T - offsets[:, None]) < tolerance_m
    if up_in_camera is not None:  # a table is likelier than a ramp made of other objects' sides
        trust[able] *= np.where(normals @ up_in_camera > _LEVEL_COS, 1.0, 0.5)
    best = int(np.argmax(np.count_nonzero(inliers, axis=1) * trust[able]))
    return _refined(ring, inliers[best], normals[best], tolerance_m, up_in_camera)


def _hypotheses(ring: Array, up_in_camera: Array | None) -> tuple[Array, Array]:
    """(H, 3) unit normals and (H,) offsets of planes through random triples of ring points, and of level ones."""
    picks = np.random.default_rng(0).integers(0, len(ring), (_HYPOTHESES, 3))
    a, b, c = ring[picks[:, 0]], ring[picks[:, 1]], ring[picks[:, 2]]
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    valid = lengths > 1e-9
    normals, a = normals[valid] / lengths[valid, None], a[valid]
    normals = _oriented(normals, a, up_in_camera)
    if up_in_camera is not None:
        near_level = normals @ up_in_camera > _MAX_TILT_COS
        through = ring[thinned(np.arange(len(ring)), _HYPOTHESES // 3)]
        normals = np.concatenate([normals[near_level], np.tile(up_in_camera, (len(through), 1))])
        a = np.concatenate([a[near_level], through])
    return normals, np.einsum("ij,ij->i", normals, a)


def _oriented(normals: Array, points: Array, up_in_camera: Array | None) -> Array:
    """Normals turned upwards, or to the camera at the origin when up is not known."""
    outwards = normals @ up_in_camera if up_in_camera is not None else -np.einsum("ij,ij->i", normals, points)
    return np.asarray(normals * np.where(outwards < 0, -1.0, 1.0)[:, None])


def _can_carry(normals: Array, offsets: Array, standing: Array, tolerance_m: float, *, gravity_known: bool) -> Array:
    """(H,) how well the object may stand on each plane: 1 touches it, less may touch it unseen, 0 does not.

    A wall behind the object, or the floor far below its table, is not its support. With gravity walls are out already,
    and the foot of the object may be hidden by as much as is seen of it.
    """
    count = len(standing)
    heights = np.sort((normals @ standing.T - offsets[:, None]).astype(np.float32), axis=1)
    low, lowest = heights[:, count // 10], heights[:, count // 50]
    span = heights[:, -1 - count // 50] - lowest
    reach = np.clip(span, _CONTACT_M, _MAX_HIDDEN_HEIGHT_M) if gravity_known else np.maximum(_CONTACT_M, span) / 4
    middle = standing.mean(axis=0)
    steep = normals @ -middle > _STEEP_COS * np.linalg.norm(middle)
    unseen = np.where(steep & (lowest < _MAX_HIDDEN_HEIGHT_M), 0.5 if gravity_known else 0.3, 0.0)
    trust = np.where(lowest < np.maximum(reach, 2 * tolerance_m), 1.0, unseen)
    return np.where(low > -2 * tolerance_m, trust, 0.0)


def _refined(ring: Array, inliers: Array, normal: Array, tolerance_m: float, up: Array | None) -> Plane | None:
    """Least-squares plane of the inliers, twice; None when too little of the ring lies on it."""
    for _ in range(2):
        if np.count_nonzero(inliers) < max(10, _MIN_SHARE * len(ring)):
            return None
        middle = mean_of(ring[inliers])
        offsets = ring[inliers] - middle
        _, axes = np.linalg.eigh(offsets.T @ offsets)
        fitted = axes[:, 0] * np.copysign(1.0, axes[:, 0] @ normal)
        offset = float(fitted @ middle)
        inliers = np.abs(ring @ fitted - offset) < tolerance_m
    if up is not None and fitted @ up < _MAX_TILT_COS:
        return None
    return Plane(fitted, offset, int(np.count_nonzero(inliers)))
