"""A pose track where things are pushed fast, turned, tipped, and hide what gives them their axes."""

from __future__ import annotations

import numpy as np
import pytest
from followed import Followed, a_camera, a_shot, on_table, turns_deg
from scipy.spatial.transform import Rotation
from test_pose_track import BOX, CAN, MUG, MUG_MIDDLE_M, axis_error_deg, center_error_m, followed

from referent.config import GeometryConfig
from referent.geometry.poses import rigid
from referent.geometry.track import PoseTrack


@pytest.mark.parametrize(("start_deg", "step_deg", "fixed"), [(0.0, 6.0, True), (150.0, 3.0, False)])
def test_axes_stay_while_a_mug_hides_its_handle(start_deg, step_deg, fixed):
    seen = followed(fixed=fixed)
    for frame in range(60):
        seen.see(a_shot(a_camera(start_deg + step_deg * frame), {"object": (MUG, on_table(20, z_m=0.05))}, frame=frame))
        if frame > 5:
            assert center_error_m(seen, MUG_MIDDLE_M) < 0.015
    assert turns_deg(seen.boxes_in_world[:, :3, :3]).max() < 15


@pytest.mark.parametrize(("parts", "z_m", "noise_px"), [(BOX, 0.03, 0.1), (CAN, 0.06, 0.1)])
def test_what_rests_is_said_to_rest_in_noise(parts, z_m, noise_px):
    seen = followed()
    for frame in range(60):
        seen.see(
            a_shot(a_camera(2.0 * frame), {"object": (parts, on_table(20, z_m=z_m))}, frame=frame, noise_px=noise_px)
        )
    said = [pose.quality.motion for pose in seen.poses]
    assert said.count("moving") <= 6
    assert said[-1] == "static"


def eased(frame, start, end):
    return float(np.clip((frame - start) / (end - start), 0, 1))


@pytest.mark.parametrize("fixed", [True, False])
def test_a_fast_push_is_followed(fixed):
    seen = followed(fixed=fixed)
    errors = []
    for frame in range(40):
        pose = on_table(20, -0.15 + 0.015 * np.clip(frame - 10, 0, 20))
        seen.see(a_shot(a_camera(), {"object": (BOX, pose)}, frame=frame))
        errors.append(center_error_m(seen))
    assert max(errors) < 0.020
    assert np.median(errors) < 0.006


@pytest.mark.parametrize(("step_deg", "fixed"), [(1.0, True), (4.0, True), (2.0, False)])
def test_a_turning_mug_is_followed(step_deg, fixed):
    seen = followed(fixed=fixed)
    for frame in range(40):
        yaw_deg = -90 + np.clip(step_deg * (frame - 5), 0, 120)  # the handle points to the camera, then aside
        seen.see(a_shot(a_camera(), {"object": (MUG, on_table(yaw_deg, z_m=0.05))}, frame=frame))
        assert center_error_m(seen, MUG_MIDDLE_M) < 0.012
        assert axis_error_deg(seen) < 12
    if fixed:
        assert seen.poses[20].quality.motion == "moving"


def test_a_lifted_and_tilted_box_keeps_its_axes():
    seen = followed()
    for frame in range(60):
        share = eased(frame, 10, 40)
        turn = Rotation.from_euler("x", -40 * share, degrees=True) * Rotation.from_euler("z", 30, degrees=True)
        pose = rigid(turn.as_matrix(), np.array([0.05 * share, 0.0, 0.03 + 0.15 * share]))
        seen.see(a_shot(a_camera(), {"object": (BOX, pose)}, frame=frame))
    assert axis_error_deg(seen) < 5
    assert center_error_m(seen) < 0.010
    np.testing.assert_allclose(np.sort(seen.poses[-1].box.size_m), [0.06, 0.08, 0.12], atol=0.010)


def test_how_sure_it_may_be_does_not_change_what_is_followed():
    """The floors tell others what calibration is worth; a camera that has none to add is followed no worse."""
    usual, exact = followed(), Followed(PoseTrack(GeometryConfig(floor_position_m=0.0, floor_rotation_deg=0.0)))
    for frame in range(30):
        pose = on_table(20 + 4.0 * np.clip(frame - 8, 0, 10), -0.1 + 0.01 * np.clip(frame - 8, 0, 10))
        shot = a_shot(a_camera(1.0 * frame), {"object": (BOX, pose)}, frame=frame, noise_px=0.1)
        cautious, sure = usual.see(shot), exact.see(shot)
        np.testing.assert_array_equal(cautious.box.camera_from_object, sure.box.camera_from_object)
        np.testing.assert_array_equal(cautious.box.size_m, sure.box.size_m)
        assert np.linalg.eigvalsh(cautious.covariance - sure.covariance).min() > 1e-6
