"""From a mask to the object's own depth pixels: no border mixtures, no flying pixels, nothing behind."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from referent.config import GeometryConfig
from referent.geometry.camera import known_depth
from referent.geometry.noise import depth_sigma_m
from referent.types import Array

_SQUARE = np.ones((3, 3), np.uint8)
_WIDE = np.ones((5, 5), np.uint8)
_FAR_M = 1e9
_PIECE_SHARE = 0.03  # of the largest piece; smaller ones are what segmentation and noise leave behind
_SHORT_PX = 8  # beyond what is kept
_SHORT_SHARE = 0.1  # of the mask
_AGREEING_SHARE = 0.006  # of depth: neighbours on one thin part differ by less
_AGREEING = 4  # of the nine pixels around, itself among them, and one more
_STRIP_PX = (3.0, 6.0)  # a strip along the mask's border is this wide, for small and for large masks


@dataclass(frozen=True, eq=False)
class Patch:
    """The part of a picture around a mask, cut out once; all later image work happens here."""

    row: int  # of the patch's first pixel in the picture
    column: int
    fx: float
    depth_m: Array  # (h, w) float32
    mask: Array  # (h, w) bool
    known: Array  # (h, w) bool: depth is a measurement
    edge: Array  # (h, w) bool: known, but depth jumps here
    hole: Array  # (h, w) bool: unknown, but a small hole in one surface


def patch_around(depth_m: Array, mask: Array, fx: float, config: GeometryConfig) -> Patch | None:
    """The mask's bounding box widened by the support ring; None for an empty mask."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if width == 0 or height == 0:
        return None
    margin = config.plane_ring_px + 2
    top, left = max(0, y - margin), max(0, x - margin)
    rows, columns = slice(top, y + height + margin), slice(left, x + width + margin)
    depth = depth_m[rows, columns]
    known = known_depth(depth)
    return Patch(top, left, fx, depth, mask[rows, columns], known, *edges_and_holes(depth, known, fx, config))


def edges_and_holes(depth_m: Array, known: Array, fx: float, config: GeometryConfig) -> tuple[Array, Array]:
    """Known pixels beside a step of depth (and flying ones), and unknown pixels amid one surface.

    A step is where a 3x3 neighbourhood spans more depth than a surface does, a hole where a 5x5 one does not.
    """
    upper = np.where(known, depth_m, 0).astype(np.float32)
    lower = np.where(known, depth_m, _FAR_M).astype(np.float32)
    z = np.where(known, depth_m, np.minimum(cv2.erode(lower, _WIDE), 100))
    # Nine noisy samples of one surface span about 3 sigma; far away that alone exceeds the configured share.
    allowed = np.maximum(config.edge_fraction * z, 6 * depth_sigma_m(z, fx, config))
    edge = known & (cv2.dilate(upper, _SQUARE) - cv2.erode(lower, _SQUARE) > allowed)
    span = cv2.dilate(upper, _WIDE) - cv2.erode(lower, _WIDE)
    return np.asarray(edge), np.asarray(~known & (np.abs(span) <= allowed))


def object_mask(patch: Patch, config: GeometryConfig) -> Array:
    """(h, w) the mask's depth pixels in the patch that lie on one object."""
    inside = patch.mask
    if config.erode_px:
        square = np.ones((2 * config.erode_px + 1,) * 2, np.uint8)
        inside = cv2.erode(inside.astype(np.uint8), square).astype(bool)
    kept = one_object(inside & patch.known & ~patch.edge, patch)
    if np.count_nonzero(kept) < config.min_points:  # a thin object: its border is all there is
        kept = one_object(patch.mask & patch.known & ~patch.edge, patch)
    if _falls_short(kept, patch.mask):  # so has it parts that are, such as the shaft of a screwdriver
        near = _as_near(kept, patch) & patch.known & patch.mask
        kept = kept | one_object(kept | (near & (~patch.edge | _agreeing(patch))), patch)
    return kept


