"""Laying depth points on the visible part of a model, exactly, and what that says about the pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from referent.geometry.models.model import ObjectModel
from referent.geometry.models.render import seen_points
from referent.geometry.models.turns import nearest_rotation
from referent.geometry.poses import rigid
from referent.types import Array, Intrinsics

_LEAST_SEEN = 20
_DAMPING = 1e-4


@dataclass(frozen=True, eq=False)
class Laid:
    """Points laid on a model."""

    camera_from_model: Array  # (4, 4)
    information: Array  # (6, 6) per variance of one point: moves, then turns about the camera's axes at the centre
    residual_m: float  # RMS distance of the points from the surface, of those near it
    overlap: float  # share of the points near it


def lay(
    points_m: Array,
    model: ObjectModel,
    start: Array,
    intrinsics: Intrinsics,
    *,
    kernels_m: tuple[float, ...],
    steps: int,
) -> Laid | None:
    """The pose at which `points_m` (M, 3) lie best on what would be seen of the model, from `start` (4, 4).

    One round per kernel (Tukey's, point to plane), each with what is visible where the last one ended. None when
    nothing of the model is in the picture.
    """
    pose = start
    points = points_m.astype(np.float64)
    for kernel_m in kernels_m:
        seen = seen_points(model, pose, intrinsics, count=len(model.points_m))
        if len(seen.index) < _LEAST_SEEN:
            return None
        surface = model.points_m[seen.index].astype(np.float64)
        normals = model.normals[seen.index].astype(np.float64)
        tree = cKDTree(surface)
        for _ in range(steps):
            pose, information, error_m, weight = _step(points, pose, surface, normals, tree, model, kernel_m)
    near = weight > 0
    residual_m = float(np.sqrt(np.mean(error_m[near] ** 2))) if near.any() else float("inf")
    return Laid(pose, information, residual_m, float(np.mean(near)))


def _step(
    points: Array, pose: Array, surface: Array, normals: Array, tree: cKDTree, model: ObjectModel, kernel_m: float
) -> tuple[Array, Array, Array, Array]:
    """One Gauss-Newton step in the camera's axes about the model's centre."""
    rotation, center = pose[:3, :3], pose[:3, :3] @ model.center_m + pose[:3, 3]
    in_model = (points - pose[:3, 3]) @ rotation
    gate_m = kernel_m + model.spacing_m
    apart_m, near = map(np.asarray, tree.query(in_model, distance_upper_bound=gate_m, workers=1))
    found = np.isfinite(apart_m)
    near = np.where(found, near, 0)
    on_model = (surface[near] - model.center_m) @ rotation.T
    facing = normals[near] @ rotation.T
    error_m = np.einsum("ni,ni->n", points - center - on_model, facing)
    weight = found * np.maximum(0, 1 - (error_m / kernel_m) ** 2) ** 2
    jacobian = np.concatenate([facing, np.cross(on_model, facing)], axis=1)
    weighted = jacobian * weight[:, None]
    information = weighted.T @ jacobian
    scale = np.repeat([1.0, model.diameter_m / 2], 3)
    damping = _DAMPING * max(1.0, weight.sum()) * np.diag(scale**2)
    move = np.linalg.solve(information + damping, weighted.T @ error_m)
    turned = nearest_rotation((np.eye(3) + _cross(move[3:])) @ rotation)
    return rigid(turned, center + move[:3] - turned @ model.center_m), information, error_m, weight


def _cross(v: Array) -> Array:
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
