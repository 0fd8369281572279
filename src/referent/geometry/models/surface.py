"""Surfaces as points: sampling triangles, spreading points evenly, normals and which way is out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from referent.types import Array

_DENSE = 12_000
_NEIGHBOURS = 12
_VIEWS = 64
CELL = 2.0  # times the spacing: a picture of such cells has no holes
_BACK_SHARE = 0.5  # seen this much from behind as from the front, a point belongs to an open sheet


@dataclass(frozen=True, eq=False)
class Surface:
    """Points of a surface with their unit normals."""

    points_m: Array  # (N, 3) float64
    normals: Array  # (N, 3) float64
    is_sheet: Array | None = None  # (N,) bool: seen from both sides; None = not known, or nowhere


def sampled(vertices_m: Array, triangles: Array) -> Surface:
    """Points spread over triangles (M, 3) in proportion to their area, the same ones every time."""
    a, b, c = (vertices_m[triangles[:, i]] for i in range(3))
    doubled = np.cross(b - a, c - a)
    length = np.linalg.norm(doubled, axis=1)
    reached = np.cumsum(length)
    chosen = np.searchsorted(reached, (np.arange(_DENSE) + 0.5) / _DENSE * reached[-1])
    u, v = np.random.default_rng(0).random((2, _DENSE, 1))
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    points = a[chosen] + u * (b - a)[chosen] + v * (c - a)[chosen]
    return Surface(points, doubled[chosen] / length[chosen, None])


def normals_of(points_m: Array, at: Array | None = None) -> Array:
    """(N, 3) unit normals of a bare cloud, of either sign: the direction in which neighbours spread least.

    With `at` (M, 3), the normals of the cloud at those places.
    """
    places = points_m if at is None else at
    count = min(_NEIGHBOURS, len(points_m))
    _, near = cKDTree(points_m).query(places, k=count, workers=1)
    around = points_m[near] - points_m[near].mean(axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(np.swapaxes(around, 1, 2) @ around)
    return np.asarray(vectors[:, :, 0])


def evenly_ordered(points_m: Array, count: int) -> tuple[Array, float]:
    """Indices of up to `count` points, each the farthest from all before it, and how far the rest is from them [m].

    Farthest point sampling (Gonzalez 1985): any first n of them are spread evenly too.
    """
    count = min(count, len(points_m))
    points = points_m.astype(np.float32)
    order = np.zeros(count, np.int64)
    left = np.full(len(points), np.inf, np.float32)
    newest = int(np.argmax(((points - points.mean(axis=0)) ** 2).sum(axis=1)))
    for i in range(count):
        order[i] = newest
        step = points - points[newest]
        np.minimum(left, np.einsum("ij,ij->i", step, step), out=left)
        newest = int(np.argmax(left))
    spacing_m = float(np.sqrt(left[newest]))
    return order, spacing_m if count < len(points) else _gap_m(points_m)


def _gap_m(points_m: Array) -> float:
    """How far from its points a surface of which no more are known may be, but for its thinnest tenth."""
    distance = np.asarray(cKDTree(points_m).query(points_m, k=min(4, len(points_m)), workers=1)[0])
    return float(np.quantile(distance[:, -1], 0.9))


def outward(points_m: Array, normals: Array, spacing_m: float) -> tuple[Array, Array]:
    """Normals turned to the side from which their points can be seen, whatever the file's winding.

    And (N,) True where a point can be seen from both: it is part of an open sheet.
    """
    front, back = np.zeros(len(points_m)), np.zeros(len(points_m))
    for towards_viewer in directions(_VIEWS):
        facing = normals @ towards_viewer
        seen = _seen_from(points_m, np.abs(facing), towards_viewer, spacing_m)
        front += np.where(seen, np.maximum(facing, 0), 0)
        back += np.where(seen, np.maximum(-facing, 0), 0)
    is_sheet = np.minimum(front, back) > _BACK_SHARE * np.maximum(front, back)
    return normals * np.where(back > front, -1.0, 1.0)[:, None], is_sheet


def near_sides(surface: Surface, towards_viewer: Array, spacing_m: float, count: int) -> Array:
    """(V, count) indices of evenly spread points that far viewers in each direction (V, 3) see; short lists repeat."""
    sides = []
    for direction in towards_viewer:
        facing = surface.normals @ direction
        towards = (facing > 0) if surface.is_sheet is None else (facing > 0) | surface.is_sheet
        seen = _seen_from(surface.points_m, np.abs(facing), direction, spacing_m)
        index = np.flatnonzero(seen & towards)
        sides.append(np.resize(index if len(index) else np.arange(len(facing)), count))
    return np.stack(sides)


def _seen_from(points_m: Array, facing: Array, towards_viewer: Array, spacing_m: float) -> Array:
    """(N,) True for points that no other hides from a viewer far away."""
    across = np.linalg.svd(towards_viewer[None])[2][1:]  # the two directions of the picture
    cell_m = CELL * spacing_m
    flat = points_m @ across.T
    cell = ((flat - flat.min(axis=0)) / cell_m).astype(np.int64)
    cells = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    away = -(points_m @ towards_viewer)
    return away <= nearest_in_cell(away, cells) + slack_m(facing, cell_m)


def nearest_in_cell(distance_m: Array, cells: Array) -> Array:
    """(N,) the least distance among the points of the same cell."""
    least = np.full(int(cells.max()) + 1, np.inf)
    np.minimum.at(least, cells, distance_m)
    return np.asarray(least[cells])


def slack_m(facing: Array, cell_m: float | Array) -> Array:
    """How much farther than its cell's nearest a point may be and belong to the same, maybe slanted, surface."""
    slope = np.sqrt(np.maximum(0, 1 - facing**2)) / np.maximum(facing, 0.25)
    return np.asarray(cell_m * (0.25 + 0.7 * slope))


def directions(count: int) -> Array:
    """(count, 3) unit vectors spread evenly over the sphere (Fibonacci lattice)."""
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    turn = np.pi * (1 + np.sqrt(5)) * i
    level = np.sqrt(1 - z * z)
    return np.stack([level * np.cos(turn), level * np.sin(turn), z], axis=1)
