"""From a mask to the object's own depth pixels: no border mixtures, no flying pixels, nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
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
_DEEP = 2.5  # times as deep as it is wide in the picture is what lies pointing away, seen from 20 degrees above it
_AGREEING_SHARE = 0.006  # of depth: neighbours on one thin part differ by less
_AGREEING = 4  # of the nine pixels around, itself among them, and one more
_STRIP_PX = (3.0, 6.0)  # a strip along the mask's border is this wide, for small and for large masks


@dataclass(frozen=True, eq=False)
class Patch:
    """The part of a picture around a mask, cut out once; all later image work happens here."""

    row: int  # of the patch's first pixel in the picture
    column: int
    around: tuple[slice, slice]  # rows and columns, in the patch, of the mask and one pixel more
    fx: float
    depth_m: Array  # (h, w) float32
    mask: Array  # (h, w) bool
    known: Array  # (h, w) bool: depth is a measurement
    edge: Array  # (h, w) bool: known, but depth jumps here
    hole: Array  # (h, w) bool: unknown, but a small hole in one surface


def patch_around(depth_m: Array, mask: Array, fx: float, config: GeometryConfig) -> Patch | None:
    """The mask's bounding box widened by the support ring; None for an empty mask."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    if width == 0 or height == 0:
        return None
    margin = config.plane_ring_px + 2
    top, left = max(0, y - margin), max(0, x - margin)
    rows, columns = slice(top, y + height + margin), slice(left, x + width + margin)
    depth = np.ascontiguousarray(depth_m[rows, columns])
    known = known_depth(depth)
    y, x = y - top, x - left
    around = slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1)
    edge, hole = edges_and_holes(depth, known, fx, config)
    return Patch(top, left, around, fx, depth, np.ascontiguousarray(mask[rows, columns]), known, edge, hole)


def edges_and_holes(depth_m: Array, known: Array, fx: float, config: GeometryConfig) -> tuple[Array, Array]:
    """Known pixels beside a step of depth (and flying ones), and unknown pixels amid one surface.

    A step is where a 3x3 neighbourhood spans more depth than a surface does, a hole where a 5x5 one does not.
    """
    upper = cv2.copyTo(np.asarray(depth_m, np.float32), known.view(np.uint8))
    lower = np.full(depth_m.shape, _FAR_M, np.float32)
    cv2.copyTo(upper, known.view(np.uint8), lower)
    whole = bool(known.all())
    nearest = lower if whole else cv2.erode(lower, _WIDE)
    z = np.minimum(nearest, 100)
    cv2.copyTo(upper, known.view(np.uint8), z)
    # Nine noisy samples of one surface span about 3 sigma; far away that alone exceeds the configured share.
    allowed = np.maximum(config.edge_fraction * z, 6 * depth_sigma_m(z, fx, config))
    edge = known & (cv2.dilate(upper, _SQUARE) - cv2.erode(lower, _SQUARE) > allowed)
    if whole:
        return np.asarray(edge), ~known
    span = cv2.dilate(upper, _WIDE) - nearest
    return np.asarray(edge), np.asarray(~known & (span <= allowed) & (span >= -allowed))


def object_mask(patch: Patch, config: GeometryConfig) -> Array:
    """(h, w) the mask's depth pixels in the patch that lie on one object."""
    inside = patch.mask
    if config.erode_px:
        square = np.ones((2 * config.erode_px + 1,) * 2, np.uint8)
        inside = cv2.erode(inside.astype(np.uint8), square).astype(bool)
    kept = one_object(inside & patch.known & ~patch.edge, patch)
    if np.count_nonzero(kept) < config.min_points:  # a thin object: its border is all there is
        kept = one_object(patch.mask & patch.known & ~patch.edge, patch)
    if _falls_short(kept, patch.mask, config.erode_px):  # so has it parts that are, such as the shaft of a screwdriver
        near = _as_near(kept, patch) & patch.known & patch.mask
        kept = kept | one_object(kept | (near & (~patch.edge | _agreeing(patch))), patch)
    return kept


def _as_near(kept: Array, patch: Patch) -> Array:
    """(h, w) pixels no farther behind or before what is kept than an object of the mask's width: no far background."""
    middle_m = float(np.median(patch.depth_m[kept]))
    width_px = max(np.ptp(np.flatnonzero(patch.mask.any(axis=axis))) + 1 for axis in (0, 1))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(patch.depth_m - middle_m) <= _DEEP * width_px * middle_m / patch.fx)


