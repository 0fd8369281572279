"""Which of a box's equal descriptions continues the one given before, so that axes do not flip between frames."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from referent.geometry.poses import rigid
from referent.types import Array, OrientedBox

# A side ratio of 1.3 weighs as much as a turn of 45 degrees: equal sides are told apart by the nearest turn, clearly
# different ones by their length, also after the object has turned unseen.
_TURN_UNIT_RAD = np.pi / 4
_RATIO_UNIT = np.log(1.3)


def _axis_permutations() -> Array:
    """(24, 3, 3) the rotations that map the coordinate axes onto each other."""
    signed = [
        np.eye(3)[:, order] * signs for order in permutations(range(3)) for signs in product((1.0, -1.0), repeat=3)
    ]
    return np.array([matrix for matrix in signed if np.linalg.det(matrix) > 0])


_DESCRIPTIONS = _axis_permutations()


def continue_axes(box: OrientedBox, previous: OrientedBox, *, is_round: bool = False) -> OrientedBox:
    """The same box described by the axes nearest to `previous`: those of least turn and least change of sides.

    A round object has no yaw of its own: it keeps that of `previous`, carried to the new axis by the smallest rotation.
    """
    axes, before = box.camera_from_object[:3, :3], previous.camera_from_object[:3, :3]
    descriptions = axes @ _DESCRIPTIONS
    sizes = np.einsum("kij,i->kj", np.abs(_DESCRIPTIONS), box.size_m)
    turns = np.arccos(np.clip((np.einsum("kij,ij->k", descriptions, before) - 1) / 2, -1, 1))
    changes = np.abs(np.log(sizes / previous.size_m)).max(axis=1)
    if is_round:  # only its axis says something; which way the rest points is settled below
        turns = np.arccos(np.clip(_axis_agreement(axes[:, 2], descriptions, before), -1, 1))
    best = int(np.argmin(turns / _TURN_UNIT_RAD + changes / _RATIO_UNIT))
    chosen = descriptions[best]
    if is_round:
        chosen = _carried(before, axes[:, 2], _DESCRIPTIONS[best])
    return OrientedBox(
        rigid(chosen, box.camera_from_object[:3, 3]), sizes[best], box.point_count, box.orientation_known
    )


def _axis_agreement(axis: Array, descriptions: Array, before: Array) -> Array:
    """(K,) cosine between the round axis now and what each description says it was before."""
    in_object = np.einsum("kij,i->kj", descriptions, axis)
    return np.asarray(in_object @ before.T @ axis)


def _carried(before: Array, axis: Array, description: Array) -> Array:
    """`before` turned by the smallest rotation that brings its round axis onto `axis`."""
    old_axis = before @ description.T[:, 2]
    return proper(smallest_rotation(old_axis, axis) @ before)


def proper(rotation: Array) -> Array:
    """(3, 3) the rotation nearest to one that has gathered rounding errors."""
    left, _, right = np.linalg.svd(rotation)
    return np.asarray(left @ right)


def smallest_rotation(old: Array, new: Array) -> Array:
    """(3, 3) rotation of least angle that maps the direction `old` to `new`."""
    # To the last bit unit: applied to its own result again and again, a length off by little grows beyond bounds.
    old, new = old / np.linalg.norm(old), new / np.linalg.norm(new)
    cosine = float(old @ new)
    if cosine < -1 + 1e-9:  # half a turn about any level axis
        level = np.cross(old, np.eye(3)[int(np.argmin(np.abs(old)))])
        level /= np.linalg.norm(level)
        return np.asarray(2 * np.outer(level, level) - np.eye(3))
    sum_ = old + new
    return np.asarray(np.eye(3) - np.outer(sum_, sum_) / (1 + cosine) + 2 * np.outer(new, old))
