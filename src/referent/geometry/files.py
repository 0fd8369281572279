"""One masked RGB-D picture on disk to a pose: what `referent pose` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from referent.coded_size import require_size
from referent.config import GeometryConfig, InputConfig
from referent.errors import BadMessage
from referent.geometry.camera import known_depth
from referent.geometry.estimate import estimate_pose, look
from referent.geometry.model_track import ModelTrack
from referent.geometry.models.loading import load_model
from referent.geometry.poses import quaternion_xyzw, rigid, rotation_from_quaternion
from referent.geometry.registered import register_depth
from referent.messages import metres_from_counts
from referent.types import Array, Intrinsics, ObjectPose, RgbdFrame

_CAMERA_KEYS = ("width", "height", "fx", "fy", "cx", "cy")
_CAMERA_FRAME = "camera_color_optical_frame"


def pose_from_files(
    color: Path | str,
    depth: Path | str,
    mask: Path | str,
    camera: Path | str,
    *,
    depth_camera: Path | str | None = None,
    color_from_depth: Path | str | None = None,
    model: Path | str | None = None,
    up_in_camera: Sequence[float] | None = None,
    config: GeometryConfig | None = None,
    inputs: InputConfig | None = None,
) -> dict[str, Any] | None:
    """The `pose` object of results.jsonl, with `point_count`, for one picture; None when too few points remain.

    Depth is a 16-bit PNG in counts of `inputs.depth_unit_m` or a float32 `.npy` in metres; the mask any image whose
    non-zero pixels are the object; the camera a JSON of width, height, fx, fy, cx, cy. Depth that is not registered to
    color is registered here, given the camera that took it and, unless both are in one place, `color_from_depth`:
    a JSON of translation_m and quaternion_xyzw, or of matrix, that moves points of depth's optical frame into color's.
    With a `model` file (obj, ply, stl, or a list of points) the pose is that model's, laid on the depth; `up_in_camera`
    is the direction against gravity in the camera's optical frame, if known.
    Raises BadMessage, one line that names the file and the way out, for anything else, for an empty mask and for a
    picture without any depth.
    """
    inputs = inputs or InputConfig()
    if color_from_depth is not None and depth_camera is None:
        raise BadMessage(f"{color_from_depth}: the camera of the depth picture is needed with it (--depth-camera)")
    intrinsics = read_camera(Path(camera))
    rgb = read_color(Path(color), intrinsics)
    taken_by = intrinsics if depth_camera is None else read_camera(Path(depth_camera))
    depth_m = read_depth(Path(depth), taken_by, unit_m=inputs.depth_unit_m, max_depth_m=inputs.max_depth_m)
    if depth_camera is not None:
        between = np.eye(4) if color_from_depth is None else read_transform(Path(color_from_depth))
        depth_m = register_depth(depth_m, taken_by, between, intrinsics)
    covered = read_mask(Path(mask), intrinsics)
    frame = RgbdFrame(0, _CAMERA_FRAME, rgb, depth_m, intrinsics)
    config = config or GeometryConfig()
    up = None if up_in_camera is None else _direction(up_in_camera)
    if model is not None:
        pose = _pose_of_model(frame, covered, Path(model), config, up)
    else:
        pose = estimate_pose(frame, covered, config, up_in_camera=up)
    return None if pose is None else pose_as_json(pose, _CAMERA_FRAME)


def _direction(values: Sequence[float]) -> Array:
    up = np.asarray(values, np.float64)
    if up.shape != (3,) or not np.isfinite(up).all() or np.linalg.norm(up) < 1e-6:
        raise BadMessage(f"up {list(values)}: three numbers are needed that give a direction, such as 0 -1 0")
    return up


def _pose_of_model(
    frame: RgbdFrame, mask: Array, file: Path, config: GeometryConfig, up_in_camera: Array | None
) -> ObjectPose | None:
    seen = look(frame, mask, config, up_in_camera=up_in_camera)
    if seen is None:
        return None
    track = ModelTrack(config, load_model(file))
    pose = track.step(frame, mask, seen, up_in_camera=up_in_camera, fixed_from_camera=None)
    if pose is None:
        raise BadMessage(f"{file}: this model does not lie on what the mask covers; without --model its box is given")
    return pose


def pose_as_json(pose: ObjectPose, frame: str) -> dict[str, Any]:
    """A pose as results.jsonl holds it, with the number of points behind it."""
    return {
        "frame": frame,
        "position_m": pose.box.camera_from_object[:3, 3].tolist(),
        "quaternion_xyzw": quaternion_xyzw(pose.box.camera_from_object).tolist(),
        "size_m": pose.box.size_m.tolist(),
        "covariance": pose.covariance.ravel().tolist(),
        "orientation_known": pose.box.orientation_known,
        "point_count": pose.box.point_count,
        "quality": {
            "source": pose.quality.source,
            "residual_m": pose.quality.residual_m,
            "unobserved": list(pose.quality.unobserved),
        },
    }


def read_camera(path: Path) -> Intrinsics:
    """The pinhole camera of a JSON file."""
    values = _json(path)
    if not isinstance(values, dict) or any(not _is_number(values.get(key)) for key in _CAMERA_KEYS):
        raise BadMessage(f"{path}: a camera is a JSON object of numbers named {', '.join(_CAMERA_KEYS)}")
    if values["width"] != int(values["width"]) or values["height"] != int(values["height"]):
        raise BadMessage(f"{path}: width {values['width']} and height {values['height']} must be whole pixels")
    try:
        return Intrinsics(
            int(values["width"]), int(values["height"]), *(float(values[key]) for key in _CAMERA_KEYS[2:])
        )
    except ValueError as error:
        raise BadMessage(f"{path}: {error}") from error


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
    turn = matrix[:3, :3]
    if not np.isfinite(matrix).all() or not np.allclose(turn @ turn.T, np.eye(3), atol=0.01) or np.linalg.det(turn) < 0:
        raise BadMessage(f"{path}: {matrix.tolist()} is not rigid")
    return matrix


def read_color(path: Path, intrinsics: Intrinsics) -> Array:
    """An image file as (H, W, 3) uint8 RGB."""
    image = _image(path, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(_sized(path, image, intrinsics)[..., ::-1])


def read_mask(path: Path, intrinsics: Intrinsics) -> Array:
    """An image file as (H, W) bool: non-zero in any channel is inside. BadMessage for an empty mask."""
    image = _sized(path, _image(path, cv2.IMREAD_UNCHANGED), intrinsics)
    if image.ndim == 3 and image.shape[2] == 4:
        image = image[..., :3]  # opacity says nothing about the object
    inside = image != 0 if image.ndim == 2 else (image != 0).any(axis=2)
    if not inside.any():
        raise BadMessage(f"{path}: the mask is empty; its non-zero pixels must cover the object")
    return np.asarray(inside)


def read_depth(path: Path, intrinsics: Intrinsics, *, unit_m: float, max_depth_m: float) -> Array:
    """A 16-bit image or a float32 `.npy` as (H, W) float32 metres, NaN = unknown."""
    metres = _depth_npy(path) if path.suffix == ".npy" else _depth_image(path, unit_m, max_depth_m)
    depth = _sized(path, metres, intrinsics)
    depth = np.where(known_depth(depth) & (depth <= max_depth_m), depth, np.nan).astype(np.float32)
    if np.isnan(depth).all():
        raise BadMessage(f"{path}: no pixel holds a depth between 0 and {max_depth_m:g} m; all are unknown")
    return np.asarray(depth)


def _depth_image(path: Path, unit_m: float, max_depth_m: float) -> Array:
    counts = _image(path, cv2.IMREAD_UNCHANGED)
    if counts.dtype != np.uint16 or counts.ndim != 2:
        raise BadMessage(f"{path}: depth is {counts.dtype} {counts.shape}; a 16-bit single-channel PNG in mm is needed")
    return metres_from_counts(counts, unit_m=unit_m, max_depth_m=max_depth_m)


def _depth_npy(path: Path) -> Array:
    _bytes(path)
    try:
        depth = np.load(path, allow_pickle=False, mmap_mode="r")  # makes no more room than the file has
    except (ValueError, EOFError, OSError) as error:
        raise BadMessage(f"{path}: not a NumPy array ({error})") from error
    if not isinstance(depth, np.ndarray) or depth.dtype != np.float32 or depth.ndim != 2:
        found = f"{depth.dtype} {depth.shape}" if isinstance(depth, np.ndarray) else "an archive"
        raise BadMessage(f"{path}: depth is {found}; float32 (H, W) in metres is needed")
    return np.array(depth)


def _json(path: Path) -> Any:
    try:
        return json.loads(_bytes(path))
    except (ValueError, UnicodeDecodeError) as error:
        raise BadMessage(f"{path}: not JSON ({error})") from error


def _image(path: Path, flags: int) -> Array:
    data = np.frombuffer(_bytes(path), np.uint8)
    require_size(data, str(path), known="not an image that can be read (PNG or JPEG is needed)")
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise BadMessage(f"{path}: not an image that can be read ({error.err})") from error
    if image is None:
        raise BadMessage(f"{path}: not an image that can be read (PNG or JPEG is needed)")
    return np.asarray(image)


def _sized(path: Path, image: Array, intrinsics: Intrinsics) -> Array:
    height, width = image.shape[:2]
    if (width, height) != (intrinsics.width, intrinsics.height):
        raise BadMessage(f"{path}: {width}x{height} pixels, but the camera has {intrinsics.width}x{intrinsics.height}")
    return image


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadMessage(f"{path}: cannot be read ({error.strerror})") from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
