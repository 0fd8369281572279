"""A folder of pictures becomes a bag, and what is wrong with it is named."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from referent.config import InputConfig
from referent.errors import BadMessage
from referent.sources.folder import PictureFolder, folder_to_bag
from referent.sources.rosbag import read_bag

CAMERA = {"width": 8, "height": 6, "fx": 10.0, "fy": 11.0, "cx": 4.0, "cy": 3.0}


def a_folder(path: Path, *, frames: int = 3, poses: list[np.ndarray] | None = None, **camera: object) -> Path:
    """Frame n is painted n (red) and 1000 + n counts deep."""
    for name in ("color", "depth", *(["pose"] if poses else [])):
        (path / name).mkdir(parents=True)
    (path / "camera.json").write_text(json.dumps(CAMERA | camera))
    for number in range(frames):
        cv2.imwrite(str(path / "color" / f"{number:06d}.png"), np.full((6, 8, 3), [0, 0, number], np.uint8))
        cv2.imwrite(str(path / "depth" / f"{number:06d}.png"), np.full((6, 8), 1000 + number, np.uint16))
        if poses:
            np.savetxt(path / "pose" / f"{number:06d}.txt", poses[number])
    return path


def test_a_folder_becomes_a_bag_that_reads_back(tmp_path: Path) -> None:
    assert folder_to_bag(a_folder(tmp_path / "in"), tmp_path / "bag", fps=10) == 3
    source = read_bag(tmp_path / "bag", InputConfig())
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [1_000_000_000, 1_100_000_000, 1_200_000_000]
    assert [tuple(frame.rgb[0, 0]) for frame in frames] == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    np.testing.assert_allclose([frame.depth_m[0, 0] for frame in frames], [1.0, 1.001, 1.002], rtol=1e-6)
    assert (frames[0].intrinsics.fy, frames[0].intrinsics.cx) == (11.0, 4.0)
    assert source.topics.tf == ()


@pytest.mark.parametrize(("said", "asked", "truth_m"), [(0.0001, None, 0.1), (0.0001, 0.002, 2.0), (None, None, 1.0)])
def test_the_depth_unit_is_the_callers_or_the_cameras_or_millimetres(
    tmp_path: Path, said: float | None, asked: float | None, truth_m: float
) -> None:
    camera = {} if said is None else {"depth_unit_m": said}
    picture = next(iter(PictureFolder(a_folder(tmp_path / "in", **camera), depth_unit_m=asked)))
    assert picture.frame.depth_m is not None
    np.testing.assert_allclose(picture.frame.depth_m, truth_m, rtol=1e-6)


def test_poses_become_tf_and_gravity_points_down(tmp_path: Path) -> None:
    """The poses' world has y down; in the bag z is up, and what was fixed in the world stays fixed."""
    turns = [Rotation.from_euler("xyz", [0.1 * n, 0.2 * n, 0.3 * n]).as_matrix() for n in range(3)]
    poses = [np.block([[turn, np.array([[n], [0.5], [0.0]])], [0, 0, 0, 1]]) for n, turn in enumerate(turns)]
    folder_to_bag(a_folder(tmp_path / "in", poses=poses, gravity_world=[0, 2.0, 0]), tmp_path / "bag")
    source = read_bag(tmp_path / "bag", InputConfig())
    landmark = np.array([1.0, 2.0, 3.0, 1.0])
    seen = []
    for frame, world_from_camera in zip(source, poses, strict=True):
        up_world_from_camera = source.transforms.lookup("world", frame.camera_frame, frame.stamp_ns)
        seen.append(up_world_from_camera @ np.linalg.inv(world_from_camera) @ landmark)
    np.testing.assert_allclose(seen, [seen[0]] * 3, atol=1e-6)
    assert seen[0][2] == pytest.approx(-landmark[1])


