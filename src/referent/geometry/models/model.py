"""The shape of one known object: its surface as points, its size, and which turns leave it the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.geometry.models.nearest import NearestGrid
from referent.geometry.models.surface import Surface, directions, evenly_ordered, near_sides, outward
from referent.geometry.models.symmetries import symmetries_of
from referent.types import Array

_POINT_COUNT = 4000
_VIEWS = 72
_NEAR_SIDE = 150  # points of each view


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """A surface in the model's own coordinates, metres."""

    name: str
    points_m: Array  # (N, 3) float32, evenly spread; so are the first n of them for any n
    normals: Array  # (N, 3) float32, unit length, outwards where there is an outside
    is_sheet: Array  # (N,) bool: part of an open sheet, where a normal does not tell which side is seen
    spacing_m: float  # no place on the surface is farther than this from a point
    size_m: Array  # (3,) float64 along the model's axes
    center_m: Array  # (3,) float64, the middle of that box
    diameter_m: float  # the longest distance between two of its points
    symmetries: Array  # (K, 4, 4) float64 model_from_model, identity first; of turns about `axis`, none but it
    axis: Array | None  # (3,) any turn about this axis leaves it the same; None = there is no such axis
    is_ball: bool  # any turn at all does
    nearest: NearestGrid  # the surface point near a place, roughly and at once
    views: Array  # (V, 3) float64 directions to viewers all around
    near_sides: Array  # (V, n) indices of points that each of them sees

    @property
    def middle_m(self) -> Array:
        """(3,) float64, the surface's middle, which its symmetries leave where it is."""
        return np.asarray(self.points_m.mean(axis=0, dtype=np.float64))


def build_model(name: str, surface: Surface, corners_m: Array) -> ObjectModel:
    """The model of a densely sampled `surface`; `corners_m` (M, 3) are the points that bound it. Deterministic."""
    order, spacing_m = evenly_ordered(surface.points_m, _POINT_COUNT)
    points = surface.points_m[order]
    normals, is_sheet = outward(points, surface.normals[order], spacing_m)
    low, high = corners_m.min(axis=0), corners_m.max(axis=0)
    diameter_m = _diameter_m(corners_m)
    even = Surface(points, normals, is_sheet)
    nearest = NearestGrid.around(points, margin_m=0.3 * diameter_m)
    views = directions(_VIEWS)
    symmetries, axis, is_ball = symmetries_of(even, nearest, spacing_m=spacing_m, diameter_m=diameter_m)
    return ObjectModel(
        name,
        points.astype(np.float32),
        normals.astype(np.float32),
        is_sheet,
        spacing_m,
        (high - low).astype(np.float64),
        ((low + high) / 2).astype(np.float64),
        diameter_m,
        symmetries,
        axis,
        is_ball,
        nearest,
        views,
        near_sides(even, views, spacing_m, _NEAR_SIDE),
    )


def _diameter_m(corners_m: Array) -> float:
    """The longest distance between the outermost points of some hundred directions."""
    outermost = corners_m[np.unique(np.argmax(corners_m @ directions(400).T, axis=0))]
    return float(np.linalg.norm(outermost[:, None] - outermost[None], axis=2).max())
