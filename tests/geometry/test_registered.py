"""Depth of a second camera becomes what the color camera would have measured: no pinholes, the nearest wins."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from referent.geometry.registered import is_registered, register_depth
from referent.types import Array, Intrinsics

COLOR = Intrinsics(640, 480, 615.0, 615.0, 312.2, 243.4)
DEPTH = Intrinsics(640, 480, 476.0, 476.0, 311.5, 246.3)
REAL = Path(__file__).resolve().parents[3] / "shared" / "real"
CASTLE = REAL / "visp_castel"


def a_pose(x: float = 0.0, y: float = 0.0, z: float = 0.0, turned_deg: tuple[float, float, float] = (0, 0, 0)) -> Array:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", turned_deg, degrees=True).as_matrix()
    pose[:3, 3] = x, y, z
    return pose


def seen(camera: Intrinsics, world_from_camera: Array, *, square_m: float = 0.3, slant: float = 0.0) -> Array:
    """Depth of a square 1 m before the world's origin and a wall 2 m before it that recedes by `slant` m per m of x."""
    v, u = np.mgrid[: camera.height, : camera.width]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u, float)], axis=-1)
    rays = rays @ world_from_camera[:3, :3].T  # length 1 along the camera's z
    x0, y0, z0 = world_from_camera[:3, 3]
    near = (1.0 - z0) / rays[..., 2]
    on_square = (abs(x0 + near * rays[..., 0]) < square_m / 2) & (abs(y0 + near * rays[..., 1]) < square_m / 2)
    wall = (2.0 - z0 + slant * x0) / (rays[..., 2] - slant * rays[..., 0])
    return np.where(on_square, near, wall).astype(np.float32)


def error_m(registered: Array, truth: Array, *, away_px: int = 2) -> Array:
    """Errors of known pixels that are not within `away_px` of a step."""
    square = np.ones((2 * away_px + 1,) * 2, np.uint8)
    smooth = cv2.dilate(truth, square) - cv2.erode(truth, square) < 0.3
    return np.abs(registered - truth)[smooth & np.isfinite(registered)]


@pytest.mark.parametrize(
    "color_from_depth",
    [a_pose(), a_pose(x=0.025, turned_deg=(0.3, 0.2, -0.2)), a_pose(x=-0.06, y=0.01, turned_deg=(2, -3, 1))],
)
@pytest.mark.parametrize(("depth_camera", "color_camera"), [(DEPTH, COLOR), (COLOR, DEPTH)])
def test_depth_is_where_the_color_camera_sees_it(
    depth_camera: Intrinsics, color_camera: Intrinsics, color_from_depth: Array
) -> None:
    depth_m = seen(depth_camera, color_from_depth)
    truth = seen(color_camera, np.eye(4))
    registered = register_depth(depth_m, depth_camera, color_from_depth, color_camera)
    assert registered.shape == (color_camera.height, color_camera.width)
    assert registered.dtype == np.float32
    assert error_m(registered, truth).max() < 1e-3  # a wall that is turned: at most one pixel's slant


def test_what_is_before_hides_what_is_behind_and_what_no_one_saw_stays_unknown() -> None:
    color_from_depth = a_pose(x=0.1)
    registered = register_depth(seen(DEPTH, a_pose(x=0.1)), DEPTH, color_from_depth, COLOR)
    truth = seen(COLOR, np.eye(4))
    on_square = cv2.erode((truth < 1.5).astype(np.uint8), np.ones((5, 5))).astype(bool)
    np.testing.assert_allclose(registered[on_square], 1.0, atol=1e-5)  # no wall shines through
    beside = registered[200:280, 406:430]  # right of the square: hidden from the depth camera, which is to the right
    left = registered[200:280, 190:214]
    assert np.isnan(left).mean() + np.isnan(beside).mean() > 0.9
    assert not (np.isnan(left).any() and np.isnan(beside).any())


