"""Lays points onto a known surface: point-to-plane ICP that shrugs off what does not belong."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from scipy.spatial import cKDTree

from referent.geometry.poses import rigid, skew, transform_points
from referent.types import Array

_DAMPING = np.array([1e-4, 1e-4, 1e-4, 1e-6, 1e-6, 1e-6])  # per point: what nothing holds stays where it was
_ASKED_M = 2e-4  # points that moved less keep the partners they had: neighbours are most of a registration's time
_REACH = 3.0  # times the points' spacing
_LEAST_POINTS = 6  # make a surface
_SETTLED_M = 2e-5
_NORMAL_RAD = 0.05  # by which normals are off
_SETTLED_RAD = 1e-4


@dataclass(frozen=True, eq=False)
class Target:
    """A surface to lay points on, in its own coordinate frame (best with the origin amid the points)."""

    points_m: Array  # (M, 3) float64
    normals: Array  # (M, 3) float64, unit

    @cached_property
    def tree(self) -> cKDTree:
        """Nearest neighbours among the points."""
        return cKDTree(self.points_m)

    @cached_property
    def reach_m(self) -> float:
        """How far along the surface a place on it may be from the nearest of the points."""
        if len(self.points_m) < 2:
            return 0.0
        return _REACH * float(np.median(np.asarray(self.tree.query(self.points_m, k=2)[0])[:, 1]))


@dataclass(frozen=True, eq=False)
class Registration:
    """How points lie on a target."""

    target_from_points: Array  # (4, 4)
    information: Array  # (6, 6) sum of w J^T J, translation then rotation about the target's axes; per m^2 of noise
    residual_m: float  # RMS point-to-plane distance of the points that take part; inf when none does
    overlap: float  # share of the points that lie on the target
    misfit: float  # mean squared distance of all points, in squares of the kernel; at most 1, as of what lies elsewhere
    rotation_center_m: Array  # (3,) in the target: where `information` turns about
    count: int  # points that were laid


def register(
    points_m: Array, target: Target, start: Array, *, kernel_m: float, gate_m: float, steps: int = 12
) -> Registration:
    """Lay (N, 3) `points_m` on `target`, beginning at `start` (4, 4 target_from_points).

    Point-to-plane ICP (Chen and Medioni 1992) with Tukey's biweight of width `kernel_m`; pairs farther apart than
    `gate_m` do not count. Directions that the surface does not hold, such as the yaw of a bottle, stay as at the start.
    """
    points = np.asarray(points_m, np.float64)
    center = transform_points(start, points).mean(axis=0)
    if len(target.points_m) == 0:
        return Registration(start, np.zeros((6, 6)), float("inf"), 0.0, 1.0, center, len(points))
    pose = start.copy()
    nearest = _Nearest(target, gate_m)
    for step in range(steps):
        # Begin with a wide kernel: a start some millimetres off must not lose its pairs.
        kernel = kernel_m * max(1.0, 3.0 - step)
        jacobian, distances, weights, _ = _pairs(points, nearest, pose, center, kernel)
        if np.count_nonzero(weights) < 6:
            break
        weighted = jacobian * weights[:, None]
        hessian = weighted.T @ jacobian + np.diag(_DAMPING) * weights.sum()
        update = np.linalg.solve(hessian, -weighted.T @ distances)
        pose = _moved(pose, update, center)
        if step >= 2 and np.abs(update[:3]).max() < _SETTLED_M and np.abs(update[3:]).max() < _SETTLED_RAD:
            break
    jacobian, distances, weights, near = _pairs(points, nearest, pose, center, kernel_m)
    total = weights.sum()
    residual_m = float(np.sqrt((weights * distances**2).sum() / total)) if total > 0 else float("inf")
    information = _less_of_normals(
        (jacobian * weights[:, None]).T @ jacobian, weights, transform_points(pose, points) - center
    )
    misfit = float(np.where(near, (distances / kernel_m) ** 2, 1.0).mean())
    return Registration(pose, information, residual_m, float(near.mean()), misfit, center, len(points))


def _less_of_normals(information: Array, weights: Array, arms: Array) -> Array:
    """(6, 6) without what the errors of the normals alone would say of a turn, as of a bottle about itself."""
    moment = np.eye(3) * (weights * (arms**2).sum(axis=1)).sum() - (arms * weights[:, None]).T @ arms
    less = information.copy()
    less[3:, 3:] -= _NORMAL_RAD**2 * moment
    values, axes = np.linalg.eigh(less)
    return np.asarray((axes * np.maximum(values, 0.0)) @ axes.T)


def rotation_of(vector: Array) -> Array:
    """(3, 3) rotation by |vector| radians about `vector` (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3) + skew(vector)
    k = skew(vector / angle)
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k)


