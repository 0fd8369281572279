"""From a mask to the object's own depth pixels: no border mixtures, no flying pixels, one connected piece."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from referent.config import GeometryConfig
from referent.geometry.camera import known_depth
from referent.geometry.noise import depth_sigma_m
from referent.types import Array

_SQUARE = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Patch:
    """The part of a picture around a mask, cut out once; all later image work happens here."""

    row: int  # of the patch's first pixel in the picture
    column: int
    depth_m: Array  # (h, w) float32
    mask: Array  # (h, w) bool
    known: Array  # (h, w) bool: depth is a measurement
    edge: Array  # (h, w) bool: depth jumps here


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
    return Patch(top, left, depth, mask[rows, columns], known, depth_edges(depth, known, fx, config))


def depth_edges(depth_m: Array, known: Array, fx: float, config: GeometryConfig) -> Array:
    """Pixels whose 3x3 neighbourhood spans more depth than a surface does: flying pixels and both sides of a step."""
    highest = cv2.dilate(np.where(known, depth_m, 0).astype(np.float32), _SQUARE)
    lowest = cv2.erode(np.where(known, depth_m, 1e9).astype(np.float32), _SQUARE)
    z = np.where(known, depth_m, 1)
    # Nine noisy samples of one surface span about 3 sigma; far away that alone exceeds the configured share.
    allowed = np.maximum(config.edge_fraction * z, 6 * depth_sigma_m(z, fx, config))
    return np.asarray(known & (highest - lowest > allowed))


def object_pixels(patch: Patch, config: GeometryConfig) -> tuple[Array, Array]:
    """Rows and columns, in the whole picture, of the largest piece of the mask that lies on one surface."""
    inside = patch.mask
    if config.erode_px:
        square = np.ones((2 * config.erode_px + 1,) * 2, np.uint8)
        inside = cv2.erode(inside.astype(np.uint8), square).astype(bool)
    kept = _largest_piece(inside & patch.known & ~patch.edge, patch.edge)
    if np.count_nonzero(kept) < config.min_points:  # a thin object: its border is all there is
        kept = _largest_piece(patch.mask & patch.known & ~patch.edge, patch.edge)
    rows, columns = np.nonzero(kept)
    return rows + patch.row, columns + patch.column


def thinned(indices: Array, count: int) -> Array:
    """At most `count` of `indices`, evenly spread, the same ones every time."""
    if len(indices) <= count:
        return indices
    return indices[np.arange(count) * len(indices) // count]


def _largest_piece(keep: Array, edge: Array) -> Array:
    """The largest 4-connected piece of `keep`; holes of a pixel or two do not cut, depth edges do."""
    bridged = cv2.morphologyEx(keep.astype(np.uint8), cv2.MORPH_CLOSE, _SQUARE)
    bridged[edge] = 0
    count, labels = cv2.connectedComponents(bridged, connectivity=4)
    if count <= 1:
        return np.zeros_like(keep)
    sizes = np.bincount(labels[keep], minlength=count)
    sizes[0] = 0
    return np.asarray(keep & (labels == int(np.argmax(sizes))))
