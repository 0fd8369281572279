"""One estimated pose against the truth: centre, sides, axes, and whether its covariance says how wrong it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.evaluation.poses.episodes import Seen
from referent.evaluation.poses.freedom import Asked, asked, is_upright, least_turn, nearest_description, rotation_vector
from referent.types import Array, ObjectPose

FREEDOM = {Asked.ALL: 6, Asked.AXIS: 5, Asked.NOTHING: 3}
BOUND_95 = {3: 7.815, 5: 11.070, 6: 12.592}  # of chi square, by degrees of freedom
SIDE_M, SIDE_SHARE = 0.008, 0.10  # a side may be off by the one or the other


@dataclass(frozen=True, eq=False)
class Placed:
    """What is kept of a pose: no cloud."""

    camera_from_object: Array  # (4, 4)
    size_m: Array  # (3,)
    covariance: Array | None  # (6, 6); None from a chain that gives none
    orientation_known: bool = True
    unobserved: tuple[bool, bool, bool] = (False, False, False)
    source: str = "box"


@dataclass(frozen=True)
class Errors:
    """One pose, judged. Sides and axes are None where they are not asked for."""

    center_m: float
    axis_deg: float | None
    side_m: float | None  # the worst observed side
    side_share: float | None  # the worst of errors by true side
    side_of_bar: float | None  # the worst of errors in units of what a side may be off by
    nees: float | None
    freedom: int  # degrees, of the nees
    center_sigma_m: float | None  # what the covariance says the centre's distance is, in the mean square
    axis_sigma_deg: float | None
    unobserved_sides: int
    asked: Asked

    @property
    def inside(self) -> bool | None:
        """Whether the true pose lies within the covariance's 95 % bound."""
        return None if self.nees is None else self.nees <= BOUND_95[self.freedom]


def placed(pose: ObjectPose | None) -> Placed | None:
    """What is kept of a pose."""
    if pose is None:
        return None
    box = pose.box
    unobserved, source = pose.quality.unobserved, pose.quality.source
    return Placed(box.camera_from_object, box.size_m, pose.covariance, box.orientation_known, unobserved, source)


def compare(given: Placed, seen: Seen, category: str, size_m: Array) -> Errors:
    """Judge a pose of an object of this category and true size (3,)."""
    upright = is_upright(seen.world_from_object)
    wanted = asked(category, orientation_known=given.orientation_known, upright=upright)
    axes, true_axes = given.camera_from_object[:3, :3], seen.camera_from_object[:3, :3]
    off_m = seen.camera_from_object[:3, 3] - given.camera_from_object[:3, 3]
    turn = _turn_to_truth(axes, true_axes, wanted)
    side_m, side_share, side_of_bar = _worst_side(given, true_axes, size_m, wanted)
    told = None if given.covariance is None else asked_of(given.covariance, true_axes[:, 2], wanted)
    return Errors(
        center_m=float(np.linalg.norm(off_m)),
        axis_deg=None if turn is None else float(np.rad2deg(np.linalg.norm(turn))),
        side_m=side_m,
        side_share=side_share,
        side_of_bar=side_of_bar,
        nees=None if given.covariance is None else nees_of(given.covariance, off_m, turn, true_axes[:, 2], wanted),
        freedom=FREEDOM[wanted],
        center_sigma_m=None if told is None else float(np.sqrt(np.trace(told[:3, :3]))),
        axis_sigma_deg=None if told is None or turn is None else float(np.rad2deg(np.sqrt(np.trace(told[3:, 3:])))),
        unobserved_sides=sum(given.unobserved),
        asked=wanted,
    )


def _turn_to_truth(axes: Array, true_axes: Array, wanted: Asked) -> Array | None:
    """(3,) rotation vector in the camera's axes from the nearest description of the box to the truth."""
    if wanted is Asked.NOTHING:
        return None
    if wanted is Asked.ALL:
        return rotation_vector(true_axes @ (axes @ nearest_description(axes, true_axes)).T)
    axis = axes[:, _axis_on(axes, true_axes[:, 2])]
    return rotation_vector(least_turn(axis * np.sign(axis @ true_axes[:, 2]), true_axes[:, 2]))


def _axis_on(axes: Array, direction: Array) -> int:
    return int(np.argmax(np.abs(direction @ axes)))


def _worst_side(
    given: Placed, true_axes: Array, size_m: Array, wanted: Asked
) -> tuple[float, float, float] | tuple[None, None, None]:
    """Worst error of the observed sides: in metres, by the true side, and by what it may be off by."""
    order = _order_of_sides(given, true_axes, size_m, wanted)
    observed = ~np.array(given.unobserved)[order]
    if not observed.any():
        return None, None, None
    off_m = np.abs(given.size_m[order] - size_m)[observed]
    allowed_m = np.maximum(SIDE_M, SIDE_SHARE * size_m[observed])
    return float(off_m.max()), float((off_m / size_m[observed]).max()), float((off_m / allowed_m).max())


def _order_of_sides(given: Placed, true_axes: Array, size_m: Array, wanted: Asked) -> Array:
    """(3,) which side of the box belongs to the true x, y, z; what the axes do not tell, the lengths do."""
    axes = given.camera_from_object[:3, :3]
    if wanted is Asked.ALL:
        return np.abs(nearest_description(axes, true_axes)).argmax(axis=0)
    order = np.empty(3, int)
    if wanted is Asked.NOTHING:
        order[np.argsort(size_m)] = np.argsort(given.size_m)
        return order
    height = _axis_on(axes, true_axes[:, 2])
    level = np.delete(np.arange(3), height)
    order[2] = height
    order[np.argsort(size_m[:2])] = level[np.argsort(given.size_m[level])]
    return order


def nees_of(covariance: Array, off_m: Array, turn: Array | None, true_axis: Array, wanted: Asked) -> float:
    """Normalized squared error of what is asked for: 6 numbers, 5 without the yaw about `true_axis`, 3 for a ball.

    What is not asked for is marginalized: its rows and columns are left out of the covariance.
    """
    keep = _kept(true_axis, wanted)
    error = keep @ np.concatenate([off_m, np.zeros(3) if turn is None else turn])
    return float(error @ np.linalg.solve(asked_of(covariance, true_axis, wanted), error))


def asked_of(covariance: Array, true_axis: Array, wanted: Asked) -> Array:
    """The covariance of what is asked for."""
    keep = _kept(true_axis, wanted)
    return np.asarray(keep @ covariance @ keep.T)


def _kept(true_axis: Array, wanted: Asked) -> Array:
    """(K, 6) directions of the error that are asked for."""
    if wanted is not Asked.AXIS:
        return np.eye(6)[: FREEDOM[wanted]]
    keep = np.zeros((5, 6))
    keep[:3, :3] = np.eye(3)
    keep[3:, 3:] = np.linalg.svd(true_axis[None])[2][1:]
    return keep
