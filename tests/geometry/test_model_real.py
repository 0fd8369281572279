"""Known models in real depth: a YCB-Video frame with true poses, and a castle seen by a moving camera."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from known_shapes import add_m
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from referent.config import GeometryConfig
from referent.geometry.camera import points_at, project
from referent.geometry.estimate import estimate_pose
from referent.geometry.models import ModelFit, find_model, load_model, nearest_equivalent, refine_model
from referent.geometry.models.turns import angle_between
from referent.geometry.points import object_mask, patch_around, pixels_of
from referent.geometry.poses import rigid, rigid_inverse, transform_points
from referent.types import Array, Intrinsics, RgbdFrame

REAL = Path(__file__).resolve().parents[3] / "shared" / "real"
CONFIG = GeometryConfig()


def folder_of(name: str) -> Path:
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"real data not on this machine: ../shared/real/{name}")
    return folder


def depth_of(path: Path) -> Array:
    """Stored in tenths of a millimetre, zero for none."""
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) * 1e-4
    return np.where(raw > 0, raw, np.nan).astype(np.float32)


def cleaned(depth_m: Array, mask: Array, camera: Intrinsics) -> Array:
    patch = patch_around(depth_m, mask, camera.fx, CONFIG)
    assert patch is not None
    return points_at(depth_m, *pixels_of(patch, object_mask(patch, CONFIG)), camera)


@pytest.mark.parametrize("name", ["009_gelatin_box", "025_mug", "061_foam_brick"])
@pytest.mark.parametrize("grown_px", [0, 3])
def test_ycb_objects_are_found_with_their_points_as_model(name: str, grown_px: int) -> None:
    folder = folder_of("ycbv_frame1")
    told = json.loads((folder / "000001-gt.json").read_text())
    k = np.array(told["K"])
    camera = Intrinsics(640, 480, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    depth = depth_of(folder / "000001-depth.png")
    labels = cv2.imread(str(folder / "000001-label.png"), cv2.IMREAD_UNCHANGED)
    [thing] = [thing for thing in told["objects"] if thing["name"] == name]
    mask = cv2.dilate((labels == thing["label"]).astype(np.uint8), np.ones((2 * grown_px + 1,) * 2)).astype(bool)
    model = load_model(folder / "models" / f"{name}.xyz")
    fit = find_model(model, cleaned(depth, mask, camera), depth, mask, camera, config=CONFIG)
    assert fit is not None
    truth = np.array(thing["T_cam_obj"])
    assert add_s_m(model.points_m, fit.camera_from_model, truth) < 0.05 * model.diameter_m
    # Without texture a box's ends look the same: then the pose may be another, but it must not be called known.
    same = nearest_equivalent(fit, truth, model)
    if fit.orientation_known:
        assert add_m(model.points_m, same.camera_from_model, truth) < 0.1 * model.diameter_m


@pytest.mark.parametrize("name", ["009_gelatin_box", "025_mug", "061_foam_brick"])
def test_ycb_objects_without_their_models_lie_within_what_their_boxes_say(name: str) -> None:
    folder = folder_of("ycbv_frame1")
    told = json.loads((folder / "000001-gt.json").read_text())
    k = np.array(told["K"])
    camera = Intrinsics(640, 480, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    depth = depth_of(folder / "000001-depth.png")
    labels = cv2.imread(str(folder / "000001-label.png"), cv2.IMREAD_UNCHANGED)
    [thing] = [thing for thing in told["objects"] if thing["name"] == name]
    frame = RgbdFrame(0, "camera", np.zeros((480, 640, 3), np.uint8), depth, camera)
    pose = estimate_pose(frame, labels == thing["label"], CONFIG)
    assert pose is not None
    axes, center = pose.box.camera_from_object[:3, :3], pose.box.camera_from_object[:3, 3]
    corners = transform_points(np.array(thing["T_cam_obj"]), load_model(folder / "models" / f"{name}.xyz").points_m)
    along = corners @ axes
    off = center - axes @ (along.min(axis=0) + along.max(axis=0)) / 2
    assert np.linalg.norm(off) < 0.01
    assert np.sqrt(off @ np.linalg.solve(pose.covariance[:3, :3], off)) < 1


def test_a_castle_is_found_and_followed_while_the_camera_moves(tmp_path: Path) -> None:
    folder = folder_of("visp_castel")
    corners, faces = castle(folder)
    model = load_model(as_obj(tmp_path / "castle.obj", corners, faces))
    told = json.loads((folder / "camera.json").read_text())
    camera = Intrinsics(told["width"], told["height"], told["fx"], told["fy"], told["cx"], told["cy"])
    given = first_pose(folder)
    pictures = [cv2.imread(str(folder / "gray" / f"{i:04d}.png"), cv2.IMREAD_GRAYSCALE) for i in range(30)]
    depth = depth_of(folder / "depth" / "0000.png")
    mask = silhouette(corners, faces, given, camera)
    fit = find_model(model, cleaned(depth, mask, camera), depth, mask, camera, config=CONFIG)
    assert fit is not None
    # The given pose comes from edges in the picture; this sensor's depth lies 4 mm behind it.
    assert add_m(model.points_m, fit.camera_from_model, given) < 0.008
    assert np.rad2deg(angle_between(fit.camera_from_model[:3, :3], given[:3, :3])) < 2.0
    start, features = fit.camera_from_model, castle_features(pictures[0], depth, mask, camera)
    for i in range(1, 30):
        depth = depth_of(folder / "depth" / f"{i:04d}.png")
        mask = silhouette(corners, faces, fit.camera_from_model, camera)
        followed: ModelFit | None = refine_model(
            model, fit, cleaned(depth, mask, camera), depth, mask, camera, config=CONFIG
        )
        assert followed is not None, f"lost in picture {i}"
        fit = followed
        if i % 7 == 1:
            moved = moved_by_features(features, pictures[i], camera) @ start
            assert add_m(model.points_m, fit.camera_from_model, moved) < 0.005
            assert np.rad2deg(angle_between(fit.camera_from_model[:3, :3], moved[:3, :3])) < 1.5
    turned = angle_between((fit.camera_from_model @ rigid_inverse(start))[:3, :3], np.eye(3))
    assert np.rad2deg(turned) > 10  # it was not standing still


def add_s_m(points: Array, a: Array, b: Array) -> float:
    return float(np.mean(cKDTree(transform_points(a, points)).query(transform_points(b, points))[0]))


def castle(folder: Path) -> tuple[Array, list[list[int]]]:
    """Corners and faces from ViSP's .cao files: points, no lines, no faces of lines, faces of points, each counted."""
    corners: list[list[float]] = []
    faces: list[list[int]] = []
    for path in sorted((folder / "chateau_parts").glob("*.cao")):
        rows = [words for line in path.read_text().splitlines() if (words := line.split("#")[0].split())][1:]
        count = int(rows[0][0])
        first = len(corners)
        corners += [[float(x) for x in row[:3]] for row in rows[1 : count + 1]]
        listed = rows[count + 4 : count + 4 + int(rows[count + 3][0])]
        faces += [[first + int(i) for i in row[1 : 1 + int(row[0])]] for row in listed]
    return np.array(corners), faces


