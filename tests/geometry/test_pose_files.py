"""`referent pose` on files: the answer's shape, and one clear line for each wrong input."""

from __future__ import annotations

import json
from dataclasses import asdict

import cv2
import numpy as np
import pytest
from rendered import CAMERA, a_render

from referent.cli import main
from referent.errors import BadMessage
from referent.geometry.files import pose_from_files
from referent.geometry.poses import rotation_from_quaternion
from referent.types import Intrinsics

RENDER = a_render(noise_px=0.05)


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
    "camera is no JSON": ("camera", lambda p: p.write_text("{"), "not JSON"),
    "camera is binary": ("camera", lambda p: p.write_bytes(b"\xff\xfe\x00"), "not JSON"),
    "camera lacks fy": (
        "camera",
        lambda p: p.write_text('{"width": 640, "height": 480, "fx": 1, "cx": 1, "cy": 1}'),
        "width, height, fx, fy, cx, cy",
    ),
    "camera is a list": ("camera", lambda p: p.write_text("[1, 2]"), "JSON object"),
    "camera of text": ("camera", lambda p: p.write_text(json.dumps(asdict(CAMERA) | {"fx": "600"})), "numbers"),
    "camera of NaN": ("camera", lambda p: p.write_text(json.dumps(asdict(CAMERA) | {"fx": float("nan")})), "numbers"),
    "flat camera": ("camera", lambda p: p.write_text(json.dumps(asdict(CAMERA) | {"fx": 0})), "no camera"),
    "half a pixel": ("camera", lambda p: p.write_text(json.dumps(asdict(CAMERA) | {"width": 640.5})), "whole pixels"),
}


@pytest.mark.parametrize("case", WRONG)
def test_each_wrong_file_is_named_in_one_line(files, case):
    which, spoil, words = WRONG[case]
    spoil(files[which])
    with pytest.raises(BadMessage, match=words) as error:
        pose_from_files(**files)
    assert str(files[which]) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((480, 640), np.nan, np.float32), "all are unknown"),
        (np.zeros((480, 640), np.float32), "all are unknown"),
        (np.full((480, 640), 700.0, np.float32), "between 0 and 10 m"),
        (np.ones((480, 640), np.float64), "float64 .* float32"),
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
    """An OBJ box of quads around the origin."""
    corners = [np.array([x, y, z]) * size_m / 2 for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
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
    assert "shelf.obj" in capsys.readouterr().err


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