def _as_near(kept: Array, patch: Patch) -> Array:
    """(h, w) pixels no farther behind or before what is kept than the mask is wide: no far background."""
    middle_m = float(np.median(patch.depth_m[kept]))
    width_px = max(np.ptp(np.flatnonzero(patch.mask.any(axis=axis))) + 1 for axis in (0, 1))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(patch.depth_m - middle_m) <= width_px * middle_m / patch.fx)


def _falls_short(kept: Array, mask: Array) -> bool:
    """Whether cleaning took off more than a border: the mask goes on well beyond what is kept."""
    if not kept.any():
        return False
    for axis in (0, 1):
        seen, masked = np.flatnonzero(kept.any(axis=axis)), np.flatnonzero(mask.any(axis=axis))
        beyond_px = max(seen[0] - masked[0], masked[-1] - seen[-1])
        if beyond_px > max(_SHORT_PX, _SHORT_SHARE * (np.ptp(masked) + 1)):
            return True
    return False


def _agreeing(patch: Patch) -> Array:
    """(h, w) masked pixels at a step of depth that lie on a surface all the same: neighbours have their depth.

    A flying pixel has a depth of its own.
    """
    inside = patch.mask & patch.known
    depth = np.pad(np.where(inside, patch.depth_m, np.nan), 1, constant_values=np.nan)
    height, width = inside.shape
    agreeing = np.zeros(inside.shape, np.uint8)
    for row in range(3):
        for column in range(3):
            with np.errstate(invalid="ignore"):
                near = np.abs(depth[row : row + height, column : column + width] - patch.depth_m)
                agreeing += near < _AGREEING_SHARE * patch.depth_m
    return np.asarray(inside & (agreeing > _AGREEING))


def pixels_of(patch: Patch, inside: Array) -> tuple[Array, Array]:
    """Rows and columns in the whole picture of what is True in the patch, row by row."""
    rows, columns = np.nonzero(inside)
    return rows + patch.row, columns + patch.column


def thinned(indices: Array, count: int) -> Array:
    """At most `count` of `indices`, evenly spread, the same ones every time."""
    if len(indices) <= count:
        return indices
    return indices[np.arange(count) * len(indices) // count]


def one_object(keep: Array, patch: Patch) -> Array:
    """The largest 4-connected piece of `keep` and those that belong to it, such as the inside of a cup.

    Small holes in a surface do not cut a piece, depth edges do. Others belong when they are no farther behind or before
    the largest than it is wide, and are more than a strip along the mask's border: that is a loose mask's surroundings.
    """
    if not keep.any():
        return np.zeros_like(keep)
    passable = keep | (patch.hole & patch.mask)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(passable.astype(np.uint8), connectivity=4)
    labels = np.where(keep, labels, 0)
    sizes = np.bincount(labels.ravel(), minlength=count)
    sizes[0] = 0
    largest = int(np.argmax(sizes))
    chosen = np.zeros(count, bool)
    chosen[largest] = True
    others = np.flatnonzero(sizes >= max(1, _PIECE_SHARE * sizes[largest]))
    if len(others) > 1:
        width_px = max(boxes[largest, cv2.CC_STAT_WIDTH], boxes[largest, cv2.CC_STAT_HEIGHT])
        chosen[others] = _belonging(others, labels, largest, int(width_px), patch)
    return np.asarray(chosen[labels])


def _belonging(pieces: Array, labels: Array, largest: int, width_px: int, patch: Patch) -> Array:
    """Which pieces are as near to the largest as it is wide, and reach as far into the mask as an object's part."""
    inwards_px = cv2.distanceTransform(patch.mask.astype(np.uint8), cv2.DIST_L2, 3)
    depth_m = float(np.median(patch.depth_m[labels == largest]))
    strip_px = np.clip(0.2 * inwards_px[labels == largest].max(), *_STRIP_PX)
    own = [labels == piece for piece in pieces]
    steps_m = np.array([abs(np.median(patch.depth_m[inside]) - depth_m) for inside in own])
    reach_px = np.array([inwards_px[inside].max() for inside in own])
    return np.asarray((steps_m <= width_px * depth_m / patch.fx) & (reach_px > strip_px) | (pieces == largest))
