"""What poses do over time: jumps of the axes, jitter at rest, drift over many frames. All in the world's frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from referent.evaluation.poses.compare import Placed
from referent.evaluation.poses.episodes import DRIFT_FRAMES, Seen
from referent.evaluation.poses.follow import Followed
from referent.evaluation.poses.freedom import BALLS, ROUND, angle_rad, least_turn, turn_between
from referent.types import Array

JUMP_RAD = float(np.deg2rad(15.0))
REST_M = 1e-4  # moved less than this between two frames is at rest
REST_FRAMES = 30  # in a row, over which jitter is measured
MOVED_M, TURNED_RAD = 0.02, float(np.deg2rad(2.0))  # of the camera, or of the object, that make drift worth measuring


@dataclass(frozen=True)
class Drift:
    """How far a pose is from where the true motion takes the one of `DRIFT_FRAMES` before."""

    center_m: float
    turn_rad: float | None  # of round things only that of their axis, of balls none


def jumps(followed: Followed, method: str) -> tuple[int, int]:
    """How often the axes turn by more than 15 degrees beside what is true, and between how many poses."""
    turned = turns(followed, method)
    return sum(turn > JUMP_RAD for _, turn in turned), len(turned)


def turns(followed: Followed, method: str) -> list[tuple[int, float]]:
    """For each pose but the first, its place and by how much its axes turned beside what is true since the one before.

    Only poses that count. Over a time without poses the last one is compared with the next.
    """
    known = [
        (place, seen, pose)
        for place, (seen, pose) in enumerate(zip(followed.seen, followed.poses[method], strict=True))
        if pose is not None and followed.counts(place)
    ]
    return [(b[0], _turned_rad(followed.category, a[1:], b[1:])) for a, b in pairwise(known)]


def _turned_rad(category: str, a: tuple[Seen, Placed], b: tuple[Seen, Placed]) -> float:
    """By how much the axes turned in the world beside what they ought to."""
    turn = turn_between(category, a[0].world_from_object, b[0].world_from_object)
    given_a, given_b = (seen.world_from_camera @ pose.camera_from_object for seen, pose in (a, b))
    return angle_rad(given_b[:3, :3] @ (turn @ given_a[:3, :3]).T)


def jitters_m(followed: Followed, method: str) -> list[float]:
    """Standard deviation of the centre about its mean, for each `REST_FRAMES` in a row in which the object rests."""
    found, run = list[float](), list[Array]()
    before: Seen | None = None
    for place, (seen, pose) in enumerate(zip(followed.seen, followed.poses[method], strict=True)):
        resting = before is not None and _rests(before, seen)
        before = seen
        if pose is None or not resting or not followed.counts(place):
            run = []
            continue
        run.append((seen.world_from_camera @ pose.camera_from_object)[:3, 3])
        if len(run) == REST_FRAMES:
            found.append(float(np.sqrt(np.var(run, axis=0).sum())))
            run = []
    return found


def _rests(before: Seen, now: Seen) -> bool:
    return float(np.linalg.norm(now.world_from_object - before.world_from_object)) < REST_M


def drift(followed: Followed, method: str, *, start: int) -> Drift | None:
    """The drift from the `start`-th frame on; None where nothing moves, or where either end does not count."""
    end = start + DRIFT_FRAMES
    if len(followed.seen) <= end or not (followed.counts(start) and followed.counts(end)):
        return None
    first, last = followed.poses[method][start], followed.poses[method][end]
    if first is None or last is None or not _moves(followed.seen[start : end + 1]):
        return None
    a, b = (followed.seen[start], first), (followed.seen[end], last)
    return drift_between(followed.category, a, b)


def drift_between(category: str, a: tuple[Seen, Placed], b: tuple[Seen, Placed]) -> Drift:
    """Where the true motion of the object takes the first pose, beside the second."""
    true_a, true_b = a[0].world_from_object, b[0].world_from_object
    turn = turn_between(category, true_a, true_b)
    given_a, given_b = (seen.world_from_camera @ pose.camera_from_object for seen, pose in (a, b))
    expected_m = true_b[:3, 3] + turn @ (given_a[:3, 3] - true_a[:3, 3])
    off_m = float(np.linalg.norm(given_b[:3, 3] - expected_m))
    if category in BALLS:
        return Drift(off_m, None)
    axes = turn @ given_a[:3, :3]
    if category not in ROUND and a[1].orientation_known and b[1].orientation_known:
        return Drift(off_m, angle_rad(given_b[:3, :3] @ axes.T))
    z_axis = true_b[:3, 2]
    carried = given_b[:3, :3] @ (axes.T @ z_axis)  # where the second pose has what the first had at the z axis
    return Drift(off_m, angle_rad(least_turn(z_axis, carried)))


def _moves(seen: Sequence[Seen]) -> bool:
    """Whether the camera or the object moves clearly somewhere on the way."""
    return any(
        _way(seen[0].world_from_camera, one.world_from_camera) or _way(seen[0].world_from_object, one.world_from_object)
        for one in seen
    )


def _way(before: Array, after: Array) -> bool:
    moved_m = float(np.linalg.norm(after[:3, 3] - before[:3, 3]))
    return moved_m > MOVED_M or angle_rad(after[:3, :3] @ before[:3, :3].T) > TURNED_RAD
