"""An object seen from above: which way its sides run, and whether it is round."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np

from referent.geometry.points import ends_of, mean_of, thinned
from referent.types import Array

ALL_AROUND = 0.7  # of the directions: a bent banana reaches 200 degrees around its hollow
_COARSE = np.deg2rad(np.arange(0.0, 90.0, 3.0))
_FINE = np.deg2rad(np.arange(-3.0, 3.01, 0.5))
_YAW_POINTS = 300
_OUTLINE_POINTS = 48
_HULL_POINTS = 4000
_CELLS = 40  # across a footprint, to count neighbours in
_COMPANY = 0.001  # of all points within a cell of a point, itself among them
_TRIPLES = 200
_STRIPS = 40
_LONG = 2.0  # times as long as wide, by standard deviations
_FILLED = 0.6  # of its rectangle
_SECTORS = 36  # of ten degrees each
_ROUND_SHARE = 0.04  # of its radius: how far the hull of something round may be from its circle
_BODY_ARC = 0.28  # of all directions in which the hull must follow the circle: 100 degrees
_STANDS_OUT_AT_MOST = 0.25  # of the points may be handles and spouts


@dataclass(frozen=True, eq=False)
class Circle:
    """A circle through the visible outline of a footprint."""

    center_m: Array  # (2,)
    radius_m: float
    residual_m: float  # RMS distance of the outline from it
    arc_rad: float  # how much of it was seen


def closeness_yaw(points_m: Array, near_m: float) -> float:
    """The yaw in [0, 90) degrees, in radians, at which (N, 2) points hug the sides of their rectangle best.

    Closeness criterion of L-shape fitting (Zhang et al., Efficient L-Shape Fitting for Vehicle Detection, 2017): unlike
    the least area it does not turn a box of which two sides are seen. Distances below `near_m` count alike.
    """
    points = points_m[thinned(np.arange(len(points_m)), _YAW_POINTS)]
    coarse = _COARSE[int(np.argmax(_closeness(points, _COARSE, near_m)))]
    fine = coarse + _FINE
    return float(fine[int(np.argmax(_closeness(points, fine, near_m)))] % (np.pi / 2))


def _closeness(points: Array, yaws: Array, near_m: float) -> Array:
    """(Y,) the score of each yaw: the sum of 1 / distance of the points from the nearer of the two hugged sides."""
    cos, sin = np.cos(yaws), np.sin(yaws)
    along = _from_hugged_side(np.stack([cos, sin], axis=1) @ points.T)
    across = _from_hugged_side(np.stack([-sin, cos], axis=1) @ points.T)
    return np.asarray((1.0 / np.maximum(np.minimum(along, across), near_m)).sum(axis=1))


def _from_hugged_side(coordinates: Array) -> Array:
    """(Y, N) distances from that end of each row's range which the points are closer to."""
    count = coordinates.shape[1]
    rank = count // 50  # a few stray points must not move the side
    ordered = np.partition(coordinates, (rank, count - 1 - rank), axis=1)
    low, high = ordered[:, rank, None], ordered[:, count - 1 - rank, None]
    from_low, from_high = np.abs(coordinates - low), np.abs(high - coordinates)
    return np.where((from_low.sum(axis=1) < from_high.sum(axis=1))[:, None], from_low, from_high)


def least_area_yaw(outline_m: Array) -> float:
    """The yaw in [0, 90) degrees, in radians, of the smallest rectangle around (N, 2) points."""
    _, _, angle_deg = cv2.minAreaRect(outline_m.astype(np.float32))
    return float(np.deg2rad(angle_deg) % (np.pi / 2))


def outlines(corners_m: Array, camera_m: Array) -> tuple[Array, Array]:
    """(48, 2) points evenly along a convex hull given by its corners, and along that part of it that faces the camera.

    From straight above no side faces the camera more than another, and both are the whole hull.
    """
    start = corners_m
    along = np.roll(start, -1, axis=0) - start
    normals = np.stack([along[:, 1], -along[:, 0]], axis=1)
    middle = start + along / 2
    outwards = np.sign(np.einsum("ij,ij->i", normals, middle - start.mean(axis=0)))
    facing = outwards * np.einsum("ij,ij->i", normals, camera_m - middle) > 0
    lengths = lengths_of(along)
    whole = _evenly(start, along, lengths)
    if lengths[facing].sum() <= 0.3 * lengths.sum():
        return whole, whole
    return whole, _evenly(start[facing], along[facing], lengths[facing])


