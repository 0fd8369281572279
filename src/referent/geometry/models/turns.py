"""Rotations: about an axis, spread over all of them, and how far apart two are."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from referent.types import Array


@cache
def spread_rotations() -> Array:
    """(60, 3, 3) the rotations of an icosahedron: evenly spread, none farther than 45 degrees from one of them."""
    rotations = Rotation.create_group("I").as_matrix()
    rotations.setflags(write=False)
    return np.asarray(rotations)


def about(axis: Array, angle_rad: float) -> Array:
    """(3, 3) rotation by `angle_rad` about the unit vector `axis`."""
    return np.asarray(Rotation.from_rotvec(np.asarray(axis, np.float64) * angle_rad).as_matrix())


def angle_between(a: Array, b: Array) -> Array:
    """(...,) angle [rad] of the turn between rotations (..., 3, 3)."""
    cosine = (np.einsum("...ij,...ij->...", a, b) - 1) / 2
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))


def turn_vector(rotation: Array) -> Array:
    """(3,) axis times angle [rad] of a rotation matrix."""
    return np.asarray(Rotation.from_matrix(rotation).as_rotvec())


def nearest_rotation(matrices: Array) -> Array:
    """(..., 3, 3) the rotations nearest to `matrices`."""
    u, _, vt = np.linalg.svd(matrices)
    u[..., :, -1] *= np.sign(np.linalg.det(u @ vt))[..., None]
    return np.asarray(u @ vt)
