"""The words of an answer, as models of the Qwen3-VL family write them: the counterpart of `replies`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from referent.types import Array

THOUSANDTHS = 1000  # coordinates are whole thousandths of the picture


def answer_text(boxes: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """JSON with boxes x1, y1, x2, y2 in thousandths of the picture; `[]` for nothing."""
    return json.dumps([{"bbox_2d": list(box), "label": label} for box, label in zip(boxes, labels, strict=True)])


def thousandths(box_xyxy: Array, size: tuple[int, int]) -> list[int]:
    """A (4,) box in pixels of a picture of `size` (width, height) in whole thousandths of it."""
    edges = np.array([*size, *size], np.float64)
    scaled = np.rint(np.asarray(box_xyxy, np.float64) * (THOUSANDTHS / edges))
    return [int(value) for value in np.clip(scaled, 0, THOUSANDTHS)]