def _evenly(start: Array, along: Array, lengths: Array) -> Array:
    """(48, 2) points at equal steps of length over the edges that begin at `start`."""
    ends = np.cumsum(lengths)
    at = (np.arange(_OUTLINE_POINTS) + 0.5) / _OUTLINE_POINTS * ends[-1]
    edge = np.minimum(np.searchsorted(ends, at), len(ends) - 1)
    share = 1 - (ends[edge] - at) / np.maximum(lengths[edge], 1e-12)
    return np.asarray(start[edge] + along[edge] * share[:, None])


def fit_circle(outline_m: Array) -> Circle | None:
    """The circle nearest to (N, 2) points, geometrically; None when they lie on a line."""
    middle = outline_m.mean(axis=0)
    scale = float(np.abs(outline_m - middle).max())
    if scale <= 0:
        return None
    xy = (outline_m - middle) / scale
    design = np.column_stack([2 * xy, np.ones(len(xy))])
    (x, y, rest), _, rank, _ = np.linalg.lstsq(design, (xy**2).sum(axis=1), rcond=1e-9)
    squared = rest + x * x + y * y
    if rank < 3 or not 0 < squared < 1e4:
        return None
    center, radius = _polished(xy, np.array([x, y]), float(np.sqrt(squared)))
    offsets = xy - center
    residual = float(np.sqrt(np.mean((lengths_of(offsets) - radius) ** 2)))
    return Circle(middle + center * scale, radius * scale, residual * scale, _arc_rad(offsets))


def _polished(xy: Array, center: Array, radius: float) -> tuple[Array, float]:
    """Three Gauss-Newton steps on the true distances: the algebraic start shrinks short arcs."""
    for _ in range(3):
        offsets = xy - center
        distances = np.maximum(lengths_of(offsets), 1e-9)
        jacobian = np.column_stack([-offsets / distances[:, None], -np.ones(len(xy))])
        step = np.linalg.lstsq(jacobian, radius - distances, rcond=1e-9)[0]
        center, radius = center + step[:2], radius + float(step[2])
    return center, abs(radius)


def _arc_rad(offsets: Array) -> float:
    """The angle the directions span: a full turn less their largest gap."""
    angles = np.sort(np.arctan2(offsets[:, 1], offsets[:, 0]))
    gaps = np.diff(angles, append=angles[0] + 2 * np.pi)
    return float(2 * np.pi - gaps.max())


