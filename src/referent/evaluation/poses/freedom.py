"""Which turns of an object cannot be told from one another, and which turn is therefore an error.

A box says the same in 24 ways: its axes can be named and pointed otherwise. So every box is first described by the axes
nearest to the truth's. What has a round body can be turned about its own z axis, a ball in any way, and nobody can see
it. A pose that calls its axes a convention (`orientation_known` False) is not asked for its yaw, but where the object
stands upright its z axis is still known.
"""

from __future__ import annotations

from enum import Enum
from itertools import permutations, product

import cv2
import numpy as np

from referent.types import Array

ROUND = frozenset({"cup", "bottle", "bowl", "can", "plate", "jar"})
BALLS = frozenset({"ball"})
UPRIGHT_COS = np.cos(np.deg2rad(2.0))


class Asked(Enum):
    """What of an orientation is judged."""

    ALL = "all"
    AXIS = "axis"  # where the object's z axis points
    NOTHING = "nothing"


def _descriptions() -> Array:
    """(24, 3, 3) the rotations that map the coordinate axes onto each other."""
    every = [
        np.eye(3)[:, list(order)] * signs for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
    ]
    return np.array([matrix for matrix in every if np.linalg.det(matrix) > 0])


DESCRIPTIONS = _descriptions()


def asked(category: str, *, orientation_known: bool, upright: bool) -> Asked:
    """What is judged of a pose of an object of this category; `upright`: its z axis points up in the world."""
    if category in BALLS:
        return Asked.NOTHING
    if category not in ROUND and orientation_known:
        return Asked.ALL
    return Asked.AXIS if orientation_known or upright else Asked.NOTHING


def is_upright(world_from_object: Array) -> bool:
    """Whether the object's z axis points up or down in the world."""
    return bool(abs(world_from_object[2, 2]) > UPRIGHT_COS)


def rotation_vector(rotation: Array) -> Array:
    """(3,) axis times angle of a (3, 3) rotation."""
    return np.asarray(cv2.Rodrigues(np.ascontiguousarray(rotation))[0][:, 0])


def angle_rad(rotation: Array) -> float:
    """By how much a (3, 3) rotation turns."""
    return float(np.linalg.norm(rotation_vector(rotation)))


def nearest_description(axes: Array, true_axes: Array) -> Array:
    """(3, 3) one of the 24: `axes` times it is nearest to `true_axes`."""
    return DESCRIPTIONS[int(np.argmax(np.einsum("kij,ij->k", axes @ DESCRIPTIONS, true_axes)))]


def least_turn(old: Array, new: Array) -> Array:
    """(3, 3) rotation of least angle that maps the unit vector `old` to `new`."""
    axis, cosine = np.cross(old, new), float(old @ new)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:
        if cosine > 0:
            return np.eye(3)
        axis, sine = np.cross(old, np.eye(3)[int(np.argmin(np.abs(old)))]), 0.0
    unit = axis / np.linalg.norm(axis)
    return np.asarray(cv2.Rodrigues(unit * np.arctan2(sine, cosine))[0])


def turn_between(category: str, world_from_before: Array, world_from_after: Array) -> Array:
    """(3, 3) how the axes of a box about the object ought to turn in the world between two true poses (4, 4).

    What cannot be seen to turn ought not to turn: a ball never, round things only with their z axis.
    """
    before, after = world_from_before[:3, :3], world_from_after[:3, :3]
    if category in BALLS:
        return np.eye(3)
    return least_turn(before[:, 2], after[:, 2]) if category in ROUND else after @ before.T
