"""Boxes drawn on real pictures, for people to look at: `python benchmarks/real_pose_pictures.py OUTPUT [--data DIR]`.

There are no true boxes; what is asked is whether the boxes sit on the objects. Where a data set has no masks, objects
are what stands on the largest plane: Open3D finds the plane, connected pieces above it are the objects. Gravity is used
where it is known. The data are not part of the repository; every picture whose folder is absent is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from referent.config import GeometryConfig
from referent.evaluation.poses.drawing import GIVEN, draw_box
from referent.geometry.camera import backproject, known_depth, rays
from referent.geometry.track import PoseTrack
from referent.types import Array, Intrinsics, RgbdFrame

DATA = Path(__file__).resolve().parents[2] / "shared" / "real"
PLANE_M, ABOVE_M, HIGHEST_M = 0.008, 0.012, 0.35  # from the plane: its own points, objects
FOOT_M = 0.04  # what has nothing lower does not stand on the plane
STEP_SHARE = 0.02  # of the depth between neighbours parts two objects
LEAST_PX, MOST_OBJECTS, FARTHEST_M = 600, 14, 1.6
MASK_TINT = 0.25

Scene = tuple[RgbdFrame, list[Array], Array | None]  # frame, masks, up in the camera


def main() -> int:
    """Write one PNG for each data set that is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    there = {name: read for name, read in READERS.items() if (options.data / name).is_dir()}
    if not there:
        print(f"{options.data} holds none of {', '.join(READERS)}; these pictures are not part of the repository")
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    for name, read in there.items():
        for number, (frame, masks, up) in enumerate(read(options.data / name)):
            picture, lines = drawn(frame, masks, up)
            path = options.output / f"{name}_{number}.png"
            cv2.imwrite(str(path), picture[..., ::-1])
            print(f"{path}: {len(masks)} masks", *lines, sep="\n  ")
    return 0


