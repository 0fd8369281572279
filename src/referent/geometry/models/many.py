"""Point-to-plane registration of few points from many starts at once, each step one look-up and one stack of solves."""

from __future__ import annotations

import numpy as np

from referent.geometry.models.nearest import NearestGrid
from referent.geometry.models.surface import Surface
from referent.geometry.models.turns import nearest_rotation
from referent.types import Array

_AGREEING = 0.3  # cosine between the normal of a point and of the surface it is laid on
_DAMPING = 1e-3


def lay_many(
    points_m: Array,
    normals: Array,
    starts: Array,
    surface: Surface,
    nearest: NearestGrid,
    *,
    diameter_m: float,
    steps: int = 15,
    kernels: tuple[float, float] = (0.3, 0.06),
) -> Array:
    """`starts` (K, 4, 4) model_from_points, each moved until `points_m` (M, 3) lie on the surface of the model.

    Weights are Tukey's with a kernel that narrows between two shares of the diameter. Points whose normals (M, 3)
    disagree do not count; of an open sheet a normal and its opposite are the same.
    """
    middle, scale = surface.points_m.mean(axis=0), diameter_m / 2
    points, own = points_m.astype(np.float32), normals.astype(np.float32)
    targets, facing = surface.points_m.astype(np.float32), surface.normals.astype(np.float32)
    is_sheet = surface.is_sheet if surface.is_sheet is not None and surface.is_sheet.any() else None
    rotations, shifts = starts[:, :3, :3].astype(np.float64), starts[:, :3, 3].astype(np.float64)
    for kernel in np.geomspace(*kernels, steps) * diameter_m:
        turn = np.swapaxes(rotations, 1, 2).astype(np.float32)
        moved = points @ turn + shifts[:, None].astype(np.float32)
        index = nearest.at(moved)
        normal = facing[index]
        apart = moved - targets[index]
        agreement = np.einsum("kmi,kmi->km", own @ turn, normal)
        fits = (agreement if is_sheet is None else np.where(is_sheet[index], np.abs(agreement), agreement)) > _AGREEING
        weight = np.maximum(0, 1 - np.einsum("kmi,kmi->km", apart, apart) / np.float32(kernel**2)) ** 2 * fits
        arm = (moved - middle.astype(np.float32)) / np.float32(scale)
        jacobian = np.concatenate([np.cross(arm, normal), normal], axis=2)
        weighted = jacobian * weight[..., None]
        error = np.einsum("kmi,kmi->km", apart, normal) / np.float32(scale)
        information = (np.swapaxes(weighted, 1, 2) @ jacobian).astype(np.float64)
        gradient = np.einsum("kmi,km->ki", weighted, error).astype(np.float64)
        damping = _DAMPING * len(points) * np.eye(6)
        step = -np.linalg.solve(information + damping, gradient[..., None])[..., 0]
        turned = _small_turns(step[:, :3])
        shifts = np.einsum("kij,kj->ki", turned, shifts - middle) + middle + step[:, 3:] * scale
        rotations = turned @ rotations
    ends = np.tile(np.eye(4), (len(starts), 1, 1))
    ends[:, :3, :3], ends[:, :3, 3] = nearest_rotation(rotations), shifts
    return ends


def _small_turns(vectors: Array) -> Array:
    """(K, 3, 3) rotations of (K, 3) axis times angle [rad] (Cayley's form, exact enough for steps)."""
    half = vectors / 2
    x, y, z = half.T
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    return np.linalg.solve(np.eye(3) - skew, np.eye(3) + skew)
