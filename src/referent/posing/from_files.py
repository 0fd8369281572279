"""One RGB-D picture on disk and masks of objects in it to their poses, as results.jsonl holds poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from referent.config import GeometryConfig, InputConfig
from referent.errors import BadMessage
from referent.frames.rectification import largest_bend_px, rectified_depth, rectified_mask, rectified_rgb
from referent.geometry.estimate import estimate_pose, look
from referent.geometry.model_track import ModelTrack
from referent.geometry.models.loading import load_model
from referent.geometry.models.model import ObjectModel
from referent.geometry.poses import quaternion_xyzw
from referent.geometry.registered import register_depth
from referent.geometry.registered_check import registration_shift
from referent.posing.camera_file import CameraFile, read_camera
from referent.posing.picture_files import read_color, read_depth, read_mask, read_transform
from referent.types import Array, ObjectPose, RgbdFrame

Say = Callable[[str], None]
_CAMERA_FRAME = "camera_color_optical_frame"
_BEND_PX = 3.0  # lenses that bend less are as good as rectified
_USUAL_UNIT_M = InputConfig().depth_unit_m


@dataclass(frozen=True)
class PosePictures:
    """The files of one picture. `picture_files` and `camera_file` say what each may be.

    Depth that is not registered to color is registered here, given the camera that took it and, unless both are in one
    place, the transform that moves points of depth's optical frame into color's.
    """

    color: Path
    depth: Path
    camera: Path
    depth_camera: Path | None = None
    color_from_depth: Path | None = None


def poses_from_files(
    pictures: PosePictures,
    masks: Sequence[Path],
    *,
    mask_value: int | None = None,
    model: Path | None = None,
    model_unit: str = "auto",
    up_in_camera: Sequence[float] | None = None,
    config: GeometryConfig | None = None,
    inputs: InputConfig | None = None,
    warn: Say = lambda _: None,
) -> list[dict[str, Any] | None]:
    """Of each mask the `pose` object of results.jsonl, with `point_count`; None when too few points remain.

    `mask_value` is the object's value in a label image. With a `model` file (obj, ply, stl, or a list of points) the
    pose is that model's, laid on the depth; `up_in_camera` is the direction against gravity in the camera's optical
    frame, if known. `inputs.rectified` false undoes the lens's distortion first. `warn` is told what looks wrong and
    why there is no pose. Raises BadMessage, one line that names the file and the way out, for what cannot be used.
    """
    inputs, config = inputs or InputConfig(), config or GeometryConfig()
    up = None if up_in_camera is None else _direction(up_in_camera)
    camera = read_camera(pictures.camera)
    frame = _frame(pictures, camera, inputs, warn)
    known = None if model is None else load_model(model, unit=model_unit)
    poses: list[dict[str, Any] | None] = []
    for file in masks:
        mask = read_mask(file, camera.camera, value=mask_value)
        mask = mask if inputs.rectified else rectified_mask(mask, camera.lens())
        if known is None:
            pose = estimate_pose(frame, mask, config, up_in_camera=up)
        else:
            pose = _pose_of_model(frame, mask, known, config, up, f"{model}")
        if pose is None:
            warn(f"{file}: {_why_none(frame, mask, config)}")
        poses.append(None if pose is None else pose_as_json(pose, _CAMERA_FRAME))
    return poses


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


def _frame(pictures: PosePictures, camera: CameraFile, inputs: InputConfig, warn: Say) -> RgbdFrame:
    """Color and depth as one frame: without distortion, registered."""
    if pictures.color_from_depth is not None and pictures.depth_camera is None:
        raise BadMessage(f"{pictures.color_from_depth}: the camera of the depth picture is needed too (--depth-camera)")
    rgb = read_color(pictures.color, camera.camera)
    depth_m = _registered(pictures, camera, inputs)
    if inputs.rectified:
        _warn_of_lens(camera, warn)
    else:
        rgb = rectified_rgb(rgb, camera.lens())
    frame = RgbdFrame(0, _CAMERA_FRAME, rgb, depth_m, camera.camera)
    if inputs.registration_check_s > 0:
        _warn_of_shift(pictures, frame, warn)
    return frame


def _registered(pictures: PosePictures, camera: CameraFile, inputs: InputConfig) -> Array:
    """Depth as color sees it, without distortion."""
    own = None if pictures.depth_camera is None else read_camera(pictures.depth_camera)
    by = own or camera
    told = by.depth_unit_m if by.depth_unit_m is not None else camera.depth_unit_m
    unit_m = inputs.depth_unit_m if told is None or inputs.depth_unit_m != _USUAL_UNIT_M else told
    try:
        depth_m = read_depth(pictures.depth, by.camera, unit_m=unit_m, max_depth_m=inputs.max_depth_m)
    except BadMessage as error:
        if own is None and "pixels, but the camera has" in str(error):
            raise BadMessage(f"{error}; depth of another camera needs --depth-camera and --color-from-depth") from error
        raise
    if not inputs.rectified:
        depth_m = rectified_depth(depth_m, by.lens())
    if own is None:
        return depth_m
    between = np.eye(4) if pictures.color_from_depth is None else read_transform(pictures.color_from_depth)
    seen_m = register_depth(depth_m, own.camera, between, camera.camera)
    if np.isnan(seen_m).all():
        raise BadMessage(
            f"{pictures.color_from_depth or pictures.depth}: nothing of depth is in the color camera's view; is the "
            "transform in metres, and from depth's optical frame to color's?"
        )
    return seen_m


def _warn_of_lens(camera: CameraFile, warn: Say) -> None:
    with suppress(BadMessage):  # a lens that nobody can undo matters only where that is asked for
        bend_px = largest_bend_px(camera.lens())
        if bend_px > _BEND_PX:
            warn(
                f"{camera.path}: tells of a lens that moves pixels by up to {bend_px:.0f} px; the pictures are taken "
                "as rectified, give --set input.rectified=false if they are not"
            )


def _warn_of_shift(pictures: PosePictures, frame: RgbdFrame, warn: Say) -> None:
    assert frame.depth_m is not None
    found = registration_shift(frame.rgb, frame.depth_m)
    if found is not None and found.misfit:
        x, y = found.shift_px
        warn(
            f"{pictures.depth}: does not fit color: its edges agree {1 / max(found.agreement, 0.05):.1f} times better "
            f"when scaled by {found.scale:.2f} and moved by ({x:.0f}, {y:.0f}) px; give depth registered to color, or "
            "--depth-camera and --color-from-depth"
        )


def _direction(values: Sequence[float]) -> Array:
    up = np.asarray(values, np.float64)
    if up.shape != (3,) or not np.isfinite(up).all() or np.linalg.norm(up) < 1e-6:
        raise BadMessage(f"up {list(values)}: three numbers are needed that give a direction, such as 0 -1 0")
    return up


def _pose_of_model(
    frame: RgbdFrame, mask: Array, model: ObjectModel, config: GeometryConfig, up: Array | None, file: str
) -> ObjectPose | None:
    seen = look(frame, mask, config, up_in_camera=up)
    if seen is None:
        return None
    pose = ModelTrack(config, model).step(frame, mask, seen, up_in_camera=up, fixed_from_camera=None)
    if pose is None:
        raise BadMessage(
            f"{file}: this model of {_sides(model.size_m)} m does not lie on what the mask covers, about "
            f"{_sides(seen.fit.box.size_m)} m; is it in another unit (--model-unit)? Without --model the box is given"
        )
    return pose


def _sides(size_m: Array) -> str:
    return " x ".join(f"{side:.3g}" for side in sorted(size_m, reverse=True))


def _why_none(frame: RgbdFrame, mask: Array, config: GeometryConfig) -> str:
    assert frame.depth_m is not None
    known = np.count_nonzero(np.isfinite(frame.depth_m[mask]))
    return (
        f"no pose: too few points with depth lie inside the mask; {known} of its {np.count_nonzero(mask)} pixels have "
        f"depth, {config.min_points} must be left without its border (geometry.min_points)"
    )
