"""`referent pose` on files: the answer's shape, and one clear line for each wrong input."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import cv2
import numpy as np
import pytest
from rendered import CAMERA, a_render

from referent.cli import main
from referent.config import InputConfig
from referent.errors import BadMessage
from referent.geometry.poses import rotation_from_quaternion
from referent.posing.from_files import PosePictures, poses_from_files
from referent.types import Intrinsics

RENDER = a_render(noise_px=0.05)


def pose_from_files(*, mask, color, depth, camera, depth_camera=None, color_from_depth=None, **options):
    """The pose of one mask."""
    (pose,) = poses_from_files(PosePictures(color, depth, camera, depth_camera, color_from_depth), [mask], **options)
    return pose


@pytest.fixture
def files(tmp_path):
    """color, depth, mask and camera of one picture."""
    paths = {name: tmp_path / name for name in ("color.png", "depth.png", "mask.png", "camera.json")}
    cv2.imwrite(str(paths["color.png"]), RENDER.frame.rgb)
    cv2.imwrite(str(paths["depth.png"]), np.nan_to_num(RENDER.frame.depth_m * 1000).astype(np.uint16))
    cv2.imwrite(str(paths["mask.png"]), RENDER.mask.astype(np.uint8) * 255)
    paths["camera.json"].write_text(json.dumps(asdict(CAMERA)))
    return {name.split(".")[0]: path for name, path in paths.items()}


def test_a_picture_becomes_the_pose_of_the_results_file(files):
    pose = pose_from_files(**files)
    assert list(pose) == [
        "frame",
        "position_m",
        "quaternion_xyzw",
        "size_m",
        "covariance",
        "orientation_known",
        "point_count",
        "quality",
    ]
    assert list(pose["quality"]) == ["source", "residual_m", "unobserved"]
    assert json.loads(json.dumps(pose)) == pose
    np.testing.assert_allclose(pose["position_m"], RENDER.camera_from_object[:3, 3], atol=0.006)
    np.testing.assert_allclose(pose["size_m"], RENDER.size_m, atol=0.008)
    agreement = np.abs(rotation_from_quaternion(pose["quaternion_xyzw"]).T @ RENDER.camera_from_object[:3, :3])
    assert agreement.max(axis=0).min() > 0.998
    assert len(pose["covariance"]) == 36
    assert pose["orientation_known"] is True
    assert pose["point_count"] > 1000


def test_depth_in_metres_gives_the_same_place(files):
    in_metres = files["depth"].with_suffix(".npy")
    np.save(in_metres, RENDER.frame.depth_m)
    one, other = pose_from_files(**files), pose_from_files(**(files | {"depth": in_metres}))
    np.testing.assert_allclose(one["position_m"], other["position_m"], atol=0.001)


def test_the_largest_count_means_no_depth(files):
    counts = cv2.imread(str(files["depth"]), cv2.IMREAD_UNCHANGED)
    counts[::7] = 65535
    cv2.imwrite(str(files["depth"]), counts)
    np.testing.assert_allclose(pose_from_files(**files)["position_m"], RENDER.camera_from_object[:3, 3], atol=0.008)


SENSOR = Intrinsics(480, 360, 390.0, 390.0, 236.0, 181.0)


def unregistered(files):
    """The same picture with depth from a camera of another lens in the same place."""
    width, height = SENSOR.width, SENSOR.height
    warp = np.array([[600 / 390, 0, 319.5 - 236 * 600 / 390], [0, 600 / 390, 239.5 - 181 * 600 / 390]])
    counts = np.nan_to_num(RENDER.frame.depth_m * 1000).astype(np.uint16)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    sensor = cv2.warpAffine(counts, warp, (width, height), flags=flags)
    cv2.imwrite(str(files["depth"]), sensor)
    files["depth_camera"] = files["camera"].with_name("depth_camera.json")
    files["depth_camera"].write_text(json.dumps(asdict(SENSOR)))
    return files


def test_unregistered_depth_gives_the_same_place_with_its_own_camera(files, capsys):
    registered = pose_from_files(**files)
    pose = pose_from_files(**unregistered(files))
    np.testing.assert_allclose(pose["position_m"], registered["position_m"], atol=0.003)
    np.testing.assert_allclose(pose["size_m"], registered["size_m"], atol=0.006)

    still = files["camera"].with_name("still.json")
    still.write_text(json.dumps({"translation_m": [0, 0, 0], "quaternion_xyzw": [0, 0, 0, 2]}))
    arguments = [word for name, path in files.items() for word in (f"--{name.replace('_', '-')}", str(path))]
    assert main(["pose", *arguments, "--color-from-depth", str(still), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == pose


def test_a_transform_may_be_a_matrix_and_is_where_depth_goes(files):
    files = unregistered(files)
    files["color_from_depth"] = files["camera"].with_name("away.json")
    matrix = np.eye(4)
    matrix[2, 3] = 0.05
    files["color_from_depth"].write_text(json.dumps({"matrix": matrix.tolist()}))
    away = pose_from_files(**files)
    del files["color_from_depth"]
    assert away["position_m"][2] - pose_from_files(**files)["position_m"][2] == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "translation_m .* and quaternion_xyzw"),
        ('{"translation_m": [0, 0, 0]}', "translation_m .* and quaternion_xyzw"),
        ('{"matrix": [1, 2, 3]}', "or of a 4x4 matrix"),
        ('{"translation_m": [0, 0, 0], "quaternion_xyzw": [0, 0, 0, NaN]}', "quaternion_xyzw"),
        ('{"matrix": [[-1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}', "not rigid"),
        ('{"matrix": [[2,0,0,0],[0,2,0,0],[0,0,2,0],[0,0,0,1]]}', "not rigid"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"matrix": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0.2,1]]}', "not rigid"),
    ],
)
def test_a_bad_transform_is_one_line_that_names_its_file(files, text, words):
    files = unregistered(files)
    files["color_from_depth"] = files["camera"].with_name("between.json")
    files["color_from_depth"].write_text(text)
    with pytest.raises(BadMessage, match=rf"between\.json: .*{words}"):
        pose_from_files(**files)


def test_a_transform_without_depths_camera_says_what_is_needed(files):
    with pytest.raises(BadMessage, match="--depth-camera"):
        pose_from_files(**files, color_from_depth=files["camera"])


def a_camera(path, **changes):
    path.write_text(json.dumps(asdict(CAMERA) | changes))


def a_png(path, array):
    cv2.imwrite(str(path), array)


WRONG = {
    "no such file": ("color", lambda p: p.unlink(), "cannot be read"),
    "not an image": ("color", lambda p: p.write_bytes(b"hello"), "not an image"),
    "empty file": ("mask", lambda p: p.write_bytes(b""), "not an image"),
    "other size": (
        "color",
        lambda p: a_png(p, np.zeros((240, 320, 3), np.uint8)),
        "320x240 pixels, but the camera has 640x480",
    ),
    "mask of other size": ("mask", lambda p: a_png(p, np.ones((480, 320), np.uint8)), "320x480 pixels"),
    "empty mask": ("mask", lambda p: a_png(p, np.zeros((480, 640), np.uint8)), "mask is empty"),
    "8-bit depth": (
        "depth",
        lambda p: a_png(p, np.ones((480, 640), np.uint8)),
        "uint8 .* 16-bit single-channel PNG in mm",
    ),
    "color depth": ("depth", lambda p: a_png(p, np.ones((480, 640, 3), np.uint16)), "16-bit single-channel"),
    "no depth at all": ("depth", lambda p: a_png(p, np.zeros((480, 640), np.uint16)), "no pixel holds a depth"),
    "camera is no JSON": ("camera", lambda p: p.write_text("{"), "neither JSON nor YAML"),
    "camera is binary": ("camera", lambda p: p.write_bytes(b"\xff\xfe\x00"), "neither JSON nor YAML"),
    "camera lacks fy": (
        "camera",
        lambda p: p.write_text('{"width": 640, "height": 480, "fx": 1, "cx": 1, "cy": 1}'),
        "fy missing: width, height, fx, fy, cx, cy",
    ),
    "camera is a list": ("camera", lambda p: p.write_text("[1, 2]"), "holds a list, an object is needed"),
    "camera of text": ("camera", lambda p: a_camera(p, fx="600"), "fx is '600', a number is needed"),
    "camera of NaN": ("camera", lambda p: a_camera(p, fx=float("nan")), "fx is nan, a finite number"),
    "flat camera": ("camera", lambda p: a_camera(p, fx=0), "fx 0, .* is no camera"),
    "half a pixel": ("camera", lambda p: a_camera(p, width=640.5), "width 640.5 must be whole pixels"),
    "no pixels": ("camera", lambda p: a_camera(p, height=0), "640x0"),
    "a lens of three numbers": ("camera", lambda p: a_camera(p, K=3, D=[1, 2]), "K is 3, 9 numbers are needed"),
    "absurd depth unit": ("camera", lambda p: a_camera(p, depth_unit_m=1.0), "depth.png: 1 m per count"),
}


@pytest.mark.parametrize("case", WRONG)
def test_each_wrong_file_is_named_in_one_line(files, case):
    which, spoil, words = WRONG[case]
    spoil(files[which])
    with pytest.raises(BadMessage, match=words) as error:
        pose_from_files(**files)
    assert str(files["depth" if case == "absurd depth unit" else which]) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((480, 640), np.nan, np.float32), "all are unknown"),
        (np.zeros((480, 640), np.float32), "all are unknown"),
        (np.full((480, 640), 700.0, np.float32), "between 0 and 10 m; its middle value is 700: floats are metres"),
        (np.ones((480, 640), np.int64), "int64 .* float32"),
        (np.ones((480, 640, 1), np.float32), r"float32 \(480, 640, 1\)"),
        (np.ones((240, 640), np.float32), "640x240 pixels"),
        (np.array(["a"], object), "not a NumPy array"),
    ],
)
def test_each_wrong_depth_array_is_named_in_one_line(files, array, words):
    path = files["depth"].with_suffix(".npy")
    np.save(path, array, allow_pickle=True)
    with pytest.raises(BadMessage, match=words) as error:
        pose_from_files(**(files | {"depth": path}))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_truncated_array_is_named(files):
    path = files["depth"].with_suffix(".npy")
    np.save(path, RENDER.frame.depth_m)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadMessage, match="not a NumPy array"):
        pose_from_files(**(files | {"depth": path}))


def test_without_enough_depth_under_the_mask_there_is_no_pose(files):
    counts = cv2.imread(str(files["depth"]), cv2.IMREAD_UNCHANGED)
    counts[RENDER.mask] = 0
    cv2.imwrite(str(files["depth"]), counts)
    assert pose_from_files(**files) is None


def test_a_mask_of_one_pixel_has_no_pose(files):
    one = np.zeros((480, 640), np.uint8)
    one[240, 320] = 1
    cv2.imwrite(str(files["mask"]), one)
    assert pose_from_files(**files) is None


def a_mesh(path, size_m, unit_per_m=1.0):
    """An OBJ box of quads that stands on the origin with one corner, as much CAD does."""
    corners = [np.array([x, y, z]) * size_m for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    faces = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
    lines = [f"v {' '.join(str(v) for v in corner * unit_per_m)}" for corner in corners]
    path.write_text("\n".join([*lines, *(f"f {' '.join(map(str, face))}" for face in faces)]) + "\n")
    return path


def test_with_a_model_in_millimetres_the_pose_is_the_models(files, tmp_path, capsys):
    mesh = a_mesh(tmp_path / "box.obj", RENDER.size_m, 1000.0)
    arguments = [f for name, path in files.items() for f in (f"--{name}", str(path))]
    assert main(["pose", *arguments, "--model", str(mesh), "--json"]) == 0
    pose = json.loads(capsys.readouterr().out)
    assert pose["quality"]["source"] == "model"
    np.testing.assert_allclose(pose["size_m"], RENDER.size_m, atol=1e-6)
    np.testing.assert_allclose(pose["position_m"], RENDER.camera_from_object[:3, 3], atol=0.004)
    assert pose["quality"]["residual_m"] < 0.003


def test_a_model_that_is_not_there_is_named(files, tmp_path, capsys):
    mesh = a_mesh(tmp_path / "shelf.obj", np.array([1.2, 0.6, 0.9]))
    arguments = [f for name, path in files.items() for f in (f"--{name}", str(path))]
    assert main(["pose", *arguments, "--model", str(mesh)]) == 2
    error = capsys.readouterr().err
    assert "shelf.obj: this model of 1.2 x 0.9 x 0.6 m does not lie on what the mask covers, about 0.1" in error
    assert "--model-unit" in error


@pytest.mark.parametrize("up", [("0", "0", "0"), ("nan", "1", "0")])
def test_up_without_a_direction_is_refused_in_one_line(files, up, capsys):
    arguments = [f for name, path in files.items() for f in (f"--{name}", str(path))]
    assert main(["pose", *arguments, "--up", *up]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "direction" in error


def test_known_gravity_stands_the_box_up(files):
    up = RENDER.up_in_camera
    pose = pose_from_files(**files, up_in_camera=up)
    np.testing.assert_allclose(rotation_from_quaternion(pose["quaternion_xyzw"])[:, 2], up, atol=1e-6)


def counts_mm():
    return np.round(np.nan_to_num(RENDER.frame.depth_m * 1000)).astype(np.uint16)


def a_label_image(path):
    """The object as 9, and something else as 14."""
    label = RENDER.mask.astype(np.uint8) * 9
    label[20:80, 40:120] = 14
    a_png(path, label)


def test_a_label_image_covers_several_objects_and_one_has_to_be_named(files, capsys):
    alone = pose_from_files(**files)
    a_label_image(files["mask"])
    with pytest.raises(BadMessage, match=r"values 9, 14 covers several objects; say which with --mask-value"):
        pose_from_files(**files)
    with pytest.raises(BadMessage, match=r"no pixel is 3; its values are 9, 14"):
        pose_from_files(**files, mask_value=3)
    arguments = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert main(["pose", *arguments, "--mask-value", "9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == alone


def test_several_masks_give_a_list_of_poses_in_their_order(files, tmp_path, capsys):
    nothing = tmp_path / "speck.png"
    a_png(nothing, np.eye(480, 640, dtype=np.uint8))
    arguments = [word for name, path in files.items() if name != "mask" for word in (f"--{name}", str(path))]
    assert main(["pose", *arguments, "--mask", str(nothing), str(files["mask"]), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == [None, pose_from_files(**files)]
    assert "speck.png: no pose: too few points" in said.err
    assert "480 of its 480 pixels have depth" in said.err


def soft(path):
    a_png(path, cv2.GaussianBlur(RENDER.mask.astype(np.uint8) * 255, (0, 0), 1.0))


def cut_out(path):
    a_png(path, np.dstack([np.full((480, 640, 3), 77, np.uint8), RENDER.mask.astype(np.uint8) * 255]))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("ringing.jpg", lambda path: a_png(path, RENDER.mask.astype(np.uint8) * 255)),
        ("soft.png", soft),
        ("cut_out.png", cut_out),
        ("true.npy", lambda path: np.save(path, RENDER.mask)),
        ("wide.png", lambda path: a_png(path, RENDER.mask.astype(np.uint16) * 300)),
    ],
)
def test_a_mask_may_be_written_in_many_ways(files, tmp_path, name, write):
    write(tmp_path / name)
    one, other = pose_from_files(**files), pose_from_files(**(files | {"mask": tmp_path / name}))
    np.testing.assert_allclose(other["position_m"], one["position_m"], atol=1e-3)
    np.testing.assert_allclose(np.diag(np.reshape(other["covariance"], (6, 6))),
                               np.diag(np.reshape(one["covariance"], (6, 6))), rtol=0.1)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("depth.tiff", lambda path: cv2.imwrite(str(path), counts_mm())),
        ("floats.tiff", lambda path: cv2.imwrite(str(path), RENDER.frame.depth_m)),
        ("counts.npy", lambda path: np.save(path, counts_mm())),
        ("double.npy", lambda path: np.save(path, RENDER.frame.depth_m.astype(np.float64))),
    ],
)
def test_depth_may_be_counts_or_metres_in_other_files(files, tmp_path, name, write):
    write(tmp_path / name)
    pose = pose_from_files(**(files | {"depth": tmp_path / name}))
    np.testing.assert_allclose(pose["position_m"], pose_from_files(**files)["position_m"], atol=0.001)


def test_a_tiff_that_promises_too_much_is_refused_before_room_is_made(files, tmp_path):
    path = tmp_path / "bomb.tiff"
    cv2.imwrite(str(path), counts_mm())
    data = bytearray(path.read_bytes())
    at = int.from_bytes(data[4:8], "little") + 2
    for entry in range(at, at + 24, 12):  # width and height come first
        data[entry + 2 : entry + 12] = (
            (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + (30000).to_bytes(4, "little")
        )
    path.write_bytes(data)
    with pytest.raises(BadMessage, match="30000x30000 pixels are more than"):
        pose_from_files(**(files | {"depth": path}))


def test_the_camera_file_tells_the_unit_of_depth(files):
    one = pose_from_files(**files)
    a_png(files["depth"], counts_mm() * 10)
    a_camera(files["camera"], depth_unit_m=0.0001)
    np.testing.assert_allclose(pose_from_files(**files)["position_m"], one["position_m"], atol=1e-3)
    inputs = InputConfig(depth_unit_m=0.0002)  # a setting that is given goes before the file
    far = pose_from_files(**files, inputs=inputs)
    np.testing.assert_allclose(far["position_m"], 2 * np.array(one["position_m"]), atol=2e-3)


CAMERA_INFO = """header:
  stamp: {sec: 1, nanosec: 0}
  frame_id: camera_color_optical_frame