def test_without_gravity_the_world_is_the_poses_own(tmp_path: Path) -> None:
    pose = np.eye(4)
    pose[:3, 3] = [1, 2, 3]
    picture = next(iter(PictureFolder(a_folder(tmp_path / "in", frames=1, poses=[pose]))))
    np.testing.assert_allclose(picture.world_from_camera, pose, atol=1e-9)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "camera.json").unlink(), "camera.json: cannot be read"),
        (lambda f: (f / "camera.json").write_text("{"), "camera.json: not JSON"),
        (lambda f: (f / "camera.json").write_text("[1]"), "holds a list"),
        (lambda f: (f / "camera.json").write_text('{"width": 8}'), "height is missing"),
        (lambda f: (f / "camera.json").write_text(json.dumps(CAMERA | {"fx": -1})), "fx=-1"),
        (lambda f: (f / "camera.json").write_text(json.dumps(CAMERA | {"width": 9})), "8x6 but camera.json says 9x6"),
        (lambda f: (f / "depth" / "000001.png").unlink(), "has no depth/000001.png beside it"),
        (lambda f: (f / "color" / "000001.png").write_bytes(b""), "000001.png: cannot be decoded"),
        (lambda f: cv2.imwrite(str(f / "depth" / "000001.png"), np.zeros((6, 8), np.uint8)), "16-bit grey PNG"),
        (lambda f: [p.unlink() for p in (f / "color").iterdir()], "holds no picture"),
        (lambda f: (f / "pose" / "000001.txt").unlink(), "no 4x4 camera-to-world matrix"),
        (lambda f: (f / "pose" / "000001.txt").write_text("1 2 3"), "not a rigid 4x4"),
        (lambda f: np.savetxt(f / "pose" / "000001.txt", 2 * np.eye(4)), "not a rigid 4x4"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named_and_leaves_no_bag(tmp_path: Path, damage: object, words: str) -> None:
    folder = a_folder(tmp_path / "in", poses=[np.eye(4)] * 3)
    damage(folder)  # type: ignore[operator]
    with pytest.raises(BadMessage, match=words):
        folder_to_bag(folder, tmp_path / "bag")
    assert not (tmp_path / "bag").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadMessage, match=r"camera\.json: cannot be read"):
        folder_to_bag(tmp_path / "nothing", tmp_path / "bag")


def test_a_real_kitchen_keeps_its_places_while_the_camera_moves(real_data: Path, tmp_path: Path) -> None:
    """Real Kinect video: 3D points of one picture are found again in a later one, through tf and depth alone."""
    folder_to_bag(real_data / "sevenscenes_redkitchen_a", tmp_path / "bag", fps=30)
    source = read_bag(tmp_path / "bag", InputConfig())
    assert len(source) == 110
    kept = {}
    for number, frame in enumerate(source):
        if number in (0, 20):
            kept[number] = frame, source.transforms.lookup("world", frame.camera_frame, frame.stamp_ns)
    assert number == 109
    assert source.drops["unmatched_color"] == 0
    (first, world_from_first), (later, world_from_later) = kept[0], kept[20]
    camera, depth_m = first.intrinsics, first.depth_m
    v, u = (a.ravel() for a in np.mgrid[40:440:20, 40:600:20])
    z = depth_m[v, u]
    points = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z, np.ones_like(z)])
    x, y, z, _ = (np.linalg.inv(world_from_later) @ world_from_first @ points)[:, np.isfinite(z)]
    u, v = np.rint(camera.fx * x / z + camera.cx).astype(int), np.rint(camera.fy * y / z + camera.cy).astype(int)
    inside = (u >= 0) & (u < 640) & (v >= 0) & (v < 480)
    off_m = np.abs(later.depth_m[v[inside], u[inside]] - z[inside])
    assert np.nanmedian(off_m) < 0.03
    up = world_from_first[2, :3] @ [0, -1, 0]
    assert up > 0.8  # the camera is held upright: its -y points up the world's z
