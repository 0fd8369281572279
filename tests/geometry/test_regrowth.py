"""A mask that ends short of its object is grown back to it, and never over what stands beside it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from followed import CAMERA, Shot, a_camera, a_shot, on_table
from test_pose_track import BOX, CAN, CUBE

from referent.config import GeometryConfig
from referent.geometry.camera import project
from referent.geometry.estimate import Look, look
from referent.geometry.poses import rigid
from referent.types import Array

_SHAPES = {"box": (BOX, 0.03), "cube": (CUBE, 0.035), "can": (CAN, 0.06)}


def changed(mask: Array, by_px: int) -> Array:
    change = cv2.dilate if by_px > 0 else cv2.erode
    return np.asarray(change(mask.astype(np.uint8), np.ones((2 * abs(by_px) + 1,) * 2, np.uint8)).astype(bool))


def looked_at(shot: Shot, mask: Array) -> Look:
    seen = look(shot.frame, mask, GeometryConfig(), up_in_camera=shot.up)
    assert seen is not None
    return seen


def center_of(seen: Look) -> Array:
    return seen.fit.box.camera_from_object[:3, 3]


def along_x(by_m: float) -> Array:
    return rigid(np.eye(3), np.array([by_m, 0.0, 0.0]))


def points_in(seen: Look, mask: Array) -> int:
    """How many of the points lie in a mask."""
    columns, rows = np.round(project(seen.points_m, CAMERA)).astype(int).T
    return int(np.count_nonzero(mask[rows, columns]))


@pytest.mark.parametrize("name", list(_SHAPES))
@pytest.mark.parametrize("short_px", [2, 3, 5])
def test_a_mask_that_is_short_gives_the_box_of_a_whole_one(name, short_px):
    parts, z_m = _SHAPES[name]
    shot = a_shot(a_camera(), {"object": (parts, on_table(20, z_m=z_m))})
    whole = looked_at(shot, shot.masks["object"])
    short = looked_at(shot, changed(shot.masks["object"], -short_px))
    assert np.linalg.norm(center_of(short) - center_of(whole)) < 0.0015
    np.testing.assert_allclose(short.fit.box.size_m, whole.fit.box.size_m, atol=0.003)


@pytest.mark.parametrize("name", list(_SHAPES))
@pytest.mark.parametrize("change_px", [0, 3])
def test_a_mask_that_is_not_short_stays_as_it_is(name, change_px):
    parts, z_m = _SHAPES[name]
    shot = a_shot(a_camera(), {"object": (parts, on_table(20, z_m=z_m))})
    seen = looked_at(shot, changed(shot.masks["object"], change_px))
    assert points_in(seen, ~shot.masks["object"]) == 0


@pytest.mark.parametrize("gap_m", [0.0, 0.002, 0.004])
@pytest.mark.parametrize("yaw_deg", [0, 30, 90])
@pytest.mark.parametrize("change_px", [0, -3])
def test_what_stands_close_by_is_left_alone(change_px, yaw_deg, gap_m):
    left, right = (on_table(yaw_deg) @ along_x(x_m) for x_m in (-0.06, 0.06 + gap_m))
    shot = a_shot(a_camera(), {"object": (BOX, left), "other": (BOX, right)})
    seen = looked_at(shot, changed(shot.masks["object"], change_px))
    assert points_in(seen, shot.masks["other"]) <= 10


@pytest.mark.parametrize("change_px", [0, -3])
def test_what_it_stands_on_is_left_alone(change_px):
    shot = a_shot(a_camera(), {"object": (CUBE, on_table(20, z_m=0.095)), "other": (BOX, on_table(20))})
    seen = looked_at(shot, changed(shot.masks["object"], change_px))
    assert points_in(seen, shot.masks["other"]) <= 10


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_mask_of_a_part_does_not_become_the_whole(share):
    shot = a_shot(a_camera(), {"object": (BOX, on_table(0))})
    part = shot.masks["object"].copy()
    columns = np.flatnonzero(part.any(axis=0))
    part[:, columns[int(share * len(columns))] :] = False
    seen = looked_at(shot, part)
    assert points_in(seen, ~part) == 0
