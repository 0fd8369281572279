"""Boxes `xyxy` in pixels, as this room compares them."""

from __future__ import annotations

import numpy as np

from referent.types import Array


def box_iou(a_xyxy: Array, b_xyxy: Array) -> float:
    """Intersection over union of two (4,) boxes; 0 when both are empty."""
    width, height = np.minimum(a_xyxy[2:], b_xyxy[2:]) - np.maximum(a_xyxy[:2], b_xyxy[:2])
    intersection = max(float(width), 0.0) * max(float(height), 0.0)
    union = float(np.prod(a_xyxy[2:] - a_xyxy[:2]) + np.prod(b_xyxy[2:] - b_xyxy[:2])) - intersection
    return intersection / union if union > 0 else 0.0


def box_area_px(box_xyxy: Array) -> float:
    """Area of a (4,) box."""
    return float(np.prod(np.maximum(box_xyxy[2:] - box_xyxy[:2], 0)))


def mask_box_xyxy(mask: Array) -> Array | None:
    """The tight (4,) float32 box of an (H, W) bool mask, x2 and y2 exclusive; None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return None
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
