"""How much of an object its points may lack: cut by the picture's border, hidden behind something, or dropped."""

from __future__ import annotations

import numpy as np

from referent.config import GeometryConfig
from referent.geometry.camera import rays
from referent.geometry.noise import depth_sigma_m
from referent.geometry.plane import Plane
from referent.geometry.points import Patch, thinned
from referent.types import Array, Intrinsics

_ACROSS_PX = 4  # from the mask's border to what may hide the object; nearer lie mixed pixels
_INSIDE_PX = 2
_DEPTHS = 2000  # more change their median by nothing
_CLEANED_PX = 3.0  # what cleaning takes off both ends of a whole object together


def missing_m(patch: Patch, kept: Array, camera: Intrinsics, config: GeometryConfig, plane: Plane | None) -> Array:
    """(2, 2) metres by which the object may go on beyond `kept` (h, w): left and right, then above and below.

    Where something nearer, or the picture's border, stands along the whole border of the mask, the object may be as
    long again as it is seen; besides, pieces of the mask that were dropped may be its own.
    """
    z_m = float(np.median(thinned(patch.depth_m[kept], _DEPTHS)))
    step_m = max(config.edge_fraction * z_m, 6 * float(depth_sigma_m(z_m, camera.fx, config)))
    lengths_px = np.zeros((2, 2))
    for axis, ways in enumerate((((0, -1), (0, 1)), ((-1, 0), (1, 0)))):
        seen = np.flatnonzero(kept.any(axis=axis))
        masked = np.flatnonzero(patch.mask.any(axis=axis))
        dropped_px = np.array([seen[0] - masked[0], masked[-1] - seen[-1]]) - _CLEANED_PX / 2
        hidden = np.array([_hidden_share(patch, way, camera, plane, step_m) for way in ways])
        hidden /= max(1.0, hidden.sum())
        lengths_px[axis] = np.maximum(0.0, dropped_px) + hidden * (np.ptp(seen) + 1)
    return lengths_px * z_m / camera.fx


def _hidden_share(patch: Patch, way: tuple[int, int], camera: Intrinsics, plane: Plane | None, step_m: float) -> float:
    """Share of the mask's border on one side beyond which the picture ends or something nearer is seen."""
    size = np.array(patch.mask.shape)
    rows, columns = np.divmod(np.flatnonzero(_border(patch.mask, way)), size[1])
    if len(rows) == 0:
        return 0.0
    beyond = np.stack([rows + _ACROSS_PX * way[0], columns + _ACROSS_PX * way[1]])
    outside = ((beyond < 0) | (beyond >= size[:, None])).any(axis=0)
    row, column = np.clip(beyond, 0, size[:, None] - 1)
    inner_row = np.clip(rows - _INSIDE_PX * way[0], 0, size[0] - 1)
    inner_column = np.clip(columns - _INSIDE_PX * way[1], 0, size[1] - 1)
    limit_m = patch.depth_m[inner_row, inner_column]
    if plane is not None:  # the support before the object is nearer too, but hides nothing
        slope = rays(camera)[patch.row + row, patch.column + column] @ plane.normal
        support_m = np.where(slope < -1e-6, plane.offset_m / np.minimum(slope, -1e-6), np.inf)
        limit_m = np.fmin(limit_m, np.where(support_m > 0, support_m, np.inf))
    with np.errstate(invalid="ignore"):
        nearer = ~patch.mask[row, column] & patch.known[row, column] & (patch.depth_m[row, column] < limit_m - step_m)
    return float((outside | nearer).mean())


def _border(mask: Array, way: tuple[int, int]) -> Array:
    """The mask's pixels whose neighbour that way is not in it; beyond the patch there is none."""
    border = mask.copy()
    inwards = slice(1, None) if sum(way) < 0 else slice(None, -1)
    outwards = slice(None, -1) if sum(way) < 0 else slice(1, None)
    if way[0]:
        border[inwards] &= ~mask[outwards]
    else:
        border[:, inwards] &= ~mask[:, outwards]
    return border