def drawn(frame: RgbdFrame, masks: list[Array], up: Array | None) -> tuple[Array, list[str]]:
    """The picture with masks tinted and boxes drawn, and a line of numbers for each."""
    picture, lines, poses = frame.rgb.copy(), list[str](), []
    for number, mask in enumerate(masks):
        tint = np.array(cv2.applyColorMap(np.uint8([[37 * number % 256]]), cv2.COLORMAP_HSV)[0, 0], float)
        picture[mask] = ((1 - MASK_TINT) * picture[mask] + MASK_TINT * tint).astype(np.uint8)
        poses.append(PoseTrack(GeometryConfig()).step(frame, mask, up_in_camera=up))
    for number, pose in enumerate(poses):
        if pose is None:
            lines.append(f"{number}: no pose")
            continue
        box = pose.box
        draw_box(picture, box.camera_from_object, box.size_m, frame.intrinsics, color=GIVEN, axes=True)
        at = project_px(box.camera_from_object[:3, 3], frame.intrinsics)
        cv2.putText(picture, str(number), at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        sides = " x ".join(f"{1e3 * side:.0f}" for side in box.size_m)
        sigma_mm = 1e3 * float(np.sqrt(np.trace(pose.covariance[:3, :3])))
        lines.append(
            f"{number}: {sides} mm at {box.camera_from_object[2, 3]:.2f} m, centre sigma {sigma_mm:.0f} mm, "
            f"orientation {'known' if box.orientation_known else 'by convention'}, unobserved {pose.quality.unobserved}"
        )
    return picture, lines


def project_px(point_m: Array, camera: Intrinsics) -> tuple[int, int]:
    """A point as whole pixels."""
    x, y, z = point_m
    return round(camera.fx * x / z + camera.cx), round(camera.fy * y / z + camera.cy)


def _mosd(folder: Path) -> list[Scene]:
    """Boxes and cylinders with masks; the label's tens are the object."""
    camera, scenes = _camera(json.loads((folder / "camera.json").read_text())), list[Scene]()
    for path in sorted((folder / "color").iterdir())[:4]:
        label = _grey(folder / "label" / f"{path.stem}.png").astype(int) // 10
        frame = _frame(path, folder / "depth" / f"{path.stem}.png", 0.001, camera)
        scenes.append((frame, [label == each for each in np.unique(label) if each >= 2], None))
    return scenes


def _ycbv(folder: Path) -> list[Scene]:
    """Three objects with masks."""
    told = json.loads((folder / "000001-gt.json").read_text())
    camera = _camera(told)
    frame = _frame(folder / "000001-color.png", folder / "000001-depth.png", 0.0001, camera)
    label = _grey(folder / "000001-label.png")
    return [(frame, [label == each for each in np.unique(label) if each > 0], None)]


def _uoc(folder: Path) -> list[Scene]:
    """Household objects without masks."""
    camera = _camera(json.loads((folder / "camera.json").read_text()))
    paths = sorted(folder.glob("*-color.png"))[:4]
    frames = [_frame(path, Path(str(path).replace("color", "depth")), 0.001, camera) for path in paths]
    return [(frame, segmented(frame), None) for frame in frames]


def _sevenscenes(folder: Path) -> list[Scene]:
    """A kitchen without masks, with camera poses and gravity."""
    told, scenes = json.loads((folder / "camera.json").read_text()), list[Scene]()
    camera = _camera(told)
    for number in (0, 60):
        frame = _frame(folder / f"color/{number:06d}.jpg", folder / f"depth/{number:06d}.png", 0.001, camera)
        scenes.append((frame, segmented(frame), _up(folder, number, told)))
    return scenes


READERS: dict[str, Callable[[Path], list[Scene]]] = {
    "uoc_tabletop": _uoc,
    "mosd_learn": _mosd,
    "ycbv_frame1": _ycbv,
    "sevenscenes_redkitchen_a": _sevenscenes,
}


def segmented(frame: RgbdFrame) -> list[Array]:
    """Masks (H, W) of what stands on the largest plane, the largest first: not true masks, and some hold two things."""
    assert frame.depth_m is not None
    depth = np.nan_to_num(frame.depth_m)
    near = known_depth(depth) & (depth < FARTHEST_M)
    normal, offset = _largest_plane(backproject(depth, near, frame.intrinsics))
    height = np.where(near, (rays(frame.intrinsics) * depth[..., None]) @ normal + offset, 0.0)
    smooth = cv2.medianBlur(depth.astype(np.float32), 5)
    square = np.ones((3, 3), np.uint8)
    step = cv2.dilate(smooth, square) - cv2.erode(smooth, square) > STEP_SHARE * np.maximum(smooth, 0.1)
    standing = (height > ABOVE_M) & (height < HIGHEST_M) & ~step
    opened = cv2.morphologyEx(standing.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    large = [
        n
        for n in range(1, count)
        if stats[n, cv2.CC_STAT_AREA] >= LEAST_PX
        and not _at_border(stats[n], depth)
        and np.quantile(height[labels == n], 0.02) < FOOT_M
    ]
    large.sort(key=lambda n: -int(stats[n, cv2.CC_STAT_AREA]))
    return [cv2.dilate((labels == n).astype(np.uint8), square).astype(bool) for n in large[:MOST_OBJECTS]]


def _at_border(stats: Array, depth: Array) -> bool:
    """Whether a piece touches the picture's border: walls and what is cut off."""
    left, top, width, height = stats[:4]
    return bool(left == 0 or top == 0 or left + width == depth.shape[1] or top + height == depth.shape[0])


def _largest_plane(points_m: Array) -> tuple[Array, float]:
    """Normal (3,) towards the camera and offset of the plane that most points lie on."""
    import open3d as o3d

    o3d.utility.random.seed(0)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points_m[::7].astype(float)))
    (*normal, offset), _ = cloud.segment_plane(PLANE_M, 3, 2000)
    sign = 1.0 if offset > 0 else -1.0  # the camera, at the origin, is above
    return sign * np.array(normal), sign * float(offset)


def _camera(told: dict[str, Any]) -> Intrinsics:
    if "K" in told:
        k = told["K"]
        return Intrinsics(640, 480, k[0][0], k[1][1], k[0][2], k[1][2])
    return Intrinsics(*(told[name] for name in ("width", "height", "fx", "fy", "cx", "cy")))


def _frame(color: Path, depth: Path, unit_m: float, camera: Intrinsics) -> RgbdFrame:
    raw = _grey(depth).astype(np.float32)
    rgb = np.ascontiguousarray(cv2.imread(str(color), cv2.IMREAD_COLOR)[..., ::-1])
    return RgbdFrame(1, "camera", rgb, np.where(raw > 0, raw * np.float32(unit_m), np.nan).astype(np.float32), camera)


def _grey(path: Path) -> Array:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def _up(folder: Path, number: int, told: dict[str, Any]) -> Array:
    world_from_camera = np.loadtxt(folder / "pose" / f"{number:06d}.txt")
    return np.asarray(world_from_camera[:3, :3].T @ -np.array(told["gravity_world"]))


if __name__ == "__main__":
    sys.exit(main())