def rotation_vector(rotation: Array) -> Array:
    """(3,) axis times angle in [0, pi] of a rotation matrix."""
    off = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine, cosine = float(np.linalg.norm(off)) / 2, (float(np.trace(rotation)) - 1) / 2
    angle = float(np.arctan2(sine, cosine))
    if sine > 1e-6:
        return np.asarray(off / (2 * sine) * angle)
    if cosine > 0:
        return np.asarray(off / 2)
    # Half a turn: the axis is the column of R + 1 that is longest.
    columns = rotation + np.eye(3)
    axis = columns[:, int(np.argmax(np.linalg.norm(columns, axis=0)))]
    return np.asarray(axis / np.linalg.norm(axis) * angle)


@final
class _Nearest:
    """Which points of a target are nearest to points that move little by little."""

    def __init__(self, target: Target, gate_m: float) -> None:
        self.target = target
        self._gate_m = gate_m
        self._asked: tuple[Array, Array, Array] | None = None  # where, partners, whether within the gate

    def to(self, placed_m: Array) -> tuple[Array, Array]:
        """(N,) indices of the partners of (N, 3) points, and whether they are within the gate."""
        if self._asked is None or np.abs(placed_m - self._asked[0]).max() > _ASKED_M:
            gaps, partner = self.target.tree.query(placed_m, distance_upper_bound=self._gate_m)
            near = np.isfinite(gaps)
            self._asked = placed_m, np.where(near, partner, 0), near
        return self._asked[1], self._asked[2]


def _pairs(
    points: Array, nearest: _Nearest, pose: Array, center: Array, kernel_m: float
) -> tuple[Array, Array, Array, Array]:
    """Jacobian (N, 6), point-to-plane distances (N,), weights (N,) and which points have a partner (N,) bool."""
    placed = transform_points(pose, points)
    partner, near = nearest.to(placed)
    target = nearest.target
    normals, gaps = target.normals[partner], placed - target.points_m[partner]
    distances = np.einsum("ij,ij->i", gaps, normals)
    # Beyond the border of what is known nothing is known: pairs with the border would drag the points along it.
    near = near & (np.einsum("ij,ij->i", gaps, gaps) - distances**2 < target.reach_m**2)
    weights = np.where(near & (np.abs(distances) < kernel_m), (1 - (distances / kernel_m) ** 2) ** 2, 0.0)
    jacobian = np.concatenate([normals, np.cross(placed - center, normals)], axis=1)
    return jacobian, distances, weights, near & (np.abs(distances) < kernel_m)


def _moved(pose: Array, update: Array, center: Array) -> Array:
    """`pose` moved by a small translation and a rotation about `center`, both in the target's axes."""
    turn = rotation_of(update[3:])
    step = rigid(turn, center - turn @ center + update[:3])
    return np.asarray(step @ pose)


def surface_of(points_m: Array, count: int, reach_m: float, towards: Array) -> Target:
    """A target of about `count` of (N, 3) points, with normals from all neighbours within `reach_m`, more if sparse.

    Normals point to the side of `towards` (3,), where the camera was. Points whose surroundings are no surface are left
    out.
    """
    points = np.asarray(points_m, np.float64)
    if len(points) < _LEAST_POINTS:
        return Target(np.zeros((0, 3)), np.zeros((0, 3)))
    tree = cKDTree(points)
    chosen = points[np.arange(min(count, len(points))) * len(points) // min(count, len(points))]
    neighbours = max(_LEAST_POINTS, min(60, len(points) // 10))
    reach_m = max(reach_m, 2 * float(np.median(np.asarray(tree.query(chosen, k=_LEAST_POINTS)[0])[:, -1])))
    gaps, indices = tree.query(chosen, k=min(neighbours, len(points)), distance_upper_bound=reach_m)
    inside = np.isfinite(gaps)
    around = points[np.where(inside, indices, 0)] * inside[..., None]
    number = np.maximum(inside.sum(axis=1), 1)
    means = around.sum(axis=1) / number[:, None]
    offsets = (around - means[:, None]) * inside[..., None]
    scatter = np.einsum("nki,nkj->nij", offsets, offsets) / number[:, None, None]
    spread, axes = np.linalg.eigh(scatter)
    normals = axes[:, :, 0]
    normals = normals * np.where(np.einsum("ij,ij->i", normals, towards - chosen) < 0, -1.0, 1.0)[:, None]
    flat = (number >= _LEAST_POINTS) & (spread[:, 1] > 1e-12)
    # On the local plane: a noisy point would carry its noise into every later frame.
    onto = chosen - np.einsum("ij,ij->i", chosen - means, normals)[:, None] * normals
    return Target(onto[flat], normals[flat])
