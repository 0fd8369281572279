"""The remembered picture of an object: cut out with room around it, the object always in its middle half."""

from __future__ import annotations

import cv2
import numpy as np

from referent.coded_size import LARGEST_PIXELS, coded_size
from referent.types import Array

MARGIN = 0.5  # of the box's sides on every side, as a grounder is shown a region it is asked about again
_JPEG_QUALITY = 85


def crop_of(rgb: Array, mask: Array, crop_px: int) -> Array:
    """(H, W, 3) uint8 around a mask's box, its longer side at most `crop_px`; beyond the picture its rim goes on."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    low = np.array([columns[0], rows[0]])
    side = np.array([columns[-1], rows[-1]]) + 1 - low
    margin = np.maximum(np.ceil(side * MARGIN).astype(int), 1)
    x1, y1 = low - margin
    x2, y2 = low + side + margin
    height, width = rgb.shape[:2]
    inside = rgb[max(y1, 0) : y2, max(x1, 0) : x2]
    scale = min(1.0, crop_px / max(x2 - x1, y2 - y1))
    top, bottom, left, right = (int(max(rim, 0)) for rim in (-y1, y2 - height, -x1, x2 - width))
    whole = cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE)
    if scale == 1.0:
        return np.asarray(whole)
    size = (max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale)))
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA))


def box_in_crop(picture: Array) -> Array:
    """(4,) float32 xyxy pixels: where the object's box is in a picture made by `crop_of`."""
    height, width = picture.shape[:2]
    low = MARGIN / (1 + 2 * MARGIN)
    return np.array([low * width, low * height, (1 - low) * width, (1 - low) * height], np.float32)


def crop_quality(mask: Array, score: float) -> float:
    """How much a picture shows of an object: its size in pixels, less where the track is unsure."""
    return score * float(np.sqrt(np.count_nonzero(mask)))


def jpeg_from_rgb(rgb: Array) -> bytes:
    """The file's bytes of a (H, W, 3) uint8 picture."""
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise ValueError(f"a picture of {rgb.shape} cannot be written as JPEG")
    return bytes(data)


def rgb_from_jpeg(data: bytes) -> Array | None:
    """(H, W, 3) uint8; None when the bytes are no picture."""
    coded = np.frombuffer(data, np.uint8)
    width, height = coded_size(coded) or (0, 0)
    wrong = width * height == 0 or width * height > LARGEST_PIXELS
    picture = None if wrong else cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return None if picture is None else np.ascontiguousarray(picture[..., ::-1])
