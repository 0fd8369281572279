"""Which points of a posed model a camera would see, and whether what it measured there agrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.geometry.camera import known_depth
from referent.geometry.models.model import ObjectModel
from referent.geometry.models.surface import CELL, nearest_in_cell, slack_m
from referent.types import Array, Intrinsics

_UNKNOWN_SHARE = 0.5  # a point outside the mask where nothing was measured speaks half against the pose


@dataclass(frozen=True, eq=False)
class View:
    """One object's depth picture: what a posed model has to agree with."""

    depth_m: Array  # (H, W) float32
    mask: Array  # (H, W) bool
    around: Array  # (H, W) bool: the mask and a border, as masks are off by a few pixels
    intrinsics: Intrinsics
    tolerance_m: float  # depths this close agree


@dataclass(frozen=True, eq=False)
class Seen:
    """The points of a posed model that no other hides, inside the picture."""

    index: Array  # (n,) into the model's points
    z_m: Array  # (n,)
    rows: Array  # (n,)
    columns: Array  # (n,)


def seen_points(model: ObjectModel, camera_from_model: Array, intrinsics: Intrinsics, *, count: int) -> Seen:
    """Of the model's first `count` points those visible at this pose; the nearest in a coarse cell hide others."""
    rotation, shift = camera_from_model[:3, :3], camera_from_model[:3, 3]
    points = model.points_m[:count] @ rotation.T.astype(np.float32) + shift.astype(np.float32)
    z = np.maximum(points[:, 2], 1e-3)
    u = intrinsics.fx * points[:, 0] / z + intrinsics.cx
    v = intrinsics.fy * points[:, 1] / z + intrinsics.cy
    facing = -np.einsum("ni,ni->n", points, model.normals[:count] @ rotation.T.astype(np.float32))
    facing /= np.linalg.norm(points, axis=1)
    towards = (facing > 0.05) | model.is_sheet[:count]
    inside = (points[:, 2] > 1e-3) & (u >= -0.5) & (v >= -0.5)
    inside &= (u < intrinsics.width - 0.5) & (v < intrinsics.height - 0.5)
    kept = np.flatnonzero(inside & towards)
    if len(kept) == 0:
        return Seen(kept, z[kept], kept, kept)
    cell_m = CELL * model.spacing_m * np.sqrt(len(model.points_m) / len(points))
    cell_px = max(1.0, cell_m * intrinsics.fx / float(np.median(z[kept])))
    cells = (v[kept] / cell_px + 1).astype(np.int64) * (int(intrinsics.width / cell_px) + 3) + (
        u[kept] / cell_px + 1
    ).astype(np.int64)
    cells -= cells.min()
    unhidden = z[kept] <= nearest_in_cell(z[kept], cells) + slack_m(np.abs(facing[kept]), cell_m)
    kept = kept[unhidden]
    return Seen(kept, z[kept], np.rint(v[kept]).astype(np.int64), np.rint(u[kept]).astype(np.int64))


def render_score(seen: Seen, view: View) -> float:
    """How well the measured depth agrees with the visible points, from -1 (contradicts all of them) to 1.

    The share that lies at the measured depth in the mask or its border, minus those before it and those beside it.
    Points behind something nearer, outside the mask, are hidden by it and do not count; nor do those where nothing was
    measured in the mask.
    """
    measured = view.depth_m[seen.rows, seen.columns]
    masked, around = view.mask[seen.rows, seen.columns], view.around[seen.rows, seen.columns]
    known = known_depth(measured)
    with np.errstate(invalid="ignore"):
        deeper_m = measured - seen.z_m
        agrees = known & around & (np.abs(deeper_m) <= view.tolerance_m)
        before = known & (deeper_m > view.tolerance_m)
        hidden = known & ~masked & (deeper_m < -view.tolerance_m)
    beside = known & ~around & ~hidden & ~before
    against = before.sum() + beside.sum() + _UNKNOWN_SHARE * (~known & ~around).sum()
    counted = np.count_nonzero(~hidden & (known | ~around))
    return float((agrees.sum() - against) / counted) if counted else 0.0
