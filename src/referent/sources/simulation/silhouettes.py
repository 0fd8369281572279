"""How much of an object's whole outline lies inside the picture, also of what sticks out of it."""

from __future__ import annotations

import numpy as np
import torch

from referent.sources.simulation import raycast, stage
from referent.sources.simulation.stage import Stage
from referent.types import Array

GRID = 64  # rays across the outline's box


def in_view_fractions(shots: Stage, instance_ids: list[int]) -> list[float]:
    """For each instance of a stage of one picture the share in [0, 1] of its silhouette inside the picture."""
    corners = stage.corners(shots)
    return [_fraction(shots, np.flatnonzero(shots.instance == number), corners) for number in instance_ids]


def _fraction(shots: Stage, rows: Array, corners: Array) -> float:
    box = _outline_box(shots, corners[rows].reshape(-1, 3))
    if box is None:
        return 0.0
    (left, top), (right, bottom) = box
    if left >= -0.5 and top >= -0.5 and right <= shots.width - 0.5 and bottom <= shots.height - 0.5:
        return 1.0
    if right < -0.5 or bottom < -0.5 or left > shots.width - 0.5 or top > shots.height - 0.5:
        return 0.0
    steps = (np.arange(GRID) + 0.5) / GRID
    x, y = np.meshgrid(left + steps * (right - left), top + steps * (bottom - top))
    covered = _covered(shots, rows, x.ravel(), y.ravel())
    inside = (np.abs(x - (shots.width - 1) / 2) <= shots.width / 2) & (
        np.abs(y - (shots.height - 1) / 2) <= shots.height / 2
    )
    return float((covered & inside.ravel()).sum() / max(covered.sum(), 1))


def _outline_box(shots: Stage, points: Array) -> tuple[Array, Array] | None:
    """Unclipped picture box (2,), (2,) of world points of the first picture; None when any is not before the camera."""
    pose = shots.world_from_camera[0]
    seen = (points - pose[:3, 3]) @ pose[:3, :3]
    if seen[:, 2].min() < stage.NEAR_M:
        return None
    flat = seen[:, :2] / seen[:, 2:] * shots.focal_px[0] + [(shots.width - 1) / 2, (shots.height - 1) / 2]
    return flat.min(axis=0), flat.max(axis=0)


def _covered(shots: Stage, rows: Array, x_px: Array, y_px: Array) -> Array:
    """Whether the rays through picture points (N,) meet any of the surfaces `rows`; (N,) bool."""
    steps, eyes = stage.surface_rays(shots)
    covered = np.zeros(len(x_px), dtype=bool)
    for row in rows:
        toward = np.outer(steps[row, 0:3], x_px) + np.outer(steps[row, 3:6], y_px) + steps[row, 6:9, None]
        rays = torch.from_numpy(toward)
        origin = torch.from_numpy(eyes[row])[:, None].expand_as(rays)
        geometry = torch.from_numpy(shots.geometry[row].astype(np.float64))[:, None].expand(-1, len(x_px))
        if row >= shots.revolved_count:
            distance = raycast.meet_box(
                (origin[0], origin[1], origin[2]), (rays[0], rays[1], rays[2]), geometry[:3], nearest=0.0
            )
        else:
            distance, _ = raycast.meet_revolved(
                (origin[0], origin[1], origin[2]), (rays[0], rays[1], rays[2]), geometry, nearest=0.0
            )
        covered |= (distance < raycast.NEVER).numpy()
    return covered
