"""A mask that ends short of its object: grown back to where the object's own surface ends."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from referent.geometry.camera import points_at
from referent.geometry.plane import Plane, heights_m
from referent.geometry.points import Patch, pixels_of
from referent.types import Array, Intrinsics

REACH_PX = 8  # beyond the mask that is looked at
_GROWN_PX = 6  # a mask is short by no more than this
_LEAST_SHARE = 0.1  # of the mask's border, in pixels: less is noise


def regrown(
    patch: Patch, kept: Array, depth_m: Array, camera: Intrinsics, plane: Plane, tolerance_m: float
) -> Patch | None:
    """The patch with its mask grown by up to 6 px over the surface of `kept` (h, w); None where nothing was missing.

    It grows only to where that surface ends, at an edge or on its support. Where the surface goes on beyond, it may be
    another object's that stands close by, or all of which the mask is a part: there the mask stays as it is.
    """
    next_to = _dilated(patch.mask, 1) & ~patch.mask
    least_px = _LEAST_SHARE * np.count_nonzero(next_to)
    if np.count_nonzero(_standing(next_to, patch, depth_m, camera, plane, tolerance_m)) < least_px:
        return None
    beyond = _dilated(patch.mask, REACH_PX) & ~patch.mask
    beyond = _standing(beyond, patch, depth_m, camera, plane, tolerance_m)
    own = patch.mask & patch.known & ~patch.edge
    count, labels = cv2.connectedComponents((own | beyond).view(np.uint8), connectivity=4)
    reached = np.zeros(count, bool)
    reached[labels[kept]] = True
    surface = beyond & reached.take(labels)
    near = _dilated(patch.mask, _GROWN_PX)
    grown = surface & near & ~_dilated(surface & ~near, REACH_PX)
    if np.count_nonzero(grown) < least_px:
        return None
    mask = patch.mask | _dilated(grown, 1) & ~(surface & ~grown)  # what cleaning takes off its border is no part of it
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    around = slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1)
    return replace(patch, mask=mask, around=around)


def _standing(
    inside: Array, patch: Patch, depth_m: Array, camera: Intrinsics, plane: Plane, tolerance_m: float
) -> Array:
    """(h, w) those pixels of `inside` that are on some surface above the plane, amid it."""
    standing = inside & patch.known & ~patch.edge
    points_m = points_at(depth_m, *pixels_of(patch, standing), camera)
    standing[standing] = heights_m(points_m, plane) > tolerance_m
    return np.asarray(standing)


def _dilated(mask: Array, by_px: int) -> Array:
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((2 * by_px + 1,) * 2, np.uint8)).view(bool))
