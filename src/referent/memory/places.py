"""Where a remembered thing is in the fixed frame, how sure that is, and how two looks at it become one.

Covariances are in ROS order: x, y, z in metres, then rotations about the fixed frame's x, y, z in radians, which turn
the object about its own position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from referent.config import MemoryConfig
from referent.errors import BadMessage
from referent.types import Array, ObjectPose

_UNKNOWN_ANGLE_RAD = np.pi / np.sqrt(3)  # sigma of an angle nothing is known of
_SAME_TURN = 3.0  # sigmas two looks at one orientation may differ, else the axes were named anew
_RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Place:
    """A pose with its covariance and size. How unsure the camera's own place is comes on top, see `published`."""

    fixed_from_object: Array  # (4, 4) float64
    covariance: Array  # (6, 6) float64
    size_m: Array  # (3,) float64, along the object's x, y, z

    @property
    def position_m(self) -> Array:
        """(3,) the middle of the object."""
        return np.asarray(self.fixed_from_object[:3, 3])

    @property
    def width_m(self) -> float:
        """The middle one of its three sides: two such things stand at least about so far from each other."""
        return float(sorted(self.size_m)[1])


def seen_place(pose: ObjectPose, fixed_from_camera: Array, config: MemoryConfig) -> Place | None:
    """What a frame's pose says in the fixed frame; None when its numbers are none.

    The error of the camera's direction is part of it: it moves what is seen by its distance.
    """
    place = Place(pose.box.camera_from_object, pose.covariance, pose.box.size_m)
    numbers = (place.fixed_from_object, place.covariance, place.size_m)
    if not all(np.isfinite(part).all() for part in numbers) or not np.all(place.size_m > 0):
        return None
    symmetric = (place.covariance + place.covariance.T) / 2
    if np.linalg.eigvalsh(symmetric)[0] <= 0:
        return None
    seen = carried(place, fixed_from_camera)
    lever = np.vstack([-_cross(seen.position_m - fixed_from_camera[:3, 3]), np.eye(3)])
    return replace(seen, covariance=seen.covariance + np.deg2rad(config.frame_sigma_deg) ** 2 * lever @ lever.T)


def carried(place: Place, new_from_old: Array) -> Place:
    """A place of the old coordinate frame in the new one."""
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = new_from_old[:3, :3]
    covariance = turn @ place.covariance @ turn.T
    return Place(new_from_old @ place.fixed_from_object, (covariance + covariance.T) / 2, place.size_m)


def aged(place: Place, age_s: float, config: MemoryConfig) -> Place:
    """What a place is worth after `age_s` without a look: a random walk, so sigmas grow with the root of time."""
    hours = max(age_s, 0.0) / 3600
    walked = np.repeat([config.drift_m**2, np.deg2rad(config.drift_deg) ** 2], 3) * hours
    unknown = np.maximum(_UNKNOWN_ANGLE_RAD**2 - np.diag(place.covariance)[3:], 0)
    walked[3:] = np.minimum(walked[3:], unknown)  # less than nothing cannot be known
    return Place(place.fixed_from_object, place.covariance + np.diag(walked), place.size_m)


def published(place: Place, config: MemoryConfig) -> Place:
    """With the error of the camera's own place, which all looks share and which therefore never averages out."""
    shared = np.diag(np.repeat([config.frame_sigma_m**2, 0.0], 3))
    return Place(place.fixed_from_object, place.covariance + shared, place.size_m)


def fused(kept: Place, seen: Place, *, independent: bool) -> Place:
    """Both looks at a thing that rests, weighted by their information.

    Looks of one visit share errors (the same side, the same filter): they are combined by covariance intersection
    (Julier and Uhlmann 1997), which claims no more than the better one knows in any direction. Looks of two visits are
    independent and add up. Where the orientations contradict, that, and the sides it goes with, is the latest one.
    """
    position, position_covariance, _ = _combined(
        seen.position_m - kept.position_m, kept.covariance[:3, :3], seen.covariance[:3, :3], independent=independent
    )
    rotation, rotation_covariance, size_m = _turned(kept, seen, independent=independent)
    fixed_from_object, covariance = np.eye(4), np.zeros((6, 6))
    fixed_from_object[:3, :3] = rotation
    fixed_from_object[:3, 3] = kept.position_m + position
    covariance[:3, :3], covariance[3:, 3:] = position_covariance, rotation_covariance
    return Place(fixed_from_object, covariance, size_m)


def has_moved(kept: Place, seen: Place, config: MemoryConfig) -> bool:
    """Whether two looks at one thing cannot both be true of it."""
    spread = published(kept, config).covariance[:3, :3] + seen.covariance[:3, :3]
    return distance_sigmas(kept, seen, spread) > config.gate_sigmas


def distance_sigmas(a: Place, b: Place, spread: Array) -> float:
    """How many sigmas of `spread` (3, 3) the two middles are apart."""
    offset = b.position_m - a.position_m
    return float(np.sqrt(offset @ np.linalg.solve(spread, offset)))


def distance_m(a: Place, b: Place) -> float:
    """Between the two middles."""
    return float(np.linalg.norm(b.position_m - a.position_m))


def checked_rigid(name: str, a_from_b: Array) -> Array:
    """`a_from_b` as (4, 4) float64. Raises BadMessage unless it is a rigid transform."""
    matrix = np.asarray(a_from_b, np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.array_equal(matrix[3], (0, 0, 0, 1)):
        raise BadMessage(f"{name}: {matrix.tolist()} is no (4, 4) transform of finite numbers")
    rotation = matrix[:3, :3]
    off = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if off > _RIGID_TOLERANCE or np.linalg.det(rotation) < 0:
        raise BadMessage(f"{name}: its rotation {rotation.tolist()} is not orthonormal and right-handed")
    return matrix


def _cross(vector: Array) -> Array:
    """(3, 3) matrix of the cross product `vector x`."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _combined(offset: Array, kept: Array, seen: Array, *, independent: bool) -> tuple[Array, Array, float]:
    """Offset from what is kept, (3, 3) covariance and the weight of what is seen, of two estimates `offset` apart."""
    weight = float(np.trace(kept) / (np.trace(kept) + np.trace(seen)))
    share = (1.0, 1.0) if independent else (1 - weight, weight)
    of_kept, of_seen = share[0] * np.linalg.inv(kept), share[1] * np.linalg.inv(seen)
    covariance = np.linalg.inv(of_kept + of_seen)
    return covariance @ of_seen @ offset, (covariance + covariance.T) / 2, weight


def _turned(kept: Place, seen: Place, *, independent: bool) -> tuple[Array, Array, Array]:
    """Rotation (3, 3), its covariance (3, 3) and size (3,) of both."""
    before, now = (
        Rotation.from_matrix(kept.fixed_from_object[:3, :3]),
        Rotation.from_matrix(seen.fixed_from_object[:3, :3]),
    )
    turn = (now * before.inv()).as_rotvec()
    kept_part, seen_part = kept.covariance[3:, 3:], seen.covariance[3:, 3:]
    off = float(np.sqrt(turn @ np.linalg.solve(kept_part + seen_part, turn)))
    if off > _SAME_TURN or np.linalg.norm(turn) > np.pi / 4:  # beyond, another side may be called x
        return seen.fixed_from_object[:3, :3], seen_part, seen.size_m
    step, covariance, weight = _combined(turn, kept_part, seen_part, independent=independent)
    rotation = (Rotation.from_rotvec(step) * before).as_matrix()
    return rotation, covariance, (1 - weight) * kept.size_m + weight * seen.size_m
