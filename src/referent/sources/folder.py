"""A folder of pictures as frames and as a bag: color/, depth/ (16-bit PNG), camera.json, and pose/ where known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from referent.coded_size import require_size
from referent.errors import BadMessage
from referent.messages import metres_from_counts
from referent.sources.bag_writer import OPTICAL_FRAME, BagWriter
from referent.types import Array, Intrinsics, RgbdFrame

START_NS = 1_000_000_000
_PICTURES = (".png", ".jpg", ".jpeg")
_WRITTEN_MAX_M = 65.0  # what 16UC1 millimetres hold


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame of a folder and the camera's pose where it is known."""

    frame: RgbdFrame
    world_from_camera: Array | None  # (4, 4) float64


class PictureFolder:
    """Frames in the order of their names, `fps` apart.

    camera.json: width, height, fx, fy, cx, cy and optionally depth_unit_m, gravity_world. Depth must be registered to
    color. pose/NAME.txt: 4x4 camera-to-world (optical frame, metres). Raises BadMessage.
    """

    def __init__(self, folder: Path | str, *, fps: float = 30.0, depth_unit_m: float | None = None) -> None:
        self._folder = Path(folder)
        if fps <= 0:
            raise BadMessage(f"fps {fps:g} must be above 0")
        self._step_ns = 1e9 / fps
        camera = _read_camera(self._folder / "camera.json")
        self.intrinsics = _intrinsics(self._folder / "camera.json", camera)
        self._unit_m = float(depth_unit_m if depth_unit_m is not None else camera.get("depth_unit_m", 0.001))
        self._upright_from_world = _upright(camera.get("gravity_world"))
        self._color = _pictures(self._folder / "color")
        self._depth = {path.stem: path for path in _pictures(self._folder / "depth")}
        self.has_poses = (self._folder / "pose").is_dir()

    def __len__(self) -> int:
        return len(self._color)

    def __iter__(self) -> Iterator[Picture]:
        for number, color in enumerate(self._color):
            yield self._read(color, START_NS + round(number * self._step_ns))

    def _read(self, color: Path, stamp_ns: int) -> Picture:
        import cv2

        if color.stem not in self._depth:
            raise BadMessage(f"{color}: has no depth/{color.stem}.png beside it")
        rgb = self._picture(color, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        counts = self._picture(self._depth[color.stem], cv2.IMREAD_UNCHANGED)
        if counts.dtype != np.uint16 or counts.ndim != 2:
            raise BadMessage(f"{self._depth[color.stem]}: {counts.dtype} {counts.shape}, a 16-bit grey PNG is needed")
        depth_m = metres_from_counts(counts, unit_m=self._unit_m, max_depth_m=_WRITTEN_MAX_M)
        frame = RgbdFrame(stamp_ns, OPTICAL_FRAME, rgb, depth_m, self.intrinsics)
        return Picture(frame, self._pose(color.stem) if self.has_poses else None)

    def _picture(self, path: Path, flags: int) -> Array:
        import cv2

        data = np.frombuffer(path.read_bytes(), np.uint8)
        require_size(data, str(path))
        picture = cv2.imdecode(data, flags)
        if picture is None:
            raise BadMessage(f"{path}: cannot be decoded; is it a whole picture?")
        have, want = picture.shape[1::-1], (self.intrinsics.width, self.intrinsics.height)
        if have != want:
            raise BadMessage(f"{path}: {have[0]}x{have[1]} but camera.json says {want[0]}x{want[1]}")
        return np.asarray(picture)

    def _pose(self, name: str) -> Array:
        path = self._folder / "pose" / f"{name}.txt"
        try:
            pose = np.loadtxt(path, dtype=np.float64)
        except (OSError, ValueError) as error:
            raise BadMessage(f"{path}: no 4x4 camera-to-world matrix ({error})") from error
        rotation = pose[:3, :3] if pose.shape == (4, 4) else np.zeros((3, 3))
        if not np.isfinite(pose).all() or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-2):
            raise BadMessage(f"{path}: not a rigid 4x4 camera-to-world matrix")
        return self._upright_from_world @ pose


def folder_to_bag(
    folder: Path | str,
    output: Path | str,
    *,
    fps: float = 30.0,
    depth_unit_m: float | None = None,
    overwrite: bool = False,
) -> int:
    """Write a folder of pictures as a bag; returns the number of frames.

    `depth_unit_m` is metres per count; None = what camera.json says, else 0.001. With poses, tf is world -> camera_link
    -> camera_color_optical_frame; when camera.json knows gravity, world is turned so that its z points up.
    """
    pictures = PictureFolder(folder, fps=fps, depth_unit_m=depth_unit_m)
    with BagWriter(output, overwrite=overwrite) as bag:
        if pictures.has_poses:
            bag.write_camera_mount(START_NS)
        for picture in tqdm(pictures, total=len(pictures), desc="bag", unit="frame", disable=None, delay=1):
            if picture.world_from_camera is not None:
                bag.write_camera_pose(picture.frame.stamp_ns, picture.world_from_camera)
            bag.write_frame(picture.frame)
    return len(pictures)


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise BadMessage(f"{folder}: no such folder; color/, depth/ and camera.json are needed")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not found:
        raise BadMessage(f"{folder}: holds no picture ({', '.join(_PICTURES)})")
    return found


def _read_camera(path: Path) -> dict[str, Any]:
    try:
        camera = json.loads(path.read_text())
    except OSError as error:
        raise BadMessage(
            f"{path}: cannot be read ({error.strerror}); it holds width, height, fx, fy, cx, cy"
        ) from error
    except ValueError as error:
        raise BadMessage(f"{path}: not JSON ({error})") from error
    if not isinstance(camera, dict):
        raise BadMessage(f"{path}: holds a {type(camera).__name__}, an object with width, height, fx, ... is needed")
    return camera


def _intrinsics(path: Path, camera: dict[str, Any]) -> Intrinsics:
    try:
        size = int(camera["width"]), int(camera["height"])
        return Intrinsics(*size, *(float(camera[name]) for name in ("fx", "fy", "cx", "cy")))
    except KeyError as error:
        raise BadMessage(f"{path}: {error.args[0]} is missing") from error
    except (TypeError, ValueError) as error:
        raise BadMessage(f"{path}: {error}") from error


def _upright(gravity: Any) -> Array:
    """The (4, 4) rotation that turns `gravity` (3,), which way things fall in the poses' world, to -z."""
    from scipy.spatial.transform import Rotation

    turn = np.eye(4)
    if gravity is not None:
        rotation, _ = Rotation.align_vectors([[0.0, 0.0, -1.0]], [np.asarray(gravity, np.float64)])
        turn[:3, :3] = rotation.as_matrix()
    return turn