height: 960
width: 1280
distortion_model: plumb_bob
d: [0.0, 0.0, 0.0, 0.0, 0.0]
k: [1200.0, 0.0, 639.0, 0.0, 1200.0, 479.0, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [1200.0, 0.0, 639.0, 0.0, 0.0, 1200.0, 479.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 2
binning_y: 2
roi: {x_offset: 0, y_offset: 0, height: 0, width: 0, do_rectify: false}
---
"""
CALIBRATION = """image_width: 640
image_height: 480
camera_name: color
camera_matrix: {rows: 3, cols: 3, data: [600.0, 0.0, 319.5, 0.0, 600.0, 239.5, 0.0, 0.0, 1.0]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.0, 0.0, 0.0, 0.0, 0.0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [600.0, 0.0, 319.5, 0.0, 0.0, 600.0, 239.5, 0.0, 0.0, 0.0, 1.0, 0.0]}
"""
ROWS = '{"width": 640, "height": 480, "K": [[600.0, 0, 319.5], [0, 600.0, 239.5], [0, 0, 1]]}'


@pytest.mark.parametrize(("name", "text"), [("echo.yaml", CAMERA_INFO), ("ost.yaml", CALIBRATION), ("rows.json", ROWS)])
def test_a_camera_may_be_a_camera_info_or_a_calibration(files, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    pose = pose_from_files(**(files | {"camera": tmp_path / name}))
    np.testing.assert_allclose(pose["position_m"], pose_from_files(**files)["position_m"], atol=0.001)


def through_a_lens(picture, lens, flags, border):
    """A rectified picture as the lens bends it."""
    rows, columns = np.mgrid[0:480, 0:640].astype(np.float32)
    matrix = np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]])
    raw = np.stack([columns.ravel(), rows.ravel()], axis=1)[:, None]
    many_steps = (cv2.TERM_CRITERIA_COUNT, 50, 0)
    seen = cv2.undistortPoints(raw, matrix, np.array(lens), None, None, matrix, many_steps)
    at = seen.reshape(480, 640, 2).astype(np.float32)
    return cv2.remap(picture, at, None, flags, borderMode=cv2.BORDER_CONSTANT, borderValue=border)


def test_raw_pictures_of_a_bent_lens_are_rectified_when_asked_and_told_of_when_not(files):
    lens = [-0.35, 0.12, 0.0, 0.0, 0.0]
    render = a_render(noise_px=0.05, at_m=(-0.28, 0.12))
    a_png(files["depth"], through_a_lens(np.nan_to_num(render.frame.depth_m * 1000), lens, 0, 0).astype(np.uint16))
    a_png(files["mask"], through_a_lens(render.mask.astype(np.uint8), lens, 0, 0))
    a_camera(files["camera"], D=lens)
    raw = pose_from_files(**files, inputs=InputConfig(rectified=False))
    np.testing.assert_allclose(raw["position_m"], render.camera_from_object[:3, 3], atol=0.006)
    np.testing.assert_allclose(raw["size_m"], render.size_m, atol=0.008)

    said = []
    bent = pose_from_files(**files, warn=said.append)
    assert np.linalg.norm(np.subtract(bent["position_m"], raw["position_m"])) > 0.01
    assert "camera.json: tells of a lens that moves pixels by up to" in said[0]
    assert "input.rectified=false" in said[0]


def test_depth_of_another_size_names_what_registers_it(files):
    files = unregistered(files)
    del files["depth_camera"]
    with pytest.raises(BadMessage, match=r"depth\.png: 480x360 .* --depth-camera and --color-from-depth"):
        pose_from_files(**files)


def test_a_transform_in_millimetres_leaves_no_depth_in_view(files):
    files = unregistered(files)
    files["color_from_depth"] = files["camera"].with_name("mm.json")
    files["color_from_depth"].write_text('{"translation_m": [15000, 0, 0], "quaternion_xyzw": [0, 0, 0, 1]}')
    with pytest.raises(BadMessage, match=r"mm\.json: nothing of depth is in the color camera's view"):
        pose_from_files(**files)


WITHOUT = """
import sys
from pathlib import Path
from referent.geometry import PoseTrack, PoseTracks, estimate_pose, find_model, load_model, refine_model
from referent.posing.from_files import PosePictures, poses_from_files
color, depth, camera, mask = map(Path, sys.argv[1:])
(pose,) = poses_from_files(PosePictures(color, depth, camera), [mask])
assert pose["point_count"] > 1000
heavy = ("rclpy", "torch", "open3d", "referent.tracking", "referent.pipeline")
print(*sorted(name for name in sys.modules if name in heavy))
"""


def test_what_poses_need_is_neither_ros_nor_torch_nor_a_tracker(files):
    paths = [str(files[name]) for name in ("color", "depth", "camera", "mask")]
    loaded = subprocess.run([sys.executable, "-c", WITHOUT, *paths], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_a_value_is_not_looked_for_in_a_picture_in_color(files):
    colors = np.zeros((480, 640, 3), np.uint8)
    colors[RENDER.mask] = (10, 200, 30)
    a_png(files["mask"], colors)
    pose_from_files(**files)
    with pytest.raises(BadMessage, match="a label image of one channel is needed with --mask-value"):
        pose_from_files(**files, mask_value=10)


def test_a_map_of_probabilities_is_no_mask_and_is_told_from_labels(files):
    sure = cv2.GaussianBlur(RENDER.mask.astype(np.float32), (0, 0), 40.0)
    a_png(files["mask"], np.round(sure / sure.max() * 250).astype(np.uint8))
    with pytest.raises(BadMessage, match=r"values up to 250 are no mask; .* such as above 125"):
        pose_from_files(**files)