def in_company(points_m: Array) -> Array:
    """(N,) True for points that are not alone: a few strays beside a footprint would turn and round its outline."""
    xy = np.ascontiguousarray(points_m.T)
    xy -= xy.min(axis=1, keepdims=True)
    cell_m = max(float(xy.max()) / _CELLS, 1e-6)
    column, row = (xy / cell_m).astype(int)
    side = _CELLS + 1
    cell = row * side + column
    counts = np.bincount(cell, minlength=side * side).reshape(side, side).astype(np.float32)
    around = cv2.boxFilter(counts, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    company = (around > max(1.0, _COMPANY * len(points_m))).take(cell)
    return np.asarray(company if np.count_nonzero(company) > len(points_m) / 2 else np.ones(len(points_m), bool))


def round_body(points_m: Array, rim_m: Array, tolerance_m: float) -> Circle | None:
    """The circle that most of a footprint's rim follows, whatever else stands out of it; None when none does.

    `points_m` (N, 2) have the camera towards negative y; their rim are the hull's corners and what is nearest to the
    camera. The circles through three of its points are tried, and the best has rim near it on the widest arc. Of a
    rectangle's rim little is near any one circle.
    """
    if len(rim_m) < 8:
        return None
    picks = _triples(len(rim_m))
    centers, radii = _through(rim_m[picks[:, 0]], rim_m[picks[:, 1]], rim_m[picks[:, 2]])
    extent_m = float(np.ptp(rim_m, axis=0).max())
    possible = np.isfinite(radii) & (radii < extent_m) & (radii > extent_m / 8)
    if not possible.any():
        return None
    centers, radii = centers[possible], radii[possible]
    offsets = rim_m.T[:, None, :] - centers.T[:, :, None]
    allowed = np.maximum(tolerance_m, _ROUND_SHARE * radii)[:, None]
    near = np.abs(np.sqrt(offsets[0] ** 2 + offsets[1] ** 2) - radii[:, None]) < allowed
    turns = np.arctan2(offsets[1][near], offsets[0][near]) / (2 * np.pi)
    covered = np.zeros((len(centers), _SECTORS), bool)
    covered[np.nonzero(near)[0], (turns % 1.0 * _SECTORS).astype(int) % _SECTORS] = True
    best = int(np.argmax(covered.sum(axis=1) - 1e-3 * radii / extent_m))
    if covered[best].mean() < _BODY_ARC:
        return None
    circle = fit_circle(rim_m[near[best]])
    if circle is None or abs(circle.radius_m - radii[best]) > 0.3 * radii[best]:
        return None
    outside = lengths_of(points_m - circle.center_m) > circle.radius_m + allowed[best]
    return circle if outside.mean() < _STANDS_OUT_AT_MOST else None


def _triples(count: int) -> Array:
    """(T, 3) different indices below `count`: all of them when they are few, else the same random ones every time."""
    if count <= 12:
        return np.array(list(combinations(range(count), 3)))
    picks = np.random.default_rng(0).integers(0, count, (_TRIPLES, 3))
    different = (picks[:, 0] != picks[:, 1]) & (picks[:, 1] != picks[:, 2]) & (picks[:, 0] != picks[:, 2])
    return np.asarray(picks[different])


def _through(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Centers (T, 2) and radii (T,) of circles through three points each; not finite for points on a line."""
    ab, ac = b - a, c - a
    twice = 2 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        b2, c2 = (ab**2).sum(axis=1), (ac**2).sum(axis=1)
        middle = np.stack([ac[:, 1] * b2 - ab[:, 1] * c2, ab[:, 0] * c2 - ac[:, 0] * b2], axis=1) / twice[:, None]
    return a + middle, np.linalg.norm(middle, axis=1)


def near_rim(points_m: Array) -> Array:
    """(N, 2) of (M, 2) points those nearest to the camera, towards negative y, in each of 40 strips across x."""
    points_m = points_m.take(thinned(np.arange(len(points_m)), _HULL_POINTS), axis=0)
    low, high = ends_of(points_m[:, :1], 0.01)[:, 0]
    strip = np.floor((points_m[:, 0] - low) / max(high - low, 1e-9) * _STRIPS).astype(int)
    order = np.lexsort((points_m[:, 1], strip))
    strip, ordered = strip[order], points_m.take(order, axis=0)
    first = np.flatnonzero(np.diff(strip, prepend=-2) > 0)
    counts = np.diff(first, append=len(strip))
    third = first + np.minimum(2, counts - 1)  # the very nearest may be a stray
    inside = (strip[first] >= 0) & (strip[first] < _STRIPS) & (counts >= 3)
    return np.asarray(ordered[third[inside]])


def elongated_yaw(points_m: Array, cell_m: float) -> float | None:
    """The yaw in [0, 90) degrees, in radians, of the long axis of something long that does not fill its rectangle.

    The long axis of a hammer is its handle's, whatever its head does to rectangles. None for everything else.
    """
    middle = mean_of(points_m)
    offsets = points_m - middle
    spread, axes = np.linalg.eigh(offsets.T @ offsets / max(1, len(offsets) - 1))
    if spread[1] < _LONG**2 * max(spread[0], 1e-12):
        return None
    along = axes.T @ offsets.T
    sides = np.ptp(along, axis=1)
    cells = ((along - along.min(axis=1, keepdims=True)) / cell_m).astype(np.int64)
    filled = np.count_nonzero(np.bincount(cells[0] * (cells[1].max() + 1) + cells[1]))
    if filled * cell_m**2 > _FILLED * float(np.prod(sides)):
        return None
    return float(np.arctan2(axes[1, 1], axes[0, 1]) % (np.pi / 2))


def lengths_of(vectors_m: Array) -> Array:
    """(N,) of (N, D) vectors; several times faster than np.linalg.norm on short ones."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors_m, vectors_m)))


def hull_corners(points_m: Array) -> Array:
    """(N, 2) the corners of the convex hull."""
    sample = points_m.take(thinned(np.arange(len(points_m)), _HULL_POINTS), axis=0).astype(np.float32)
    return np.asarray(cv2.convexHull(sample)[:, 0].astype(np.float64))


def rectangle_residual_m(outline_m: Array, yaw_rad: float) -> float:
    """RMS distance of an outline from the sides of its own rectangle at a yaw."""
    return float(np.sqrt(np.mean(distances_from_sides(outline_m, yaw_rad) ** 2)))


def distances_from_sides(outline_m: Array, yaw_rad: float, *, strays: float = 0.0) -> Array:
    """(N,) distances of (N, 2) points from the nearest side of their own rectangle at a yaw.

    A share of `strays` at each side may lie beyond it.
    """
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turned = outline_m @ np.array([[cos, -sin], [sin, cos]])
    low, high = ends_of(turned, strays)
    return np.asarray(np.minimum(np.abs(turned - low), np.abs(high - turned)).min(axis=1))
