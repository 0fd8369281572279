"""Rigid poses: quaternions, inverses, and poses with covariance in another coordinate frame."""

from __future__ import annotations

import numpy as np

from referent.types import Array


def quaternion_xyzw(rotation: Array) -> Array:
    """(4,) unit quaternion, w >= 0, of a (3, 3) or the upper left of a (4, 4) rotation matrix."""
    r = np.asarray(rotation, np.float64)[:3, :3]
    # Rows of 4 q q^T: the row with the largest diagonal is safe to divide by (Bar-Itzhack 2000, Shepperd 1978).
    x, y, z = r[0, 0], r[1, 1], r[2, 2]
    outer = np.array(
        [
            [1 + x - y - z, r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[2, 1] - r[1, 2]],
            [r[0, 1] + r[1, 0], 1 - x + y - z, r[1, 2] + r[2, 1], r[0, 2] - r[2, 0]],
            [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], 1 - x - y + z, r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1 + x + y + z],
        ]
    )
    q = outer[int(np.argmax(np.diag(outer)))]
    return np.asarray(q / np.linalg.norm(q) * (1.0 if q[3] >= 0 else -1.0))


def rotation_from_quaternion(xyzw: Array) -> Array:
    """(3, 3) rotation matrix of a quaternion of any length; ValueError for one without direction."""
    q = np.asarray(xyzw, np.float64)
    length = float(np.linalg.norm(q))
    if q.shape != (4,) or not np.isfinite(length) or length < 1e-9:
        raise ValueError(f"quaternion {xyzw!r} has no direction; four finite numbers x, y, z, w are needed")
    x, y, z, w = q / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def rigid(rotation: Array, translation_m: Array) -> Array:
    """(4, 4) float64 transform of a rotation matrix and a translation."""
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = translation_m
    return transform


def rigid_inverse(a_from_b: Array) -> Array:
    """`b_from_a` of a rigid (4, 4) transform."""
    rotation = a_from_b[:3, :3].T
    return rigid(rotation, -rotation @ a_from_b[:3, 3])


def transform_points(a_from_b: Array, points_b: Array) -> Array:
    """(N, 3) points given in b, expressed in a."""
    return np.asarray(points_b @ a_from_b[:3, :3].T + a_from_b[:3, 3])


def transform_pose(
    a_from_b: Array, b_from_object: Array, covariance: Array, *, a_from_b_covariance: Array | None = None
) -> tuple[Array, Array]:
    """A pose and its (6, 6) covariance in b, expressed in a: `(a_from_object, covariance)`.

    Covariances follow ROS: x, y, z in metres, then rotations about the frame's fixed x, y, z in radians; rotations of
    the object turn it about its own position. `a_from_b_covariance` is how unsure b's pose in a is; its rotation moves
    the object by the lever arm from b's origin (the adjoint of SE(3)).
    """
    rotation = a_from_b[:3, :3]
    turn = np.kron(np.eye(2), rotation)
    in_a = turn @ covariance @ turn.T
    if a_from_b_covariance is not None:
        lever = np.eye(6)
        lever[:3, 3:] = -skew(rotation @ b_from_object[:3, 3])
        in_a = in_a + lever @ a_from_b_covariance @ lever.T
    return a_from_b @ b_from_object, (in_a + in_a.T) / 2


def sensor_covariance(sigma_m: float, sigma_deg: float) -> Array | None:
    """(6, 6) of a camera so unsure of its place and direction along and about every axis; None for an exact one."""
    if sigma_m == 0 and sigma_deg == 0:
        return None
    return np.diag(np.repeat([sigma_m**2, np.deg2rad(sigma_deg) ** 2], 3))


def skew(vector: Array) -> Array:
    """(3, 3) matrix of the cross product `vector x`."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
