"""Color, depth, masks and transforms from files, each held against the camera it should fit."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from referent.coded_size import LARGEST_PIXELS, require_size
from referent.errors import BadMessage
from referent.geometry.poses import rigid, rotation_from_quaternion
from referent.messages import metres_from_counts
from referent.types import Array, Intrinsics

_UNITS_M = (1e-6, 0.1)  # per count of 16-bit depth, as input.depth_unit_m
_TIFF_STARTS = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_SIDES = {256: "width", 257: "height"}
_SOLID = np.ones((3, 3), np.uint8)  # a value that fills this somewhere is no edge between two others
_SHOWN_VALUES = 12
_MOST_LABELS = 64  # nobody numbers more objects in a picture, but probabilities have more values


def read_color(path: Path, camera: Intrinsics) -> Array:
    """An image file as (H, W, 3) uint8 RGB."""
    image = _sized(path, _image(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), camera)
    return np.ascontiguousarray(image[..., ::-1])


def read_mask(path: Path, camera: Intrinsics, *, value: int | None = None) -> Array:
    """An image file or an `.npy` array as (H, W) bool.

    Inside is what is not 0; of a mask with soft borders, what is more than half; of a picture with a transparent part,
    what is not transparent; with `value`, what has this value in a label image. BadMessage for an empty mask, and for a
    label image without `value`: it covers several objects.
    """
    image = _sized(path, _stored(path), camera)
    values = _one_channel(path, image)
    if value is not None:
        if values.dtype == np.int64 and image.dtype != np.int64:
            raise BadMessage(f"{path}: a picture in color; a label image of one channel is needed with --mask-value")
        inside = values == value
        if not inside.any():
            raise BadMessage(f"{path}: no pixel is {value}; its values are {_shown(values)}")
        return np.asarray(inside)
    inside = _inside(path, values)
    if not inside.any():
        raise BadMessage(f"{path}: the mask is empty; its non-zero pixels must cover the object")
    return inside


def read_depth(path: Path, camera: Intrinsics, *, unit_m: float, max_depth_m: float) -> Array:
    """Depth as (H, W) float32 metres, NaN = unknown: a 16-bit PNG, TIFF or `.npy` in counts of `unit_m`, a TIFF or
    `.npy` of floats in metres."""
    raw = _stored(path)
    if raw.ndim != 2 or not (raw.dtype == np.uint16 or raw.dtype.kind == "f"):
        raise BadMessage(
            f"{path}: depth is {raw.dtype} {raw.shape}; a 16-bit single-channel PNG in mm is needed, or float32 (H, W) "
            "in metres as .npy or .tiff"
        )
    raw = _sized(path, raw, camera)
    if raw.dtype == np.uint16:
        if not _UNITS_M[0] <= unit_m <= _UNITS_M[1]:
            raise BadMessage(f"{path}: {unit_m:g} m per count of 16-bit depth; from {_UNITS_M[0]:g} to {_UNITS_M[1]:g}")
        depth_m = metres_from_counts(raw, unit_m=unit_m, max_depth_m=max_depth_m)
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            known = (raw > 0) & (raw <= max_depth_m)
        depth_m = np.where(known, raw, np.nan).astype(np.float32)
    if np.isnan(depth_m).all():
        raise BadMessage(f"{path}: no pixel holds a depth between 0 and {max_depth_m:g} m; {_instead(raw, unit_m)}")
    return np.asarray(depth_m)


def read_transform(path: Path) -> Array:
    """The rigid transform (4, 4) of a JSON file: translation_m and quaternion_xyzw, or matrix."""
    values = _json(path)
    try:
        if "matrix" in values:
            matrix = np.array(values["matrix"], np.float64).reshape(4, 4)
        else:
            rotation = rotation_from_quaternion(np.array(values["quaternion_xyzw"], np.float64))
            matrix = rigid(rotation, np.array(values["translation_m"], np.float64).reshape(3))
    except (KeyError, TypeError, ValueError) as error:
        raise BadMessage(
            f"{path}: a transform is a JSON object of translation_m [x, y, z] and quaternion_xyzw, or of a 4x4 matrix"
        ) from error
    turn, last = matrix[:3, :3], matrix[3]
    moves = np.isfinite(matrix).all() and np.allclose(turn @ turn.T, np.eye(3), atol=0.01) and np.linalg.det(turn) > 0
    if not moves or not np.allclose(last, [0, 0, 0, 1]):
        raise BadMessage(f"{path}: {matrix.tolist()} is not rigid")
    return matrix


def _one_channel(path: Path, image: Array) -> Array:
    """(H, W) values of a mask; colors become a number each."""
    if image.dtype.kind not in "biu":
        raise BadMessage(f"{path}: a mask of {image.dtype}; whole numbers or booleans are needed")
    if image.ndim == 2:
        return image
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise BadMessage(f"{path}: a mask is (H, W), this is {image.shape}")
    if image.shape[2] == 4 and np.ptp(image[..., 3]) > 0:
        return np.asarray(image[..., 3])  # an object cut out
    channels = [image[..., channel].astype(np.int64) for channel in range(min(image.shape[2], 3))]
    if all(np.array_equal(channels[0], other) for other in channels[1:]):
        return channels[0].astype(image.dtype)  # a grey picture in color
    return np.asarray(sum(channel << (16 * place) for place, channel in enumerate(channels)))


def _inside(path: Path, values: Array) -> Array:
    """(H, W) bool of a mask of one object. BadMessage where there are several."""
    if values.dtype == np.bool_:
        return values
    largest = int(values.max(initial=0))
    soft = np.asarray(values > largest // 2)
    if path.suffix.lower() in (".jpg", ".jpeg") and largest < 256:
        return soft  # its borders ring
    found = np.unique(values[values != 0])
    if len(found) < 2:
        return np.asarray(values != 0)
    same = cv2.erode(np.float64(values), _SOLID) == cv2.dilate(np.float64(values), _SOLID)
    if len(np.unique(values[same & (values != 0)])) < 2:
        return soft  # what lies between inside and outside is a border
    if len(found) > _MOST_LABELS:
        raise BadMessage(
            f"{path}: {len(found)} values up to {largest} are no mask; of a map of how sure a network is, give where "
            f"it is sure enough, such as above {(largest + 1) // 2}"
        )
    raise BadMessage(
        f"{path}: a label image with the values {_shown(values)} covers several objects; say which with --mask-value, "
        "or give a mask of one"
    )


def _shown(values: Array) -> str:
    found = np.unique(values)
    found = found[found != 0]
    more = ", ..." if len(found) > _SHOWN_VALUES else ""
    return ", ".join(str(int(value)) for value in found[:_SHOWN_VALUES]) + more if len(found) else "all 0"


def _instead(raw: Array, unit_m: float) -> str:
    """What there is in a depth picture without any usable depth."""
    with np.errstate(invalid="ignore"):
        known = raw[np.isfinite(raw) & (raw > 0)]
    if known.size == 0:
        return "all are unknown"
    middle = float(np.median(known))
    if raw.dtype == np.uint16:
        return f"its middle count is {middle:g}: is {unit_m:g} m per count right (depth_unit_m in the camera's file)?"
    return f"its middle value is {middle:g}: floats are metres; write millimetres as 16-bit counts"


def _sized(path: Path, image: Array, camera: Intrinsics) -> Array:
    height, width = image.shape[:2] if image.ndim >= 2 else (0, 0)
    if (width, height) != (camera.width, camera.height):
        raise BadMessage(f"{path}: {width}x{height} pixels, but the camera has {camera.width}x{camera.height}")
    return image


def _stored(path: Path) -> Array:
    """What a file holds, as it is."""
    return _array(path) if path.suffix in (".npy", ".npz") else _image(path, cv2.IMREAD_UNCHANGED)


def _image(path: Path, flags: int) -> Array:
    data = np.frombuffer(_bytes(path), np.uint8)
    known = "not an image that can be read (PNG, JPEG or TIFF is needed)"
    tiff = _tiff_size(data)
    if tiff is None:
        require_size(data, str(path), known=known)
    elif tiff[0] * tiff[1] > LARGEST_PIXELS:
        raise BadMessage(f"{path}: {tiff[0]}x{tiff[1]} pixels are more than {LARGEST_PIXELS}")
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise BadMessage(f"{path}: {known} ({error.err})") from error
    if image is None:
        raise BadMessage(f"{path}: {known}")
    return np.asarray(image)


def _tiff_size(data: Array) -> tuple[int, int] | None:
    """Width and height that a TIFF promises in its first directory (TIFF 6.0, section 2); None for what is none."""
    order = _TIFF_STARTS.get(data[:4].tobytes())
    if order is None or data.size < 10:
        return None
    file, sides = data.tobytes(), {"width": 0, "height": 0}
    (at,) = struct.unpack_from(f"{order}I", file, 4)
    if at + 2 > len(file):
        return None
    (count,) = struct.unpack_from(f"{order}H", file, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(file) - 11), 12):
        tag, kind = struct.unpack_from(f"{order}HH", file, entry)
        if tag in _TIFF_SIDES:
            (sides[_TIFF_SIDES[tag]],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", file, entry + 8)
    return (sides["width"], sides["height"]) if all(sides.values()) else None


def _array(path: Path) -> Array:
    _bytes(path)
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")  # makes no more room than the file has
    except (ValueError, EOFError, OSError) as error:
        raise BadMessage(f"{path}: not a NumPy array ({error})") from error
    if not isinstance(array, np.ndarray):
        raise BadMessage(f"{path}: an archive of arrays; save one with numpy.save")
    return np.array(array)


def _json(path: Path) -> Any:
    try:
        return json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"{path}: not JSON ({error})") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadMessage(f"{path}: cannot be read ({error.strerror})") from error
