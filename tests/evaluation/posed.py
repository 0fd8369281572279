"""Builders of what the suite of poses measures: objects on paths before a camera, and poses given for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from referent.evaluation.poses.compare import Placed
from referent.evaluation.poses.episodes import Episode, Seen
from referent.evaluation.poses.follow import METHODS, SINGLE, TRACK, UNAWARE, Followed
from referent.geometry.poses import rigid, rigid_inverse
from referent.sources.simulation.world import look
from referent.types import Array

SIZE_M = np.array([0.12, 0.08, 0.05])
EPISODE = Episode("painted", 1, 120, 30.0)


def turned(axis: Sequence[float], degrees: float) -> Array:
    """(3, 3) rotation about an axis, by Rodrigues' formula."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def standing(*, yaw_deg: float = 20.0, at: Sequence[float] = (0.05, 0.02, 0.03)) -> Array:
    """world_from_object (4, 4) of what stands upright."""
    return rigid(turned((0, 0, 1), yaw_deg), np.asarray(at, float))


def camera(*, aside_m: float = 0.0) -> Array:
    """world_from_camera (4, 4) that looks down at the middle of the table."""
    return look(np.array([aside_m, -0.6, 0.5]), np.zeros(3))


def seen(
    world_from_object: Array | None = None,
    world_from_camera: Array | None = None,
    *,
    index: int = 0,
    share: float = 1.0,
) -> Seen:
    """One object in one frame."""
    view = camera() if world_from_camera is None else world_from_camera
    thing = standing() if world_from_object is None else world_from_object
    return Seen(index, view, rigid_inverse(view) @ thing, share, round(5000 * share))


def given(truth: Seen, error: Array | None = None, **fields: object) -> Placed:
    """The true pose, moved by `error` (4, 4) in the object's own frame."""
    pose = truth.camera_from_object @ (np.eye(4) if error is None else error)
    return Placed(pose, **{"size_m": SIZE_M, "covariance": np.eye(6) * 1e-4, **fields})  # type: ignore[arg-type]


def followed(
    truths: Sequence[Seen],
    poses: Callable[[int, Seen], Placed | None] = lambda _, truth: given(truth),
    *,
    category: str = "box",
    episode: Episode = EPISODE,
) -> Followed:
    """An object and what is given for it, the same by every method that runs in every frame."""
    one = Followed(episode, 1, category, SIZE_M, list(truths))
    series = [poses(place, truth) for place, truth in enumerate(truths)]
    one.poses.update(
        {name: list(series) if name in (TRACK, UNAWARE, SINGLE) else [None] * len(series) for name in METHODS}
    )
    one.took_s.extend([0.01] * len(series))
    return one