@pytest.mark.parametrize("finer", [0.5, 0.9, 1.0, 1.29, 2.0, 3.0])
@pytest.mark.parametrize("slant", [0.0, 0.8])
def test_a_surface_has_no_pinholes_however_fine_the_color_pixels_are(finer: float, slant: float) -> None:
    color = Intrinsics(round(640 * finer), round(480 * finer), 476 * finer, 476 * finer, 311.5 * finer, 246.3 * finer)
    color_from_depth = a_pose(x=0.02, turned_deg=(0, 1, 0))
    depth_m = seen(DEPTH, color_from_depth, square_m=0.0, slant=slant)
    registered = register_depth(depth_m, DEPTH, color_from_depth, color)
    rows, columns = slice(color.height // 8, -color.height // 8), slice(color.width // 8, -color.width // 8)
    assert np.isfinite(registered[rows, columns]).all()


def test_holes_stay_holes_and_edges_do_not_grow() -> None:
    depth_m = seen(DEPTH, np.eye(4))
    depth_m[100:140, 100:140] = np.nan
    depth_m[300:340, 100:140] = 0.0
    registered = register_depth(depth_m, DEPTH, np.eye(4), COLOR)
    for rows in (slice(100, 140), slice(300, 340)):
        u, v = (np.array([100, 140]) - 311.5) / 476 * 615 + 312.2, (np.array([rows.start, rows.stop]) - 246.3) / 476
        v = v * 615 + 243.4
        middle = registered[int(v[0]) + 2 : int(v[1]) - 2, int(u[0]) + 2 : int(u[1]) - 2]
        assert np.isnan(middle).all()
    wide = np.count_nonzero(registered[243] < 1.5)
    assert wide == pytest.approx(0.3 * 615, abs=1.5)


def test_nothing_known_gives_nothing_known() -> None:
    assert np.isnan(register_depth(np.full((480, 640), np.nan, np.float32), DEPTH, np.eye(4), COLOR)).all()
    behind = register_depth(np.ones((480, 640), np.float32), DEPTH, a_pose(z=-3.0), COLOR)
    assert np.isnan(behind).all()


def test_cameras_that_see_the_same_need_no_registration() -> None:
    same = Intrinsics(640, 480, 615.2, 615.0, 312.2, 243.4)
    assert is_registered(same, np.eye(4), COLOR)
    assert not is_registered(DEPTH, np.eye(4), COLOR)
    assert not is_registered(COLOR, a_pose(x=0.001), COLOR)
    assert not is_registered(Intrinsics(320, 240, 307.5, 307.5, 156.1, 121.7), np.eye(4), COLOR)


def test_it_is_fast_enough_for_every_frame() -> None:
    depth_m = seen(DEPTH, np.eye(4))
    times_s = []
    for _ in range(7):
        started = time.perf_counter()
        register_depth(depth_m, DEPTH, a_pose(x=0.02), COLOR)
        times_s.append(time.perf_counter() - started)
    assert min(times_s) < 0.025


@pytest.mark.skipif(not CASTLE.is_dir(), reason="../shared/real/visp_castel is not on this machine")
def test_the_castles_depth_is_registered_as_its_dataset_does_it() -> None:
    told = json.loads((CASTLE / "camera.json").read_text())
    grey = Intrinsics(640, 480, *(told[name] for name in ("fx", "fy", "cx", "cy")))
    sensor = Intrinsics(640, 480, *(told["raw_depth"][name] for name in ("fx", "fy", "cx", "cy")))
    color_from_depth = np.linalg.inv(np.loadtxt(CASTLE / "depth_M_color.txt"))
    raw = cv2.imread(str(CASTLE / "depth_unregistered" / "0000.png"), cv2.IMREAD_UNCHANGED)
    theirs = cv2.imread(str(CASTLE / "depth" / "0000.png"), cv2.IMREAD_UNCHANGED) * np.float32(0.0001)
    depth_m = np.where(raw > 0, raw * np.float32(0.000125), np.float32(np.nan))
    registered = register_depth(depth_m, sensor, color_from_depth, grey)
    both = np.isfinite(registered) & (theirs > 0)
    assert both.sum() > 0.97 * (theirs > 0).sum()
    assert np.percentile(np.abs(registered - theirs)[both], 95) < 0.002
