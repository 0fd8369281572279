"""Cameras from files: five numbers, a camera_info as `ros2 topic echo` prints it, or a calibration file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from referent.errors import BadMessage
from referent.messages import Lens, intrinsics_from_camera_info, lens_from_camera_info
from referent.types import Intrinsics

_PINHOLE = ("fx", "fy", "cx", "cy")
_DISTORTIONS = ("d", "D", "distortion_coefficients", "dist_coeffs", "distortion", "coeffs")
_WANTED = (
    "width, height, fx, fy, cx, cy (JSON or YAML; also a camera_info, or a calibration file with camera_matrix) "
    "are what a camera is"
)


@dataclass(frozen=True)
class CameraFile:
    """One camera as its file tells."""

    path: Path
    camera: Intrinsics  # of the rectified picture
    depth_unit_m: float | None  # metres per count of 16-bit depth; None = the file is silent
    info: SimpleNamespace  # as a camera_info message

    def lens(self) -> Lens:
        """How raw pictures become those of `camera`. BadMessage for a lens that nobody here can undo."""
        try:
            return lens_from_camera_info(self.info)
        except BadMessage as error:
            raise BadMessage(f"{self.path}: {error}") from error


def read_camera(path: Path) -> CameraFile:
    """The camera of a JSON or YAML file; BadMessage names the key and the value that are wrong.

    Known are width, height, fx, fy, cx, cy; a camera_info of ROS 1 or 2, with binning and region of interest; and
    camera_calibration's file. Distortion may be beside any of them, `depth_unit_m` too.
    """
    tree = _tree(path)
    if not isinstance(tree, dict):
        raise BadMessage(f"{path}: holds a {type(tree).__name__}, an object is needed: {_WANTED}")
    info = _info(path, tree)
    unit = tree.get("depth_unit_m")
    try:
        camera = intrinsics_from_camera_info(info)
    except BadMessage as error:
        raise BadMessage(f"{path}: {error}") from error
    return CameraFile(path, camera, None if unit is None else _number(path, "depth_unit_m", unit), info)


def _tree(path: Path) -> Any:
    import yaml

    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise BadMessage(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadMessage(f"{path}: neither JSON nor YAML ({error})") from error
    try:
        if path.suffix.lower() in (".yaml", ".yml"):
            return next(iter(yaml.safe_load_all(text)), None)  # `ros2 topic echo` ends a message with ---
        return json.loads(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise BadMessage(f"{path}: neither JSON nor YAML ({' '.join(str(error).split())})") from error


def _info(path: Path, tree: dict[str, Any]) -> SimpleNamespace:
    """The file's camera as a camera_info message."""
    width, height = (_whole(path, name, _first(tree, name, f"image_{name}")) for name in ("width", "height"))
    k = _first(tree, "k", "K", "camera_matrix")
    matrix = _pinhole(path, tree) if k is None else _numbers(path, "K", k, 9)
    d = _first(tree, *_DISTORTIONS)
    coefficients = [] if d is None else _numbers(path, "D", d, None)
    roi = tree.get("roi") or {}
    if not isinstance(roi, dict):
        raise BadMessage(f"{path}: roi is {roi!r:.80}; x_offset, y_offset, width and height are needed")
    region = {
        name: _whole(path, f"roi.{name}", roi.get(name) or 0) for name in ("x_offset", "y_offset", "width", "height")
    }
    return SimpleNamespace(
        width=width,
        height=height,
        k=matrix,
        d=coefficients,
        r=_numbers(path, "R", _first(tree, "r", "R", "rectification_matrix") or [0.0] * 9, 9),
        p=_numbers(path, "P", _first(tree, "p", "P", "projection_matrix") or [0.0] * 12, 12),
        distortion_model=str(tree.get("distortion_model") or _usual_model(coefficients)),
        binning_x=_whole(path, "binning_x", tree.get("binning_x") or 0),
        binning_y=_whole(path, "binning_y", tree.get("binning_y") or 0),
        roi=SimpleNamespace(**region),
    )


def _pinhole(path: Path, tree: dict[str, Any]) -> list[float]:
    """K of fx, fy, cx, cy."""
    missing = [name for name in _PINHOLE if name not in tree]
    if missing:
        raise BadMessage(f"{path}: {', '.join(missing)} missing: {_WANTED}")
    fx, fy, cx, cy = (_number(path, name, tree[name]) for name in _PINHOLE)
    if fx <= 0 or fy <= 0:
        raise BadMessage(f"{path}: fx {fx:g}, fy {fy:g} is no camera: both are pixels, above 0")
    return [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]


def _usual_model(coefficients: list[float]) -> str:
    """What OpenCV takes so many coefficients for, where the file does not say."""
    return "plumb_bob" if len(coefficients) in (4, 5) else "rational_polynomial"


def _first(tree: dict[str, Any], *names: str) -> Any:
    return next((tree[name] for name in names if tree.get(name) is not None), None)


def _numbers(path: Path, name: str, value: Any, count: int | None) -> list[float]:
    """A matrix written as a list, as a list of rows, or as rows, cols, data."""
    data = value.get("data") if isinstance(value, dict) else value
    if isinstance(data, list) and data and all(isinstance(row, list) for row in data):
        data = [item for row in data for item in row]
    if not isinstance(data, list) or (count is not None and len(data) != count):
        raise BadMessage(f"{path}: {name} is {value!r:.80}, {count or 'a list of'} numbers are needed")
    return [_number(path, name, item) for item in data]


def _whole(path: Path, name: str, value: Any) -> int:
    if value is None:
        raise BadMessage(f"{path}: {name} missing: {_WANTED}")
    number = _number(path, name, value)
    if number != int(number) or number < 0:
        raise BadMessage(f"{path}: {name} {value} must be whole pixels")
    return int(number)


def _number(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadMessage(f"{path}: {name} is {value!r:.80}, a number is needed")
    if not math.isfinite(value) or abs(value) > 1e12:
        raise BadMessage(f"{path}: {name} is {value}, a finite number is needed: calibrate the camera again")
    return float(value)
