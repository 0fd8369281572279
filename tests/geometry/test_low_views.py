"""A camera hardly above the table: what it does not see of an object is said, and learned once it rises."""

from __future__ import annotations

import numpy as np
import pytest
from followed import Followed, Shot, a_camera, a_shot, on_table
from test_pose_track import BOX, CUBE, center_error_m, followed

from referent.config import GeometryConfig
from referent.geometry.estimate import estimate_pose, look
from referent.types import ObjectPose

_WITHIN = 16.3  # chi-square, 3 degrees of freedom, 99.9 %
_HEIGHTS = {"box": (BOX, 0.03), "cube": (CUBE, 0.035)}


def seen_from(elevation_deg: float, yaw_deg: float, name: str = "box") -> Shot:
    parts, z_m = _HEIGHTS[name]
    return a_shot(a_camera(0, elevation_deg), {"object": (parts, on_table(yaw_deg, z_m=z_m))})


def surprise(pose: ObjectPose, shot: Shot) -> float:
    error = pose.box.camera_from_object[:3, 3] - shot.camera_from("object")[:3, 3]
    return float(error @ np.linalg.solve(pose.covariance[:3, :3], error))


@pytest.mark.parametrize("name", list(_HEIGHTS))
@pytest.mark.parametrize("yaw_deg", [0, 20, 45])
@pytest.mark.parametrize("elevation_deg", [8, 12, 14, 15, 16, 18])
def test_a_low_view_is_as_unsure_as_it_is_wrong(elevation_deg, yaw_deg, name):
    shot = seen_from(elevation_deg, yaw_deg, name)
    pose = estimate_pose(shot.frame, shot.masks["object"], GeometryConfig(), up_in_camera=shot.up)
    assert pose is not None
    assert surprise(pose, shot) < _WITHIN


@pytest.mark.parametrize(("elevation_deg", "is_seen"), [(12, False), (15, False), (20, True), (30, True)])
def test_the_far_side_is_seen_once_the_top_is(elevation_deg, is_seen):
    shot = seen_from(elevation_deg, 20)
    seen = look(shot.frame, shot.masks["object"], GeometryConfig(), up_in_camera=shot.up)
    assert seen is not None
    assert seen.fit.far_side_seen == is_seen


def test_a_camera_that_rises_learns_the_depth_of_a_box():
    film: Followed = followed()
    for frame in range(25):
        shot = a_shot(a_camera(0, 15 + 1.2 * frame), {"object": (BOX, on_table(20))}, frame=frame)
        assert surprise(film.see(shot), shot) < _WITHIN
        if frame == 0:
            assert film.poses[0].quality.unobserved == (False, True, False)
    assert film.poses[-1].quality.unobserved == (False, False, False)
    assert center_error_m(film) < 0.006
