"""Which points of a posed model a camera would see, and whether what it measured there agrees."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from referent.geometry.camera import known_depth
from referent.geometry.models.model import ObjectModel
from referent.geometry.models.surface import CELL, nearest_in_cell, slack_m
from referent.types import Array, Intrinsics

_UNKNOWN_SHARE = 0.5  # a point outside the mask where nothing was measured speaks half against the pose
_AGREE_SHARE = 0.02  # of the diameter: depths this close agree, or 3 sigma of noise,
_AGREE_AT_1_M = 0.007  # or what depth cameras are off by at 1 m
_BORDER_PX = 3
_WINDOW = np.ones((5, 5), np.uint8)  # a pose that is right to a pixel or two agrees at depth edges too
_STEEP = 0.25  # cosine to the viewing ray; surfaces steeper than this are not judged more loosely
_FAR_M = 1e6


@dataclass(frozen=True, eq=False)
class View:
    """The part of a depth picture in which an object can be: what a posed model has to agree with."""

    near_m: Array  # (h, w) float32: the least depth measured close by
    far_m: Array  # (h, w) float32: the greatest; 0 = nothing was measured
    mask: Array  # (h, w) bool
    around: Array  # (h, w) bool: the mask and a border, as masks are off by a few pixels
    intrinsics: Intrinsics  # of this part of the picture
    tolerance_m: float  # depths this close agree
    top: int  # row and column of its first pixel in the whole picture
    left: int


def view_around(
    depth_m: Array, mask: Array, intrinsics: Intrinsics, *, z_m: float, noise_m: float, diameter_m: float
) -> View:
    """The picture around a mask, as far as an object of `diameter_m` at depth `z_m` may reach."""
    reach = int(diameter_m * intrinsics.fx / z_m) + _BORDER_PX
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    left, top = max(0, x - reach), max(0, y - reach)
    rows, columns = slice(top, y + height + reach), slice(left, x + width + reach)
    depth, inside = depth_m[rows, columns], mask[rows, columns]
    known = known_depth(depth)
    near = cv2.erode(np.where(known, depth, _FAR_M).astype(np.float32), _WINDOW)
    far = cv2.dilate(np.where(known, depth, 0).astype(np.float32), _WINDOW)
    around = cv2.dilate(inside.astype(np.uint8), np.ones((2 * _BORDER_PX + 1,) * 2, np.uint8)).astype(bool)
    camera = replace(
        intrinsics, width=depth.shape[1], height=depth.shape[0], cx=intrinsics.cx - left, cy=intrinsics.cy - top
    )
    tolerance_m = max(_AGREE_SHARE * diameter_m, _AGREE_AT_1_M * z_m, 3 * noise_m)
    return View(near, np.where(known, far, 0), inside, around, camera, tolerance_m, top, left)


def points_in(view: View, depth_m: Array, *, z_m: float, within_m: float) -> Array:
    """(N, 3) all that was measured in the mask but at depth edges, and no farther than `within_m` from depth `z_m`."""
    inside = cv2.erode(view.mask.astype(np.uint8), _WINDOW).astype(bool) & (view.far_m > 0)
    inside &= (view.far_m - view.near_m < 2 * view.tolerance_m) & (np.abs(view.near_m - z_m) < within_m)
    rows, columns = np.nonzero(inside)
    camera = view.intrinsics
    z = depth_m[rows + view.top, columns + view.left]
    return np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], axis=1)


@dataclass(frozen=True, eq=False)
class Seen:
    """The points of a posed model that no other hides, inside the picture."""

    index: Array  # (n,) into the model's points
    z_m: Array  # (n,)
    facing: Array  # (n,) cosine between the normal and the way to the camera
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
        return Seen(kept, z[kept], facing[kept], kept, kept)
    cell_m = CELL * model.spacing_m * np.sqrt(len(model.points_m) / len(points))
    cell_px = max(1.0, cell_m * intrinsics.fx / float(np.median(z[kept])))
    cells = (v[kept] / cell_px + 1).astype(np.int64) * (int(intrinsics.width / cell_px) + 3) + (
        u[kept] / cell_px + 1
    ).astype(np.int64)
    cells -= cells.min()
    unhidden = z[kept] <= nearest_in_cell(z[kept], cells) + slack_m(np.abs(facing[kept]), cell_m)
    kept = kept[unhidden]
    rows, columns = np.rint(v[kept]).astype(np.int64), np.rint(u[kept]).astype(np.int64)
    return Seen(kept, z[kept], np.abs(facing[kept]), rows, columns)


def render_score(seen: Seen, view: View) -> float:
    """How well the measured depth agrees with the visible points, from -1 (contradicts all of them) to 1."""
    # Along the normal is what counts: along a steep surface's viewing ray, a small shift is a large step.
    slack_m = view.tolerance_m / np.maximum(seen.facing, _STEEP)
    return float(_scores(seen.rows, seen.columns, seen.z_m, slack_m, view))


def render_scores(points_m: Array, view: View, *, slack_m: float) -> Array:
    """(K,) the same for (K, n, 3) points in the camera's optical frame, all taken to be visible."""
    camera = view.intrinsics
    z = np.maximum(points_m[..., 2], 1e-3)
    columns = np.rint(camera.fx * points_m[..., 0] / z + camera.cx).astype(np.int64)
    rows = np.rint(camera.fy * points_m[..., 1] / z + camera.cy).astype(np.int64)
    columns, rows = np.clip(columns, 0, camera.width - 1), np.clip(rows, 0, camera.height - 1)
    return _scores(rows, columns, z, np.float64(slack_m), view)


def _scores(rows: Array, columns: Array, z_m: Array, slack_m: Array | np.float64, view: View) -> Array:
    """(...,) scores of (..., n) pixels and depths, which may be `slack_m` off.

    The share that lies at the measured depth in the mask or its border, minus those before it and those beside it.
    Points behind something nearer, outside the mask, are hidden by it and do not count; nor do those where nothing was
    measured in the mask.
    """
    near, far = view.near_m[rows, columns], view.far_m[rows, columns]
    known, around = far > 0, view.around[rows, columns]
    before = known & (near - z_m > slack_m)
    behind = known & (z_m - far > slack_m)
    hidden = behind & ~view.mask[rows, columns]
    agrees = known & around & ~before & ~behind
    beside = known & ~around & ~hidden & ~before
    blank = ~known & ~around
    against = before.sum(axis=-1) + beside.sum(axis=-1) + _UNKNOWN_SHARE * blank.sum(axis=-1)
    counted = (~hidden & (known | blank)).sum(axis=-1)
    return np.asarray((agrees.sum(axis=-1) - against) / np.maximum(counted, 1))
