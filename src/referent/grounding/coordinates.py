"""How models write coordinates, and pictures padded so that what they write stays true."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from referent.errors import ConfigError
from referent.types import Array

Quad = tuple[float, float, float, float]
SPACES = ("rel1000", "norm1", "pct100", "px_model")
ORDERS = ("xyxy", "yxyx", "xywh")
PAD_GREY = 114


def pixels_per_unit(
    space: str, *, size: tuple[int, int], model_size: tuple[int, int] | None = None
) -> tuple[float, float]:
    """Factors (x, y) from a model's numbers to pixels of a picture of `size` (width, height).

    rel1000: thousandths of the picture (Qwen3-VL); norm1: 0..1; pct100: 0..100; px_model: pixels of the picture after
    the model's own resize to `model_size` (Qwen2.5-VL).
    """
    width, height = size
    if space == "px_model":
        model_width, model_height = model_size or size
        return width / model_width, height / model_height
    units = {"rel1000": 1000.0, "norm1": 1.0, "pct100": 100.0}
    if space not in units:
        raise ConfigError(f"coordinate space {space!r} is not one of {', '.join(SPACES)}")
    return width / units[space], height / units[space]


def xyxy_from(numbers: Quad, order: str) -> Quad:
    """Corners x1, y1, x2, y2 of a box written in `order`: yxyx = y1, x1, y2, x2; xywh = x1, y1, width, height."""
    a, b, c, d = numbers
    return {"xyxy": (a, b, c, d), "yxyx": (b, a, d, c), "xywh": (a, b, a + c, b + d)}[order]


def numbers_from(xyxy: Quad, order: str) -> Quad:
    """The corners x1, y1, x2, y2 as a model that writes in `order` would: the inverse of `xyxy_from`."""
    x1, y1, x2, y2 = xyxy
    return {"xyxy": (x1, y1, x2, y2), "yxyx": (y1, x1, y2, x2), "xywh": (x1, y1, x2 - x1, y2 - y1)}[order]


def nearest_shape(size: tuple[int, int], shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Of `shapes` (width, height) the one whose aspect is nearest to that of `size`; the first of equal ones."""
    aspect = log(size[0] / size[1])
    return min(shapes, key=lambda shape: abs(log(shape[0] / shape[1]) - aspect))


def padded_size(width: int, height: int, aspect: float) -> tuple[int, int]:
    """The smallest (width, height) that holds the picture and has `aspect` = width / height, to the next pixel."""
    return max(width, round(height * aspect)), max(height, round(width / aspect))


def padded_to_aspect(picture: Array, aspect: float, *, fill: int = PAD_GREY) -> Array:
    """`picture` (H, W[, 3]) with a border at the right or bottom, so that pixel coordinates stay what they are."""
    height, width = picture.shape[:2]
    wide, high = padded_size(width, height, aspect)
    if (wide, high) == (width, height):
        return picture
    padded = np.full((high, wide, *picture.shape[2:]), fill, picture.dtype)
    padded[:height, :width] = picture
    return padded
