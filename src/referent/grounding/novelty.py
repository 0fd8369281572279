"""How much a picture differs from another, place by place: what has not changed need not be asked about again."""

from __future__ import annotations

import cv2
import numpy as np

from referent.types import Array

PLACES_WH = (32, 24)


def thumbnail(rgb: Array) -> Array:
    """The mean color of each of 32 x 24 places of an (H, W, 3) uint8 picture, as (24, 32, 3) float32 in [0, 1]."""
    return np.asarray(cv2.resize(rgb, PLACES_WH, interpolation=cv2.INTER_AREA), np.float32) / 255.0


def change(one: Array, other: Array) -> float:
    """The largest change of any place between two thumbnails, averaged over the colors, in [0, 1]."""
    return float(np.abs(one - other).mean(axis=2).max())