def as_obj(path: Path, corners: Array, faces: list[list[int]]) -> Path:
    lines = [f"v {x} {y} {z}" for x, y, z in corners] + ["f " + " ".join(str(i + 1) for i in face) for face in faces]
    path.write_text("\n".join(lines))
    return path


def first_pose(folder: Path) -> Array:
    told = np.array((folder / "chateau.0.pos").read_text().split(), float)
    return rigid(Rotation.from_rotvec(told[3:]).as_matrix(), told[:3])


def silhouette(corners: Array, faces: list[list[int]], pose: Array, camera: Intrinsics) -> Array:
    mask = np.zeros((camera.height, camera.width), np.uint8)
    pixels = np.rint(project(transform_points(pose, corners), camera)).astype(np.int32)
    for face in faces:
        cv2.fillPoly(mask, [pixels[face]], 1)
    return mask.astype(bool)


def castle_features(picture: Array, depth: Array, mask: Array, camera: Intrinsics) -> tuple[Array, Array]:
    """Points of the first picture in space, and what they look like."""
    points, looks = cv2.SIFT_create(2000).detectAndCompute(picture, mask.astype(np.uint8) * 255)
    columns, rows = np.rint([point.pt for point in points]).astype(int).T
    known = np.isfinite(depth[rows, columns])
    return points_at(depth, rows[known], columns[known], camera), looks[known]


def moved_by_features(features: tuple[Array, Array], picture: Array, camera: Intrinsics) -> Array:
    """(4, 4) how the castle moved before the camera, by features alone (RANSAC and PnP)."""
    points, looks = cv2.SIFT_create(2000).detectAndCompute(picture, None)
    pairs = [a for a, b in cv2.BFMatcher().knnMatch(features[1], looks, k=2) if a.distance < 0.75 * b.distance]
    space = features[0][[pair.queryIdx for pair in pairs]].astype(np.float64)
    pixels = np.array([points[pair.trainIdx].pt for pair in pairs])
    k = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    cv2.setRNGSeed(0)
    _, turn, move, inside = cv2.solvePnPRansac(space, pixels, k, None, reprojectionError=2, iterationsCount=500)
    used = inside[:, 0]
    turn, move = cv2.solvePnPRefineLM(space[used], pixels[used], k, None, turn, move)
    return rigid(cv2.Rodrigues(turn)[0], move[:, 0])