def border_px(kept: Array, mask: Array, config: GeometryConfig) -> float:
    """How wide a border (h, w) of the mask cleaning left out: what was asked for, less where it left too little else.

    A step of depth takes a pixel at least, and half of the next one is not the object's. The middle of the four sides
    counts: one may be at the picture's border, one cut off by the support.
    """
    lost_px = [px for _, px in _left_out_px(kept, mask)]
    return min(max(float(np.median(lost_px)) if lost_px else 0.0, 1.0), max(config.erode_px, 1)) + 0.5


def _falls_short(kept: Array, mask: Array, erode_px: int) -> bool:
    """Whether cleaning took off more than a border: the mask goes on well beyond what is kept."""
    asked_px = max(0, erode_px - 1)  # a wider border was asked for: that is not short
    return any(
        px.max() - asked_px > max(_SHORT_PX, _SHORT_SHARE * length_px) for length_px, px in _left_out_px(kept, mask)
    )


def _left_out_px(kept: Array, mask: Array) -> Iterator[tuple[int, Array]]:
    """Of columns and rows, how long the mask is, and how much longer (2,) at its ends than what is kept, if any is."""
    if not kept.any():
        return
    for axis in (0, 1):
        seen, masked = np.flatnonzero(kept.any(axis=axis)), np.flatnonzero(mask.any(axis=axis))
        yield int(np.ptp(masked)) + 1, np.array([seen[0] - masked[0], masked[-1] - seen[-1]])


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
    rows, columns = np.divmod(np.flatnonzero(inside), inside.shape[1])  # several times faster than nonzero in 2D
    return rows + patch.row, columns + patch.column


def thinned(indices: Array, count: int) -> Array:
    """At most `count` of `indices`, evenly spread, the same ones every time."""
    if len(indices) <= count:
        return indices
    return indices[np.arange(count) * len(indices) // count]


def mean_of(values: Array) -> Array:
    """(K,) of (N, K) values: np.mean, many times faster where N is large and K small."""
    return np.asarray(np.ascontiguousarray(values.T).mean(axis=1))


def ends_of(values: Array, share: float) -> Array:
    """(2, K) between which all but a `share` at each end of the (N, K) values lie: np.quantile, some times faster."""
    last = len(values) - 1
    at = np.array([share * last, (1 - share) * last])
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, last)
    ordered = np.partition(np.ascontiguousarray(values.T), np.concatenate([below, above]), axis=1)
    return np.asarray(ordered[:, below] + (at - below) * (ordered[:, above] - ordered[:, below])).T


def one_object(keep: Array, patch: Patch) -> Array:
    """The largest 4-connected piece of `keep` and those that belong to it, such as the inside of a cup.

    Small holes in a surface do not cut a piece, depth edges do. Others belong when they are no farther behind or before
    the largest than it is wide, and are more than a strip along the mask's border: that is a loose mask's surroundings.
    """
    found = np.zeros_like(keep)
    inner = np.ascontiguousarray(keep[patch.around])
    if not inner.any():
        return found
    passable = inner | (patch.hole & patch.mask)[patch.around]
    count, labels = cv2.connectedComponents(passable.view(np.uint8), connectivity=4)
    if count == 2:
        found[patch.around] = inner
        return found
    labels *= inner
    sizes = np.bincount(labels.ravel(), minlength=count)
    sizes[0] = 0
    largest = int(np.argmax(sizes))
    pieces = np.flatnonzero(sizes >= max(1, _PIECE_SHARE * sizes[largest]))
    found[patch.around] = _belonging(pieces, labels, largest, patch) if len(pieces) > 1 else labels == largest
    return found


def _belonging(pieces: Array, labels: Array, largest: int, patch: Patch) -> Array:
    """(h, w) around the mask: the largest piece, and those that are as near to it as it is wide and reach as far into
    the mask as an object's part."""
    depth_m = patch.depth_m[patch.around]
    inwards_px = cv2.distanceTransform(patch.mask[patch.around].astype(np.uint8), cv2.DIST_L2, 3)
    found = labels == largest
    middle_m = float(np.median(depth_m[found]))
    near_m = middle_m / patch.fx * max(np.ptp(np.flatnonzero(found.any(axis=axis))) + 1 for axis in (0, 1))
    strip_px = np.clip(0.2 * inwards_px[found].max(), *_STRIP_PX)
    for piece in pieces[pieces != largest]:
        own = labels == piece
        if inwards_px[own].max() > strip_px and abs(np.median(depth_m[own]) - middle_m) <= near_m:
            found |= own
    return np.asarray(found)
