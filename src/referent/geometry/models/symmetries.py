"""Which rotations lay a surface onto itself: tried about likely axes, and found by registering it to itself."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.spatial import cKDTree

from referent.geometry.models.many import lay_many
from referent.geometry.models.nearest import NearestGrid
from referent.geometry.models.surface import Surface
from referent.geometry.models.turns import about, angle_between, spread_rotations
from referent.geometry.poses import rigid, transform_points
from referent.types import Array

_TOLERANCE = 0.02  # of the diameter: 2 mm on a hand-sized thing, what a depth camera cannot tell apart
_SHARE = 0.98  # of the surface that must come to lie on itself: a handle is more than the rest
_NEIGHBOURS = 6
_FOLDS = (2, 3, 4, 5, 6, 8)
_SAME_RAD = np.deg2rad(10.0)
_ODD_ANGLES_RAD = np.deg2rad([23.0, 49.0, 101.0, 163.0, 211.0, 278.0])  # no regular prism has all of these
_AT_MOST = 64


def symmetries_of(
    surface: Surface, nearest: NearestGrid, *, spacing_m: float, diameter_m: float
) -> tuple[Array, Array | None, bool]:
    """Finite symmetries (K, 4, 4), identity first; the axis (3,) of a continuous one; whether it is a ball.

    `surface` must be spread evenly, in an order of which any beginning is.
    """
    middle = surface.points_m.mean(axis=0)
    judge = _Judge(surface, spacing_m, _TOLERANCE * diameter_m)
    starts = _about(middle, spread_rotations())
    ends = lay_many(surface.points_m[:300], surface.normals[:300], starts, surface, nearest, diameter_m=diameter_m)
    registered = [end for end in _distinct(ends) if judge.is_same(end)]
    axes = _likely_axes(surface, middle, registered)
    rounds = [
        a for a in axes if all(map(judge.is_same, _about(middle, [about(a, angle) for angle in _ODD_ANGLES_RAD])))
    ]
    if len(rounds) > 1 and not all(_parallel(rounds[0], axis) for axis in rounds):
        return np.eye(4)[None], rounds[0], True
    if rounds:
        across = np.cross(rounds[0], np.eye(3)[int(np.argmin(np.abs(rounds[0])))])
        flip = _about(middle, [about(across / np.linalg.norm(across), np.pi)])[0]
        return np.stack([np.eye(4), flip] if judge.is_same(flip) else [np.eye(4)]), rounds[0], False
    turns = [about(axis, k * 2 * np.pi / n) for axis in axes for n in _FOLDS for k in range(1, n)]
    exact = [turn for turn in _about(middle, turns) if judge.is_same(turn)]
    return np.stack(_distinct([np.eye(4), *exact, *registered])), None, False


class _Judge:
    """Tells whether a transform lays a surface onto itself."""

    def __init__(self, surface: Surface, spacing_m: float, tolerance_m: float) -> None:
        self._points, self._normals = surface.points_m, surface.normals
        self._tree = cKDTree(self._points)
        self._spacing_m, self._tolerance_m = spacing_m, tolerance_m

    def is_same(self, transform: Array) -> bool:
        """First a glance at few points, then most of what there is."""
        return all(self._off_m(transform, count) <= self._tolerance_m for count in (150, 800))

    def _off_m(self, transform: Array, count: int) -> float:
        """How far off the surface nearly all of its first `count` moved points are."""
        moved = transform_points(transform, self._points[:count])
        normals = self._normals[:count] @ transform[:3, :3].T
        apart_m, near = self._tree.query(moved, k=_NEIGHBOURS, workers=1)
        above_m = np.abs(np.einsum("nki,nki->nk", moved[:, None] - self._points[near], self._normals[near]))
        agrees = np.abs(np.einsum("ni,nki->nk", normals, self._normals[near])) > 0.7
        # Beside the surface's rim the nearest sample is as far as samples are apart, and no farther.
        off_m = np.where(agrees, np.maximum(above_m, apart_m - self._spacing_m), apart_m)
        return float(np.quantile(off_m.min(axis=1), _SHARE))


def _likely_axes(surface: Surface, middle: Array, found: list[Array]) -> list[Array]:
    """The model's own axes, its principal ones, and those of the symmetries found already; none twice."""
    _, principal = np.linalg.eigh(np.cov((surface.points_m - middle).T))
    candidates = [*np.eye(3), *principal.T]
    for rotation in (transform[:3, :3] for transform in found):
        skew = rotation - rotation.T
        axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
        if np.linalg.norm(axis) < 0.1:  # half a turn, or none: the axis is the column space of R + I
            values, vectors = np.linalg.eigh((rotation + rotation.T) / 2)
            axis = vectors[:, int(np.argmax(values))]
        candidates.append(axis / np.linalg.norm(axis))
    axes: list[Array] = []
    for candidate in candidates:
        if not any(_parallel(candidate, axis) for axis in axes):
            axes.append(candidate)
    return axes


def _parallel(a: Array, b: Array) -> bool:
    return bool(abs(a @ b) > np.cos(np.deg2rad(3.0)))


def _distinct(transforms: Iterable[Array]) -> list[Array]:
    """Those that turn by clearly more than noise to every earlier one."""
    kept: list[Array] = []
    for transform in transforms:
        if all(angle_between(transform[:3, :3], other[:3, :3]) > _SAME_RAD for other in kept):
            kept.append(transform)
    return kept[:_AT_MOST]


def _about(middle: Array, rotations: Iterable[Array]) -> Array:
    """(K, 4, 4) rotations about a place."""
    return np.stack([rigid(r, middle - r @ middle) for r in rotations])
