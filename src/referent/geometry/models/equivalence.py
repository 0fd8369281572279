"""Poses that look the same: which of them is nearest to another pose, and how far that still is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.geometry.models.model import ObjectModel
from referent.geometry.models.turns import about, angle_between, turn_vector
from referent.geometry.poses import rigid
from referent.types import Array


@dataclass(frozen=True, eq=False)
class Difference:
    """From one pose to another, or to that of the other's equivalents that is turned least."""

    move_m: Array  # (3,) of the model's centre, in the camera's axes
    turn: Array  # (3,) axis times angle [rad], in the camera's axes
    other: Array  # (4, 4) that equivalent

    def is_within(self, angle_rad: float, length_m: float) -> bool:
        """Whether both the turn and the move are smaller than these."""
        return bool(np.linalg.norm(self.turn) < angle_rad and np.linalg.norm(self.move_m) < length_m)


def difference(model: ObjectModel, pose: Array, other: Array) -> Difference:
    """How `other` (4, 4) camera_from_model differs from `pose`, by all that can be seen."""
    other = other @ same_turned_to(model, other, pose)
    move = ((other - pose) @ np.append(model.center_m, 1.0))[:3]
    return Difference(move, turn_vector(other[:3, :3] @ pose[:3, :3].T), other)


def same_turned_to(model: ObjectModel, pose: Array, wanted: Array) -> Array:
    """(4, 4) model_from_model that looks the same and turns `pose` nearest to `wanted`, both camera_from_model."""
    same = np.stack([s @ _free_turn(model, pose @ s, wanted) for s in model.symmetries])
    return np.asarray(same[int(np.argmin(angle_between((pose @ same)[:, :3, :3], wanted[:3, :3])))])


def _free_turn(model: ObjectModel, pose: Array, wanted: Array) -> Array:
    """(4, 4) the turn about the model's axis, of a ball about any, that brings `pose` nearest to `wanted`."""
    if model.axis is None:
        return np.eye(4)
    turn = pose[:3, :3].T @ wanted[:3, :3]
    if not model.is_ball:
        axis = model.axis
        skew = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        turn = about(axis, float(np.arctan2(skew @ axis, np.trace(turn) - axis @ turn @ axis)))
    return rigid(turn, model.middle_m - turn @ model.middle_m)
