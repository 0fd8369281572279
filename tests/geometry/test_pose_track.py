"""Poses over time against known films: what stays, what moves, what is hidden, what is swapped, and what is no pose."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from followed import CAMERA, FRAME_NS, Followed, a_camera, a_shot, a_sound_pose, on_table, turns_deg
from hypothesis import given, settings
from hypothesis import strategies as st
from known_shapes import CAN, MUG, a_part

from referent.config import GeometryConfig
from referent.geometry.estimate import estimate_pose
from referent.geometry.poses import rigid, rigid_inverse
from referent.geometry.track import PoseTrack
from referent.types import RgbdFrame

CONFIG = GeometryConfig()
BOX_M = np.array([0.12, 0.08, 0.06])
BOX = (a_part("box", (0.12, 0.08, 0.06), (0, 0, 0)),)
CUBE = (a_part("box", (0.07, 0.07, 0.07), (0, 0, 0)),)
MUG_MIDDLE_M = (0.0205, 0.0, 0.0)  # of its box, handle and all


def followed(**knowing):
    return Followed(PoseTrack(CONFIG), **knowing)


def center_error_m(seen, offset_m=(0, 0, 0)):
    """How far the newest box is from where the object is."""
    truth = seen.shots[-1].camera_from(seen.name, offset_m)
    return float(np.linalg.norm(seen.poses[-1].box.camera_from_object[:3, 3] - truth[:3, 3]))


def axis_error_deg(seen):
    """Largest angle between a true axis and the nearest axis of the newest box."""
    axes = seen.poses[-1].box.camera_from_object[:3, :3]
    agreement = np.abs(seen.shots[-1].camera_from(seen.name)[:3, :3].T @ axes)
    return float(np.rad2deg(np.arccos(np.clip(agreement.max(axis=1), -1, 1))).max())


def resting(parts=BOX, pose=None, *, frames=8, frame=0, camera=None, noise_px=0.05, table=True, **knowing):
    """A track of something that rests before a camera that rests."""
    seen = followed(**knowing)
    for step in range(frame, frame + frames):
        objects = {"object": (parts, on_table(30) if pose is None else pose)}
        seen.see(a_shot(a_camera() if camera is None else camera, objects, frame=step, noise_px=noise_px, table=table))
    return seen


@pytest.mark.parametrize(("parts", "z_m", "fixed"), [(BOX, 0.03, False), (CUBE, 0.035, True), (CAN, 0.06, True)])
def test_axes_stay_while_the_camera_goes_round(parts, z_m, fixed):
    seen = followed(fixed=fixed)
    for frame in range(45):
        seen.see(a_shot(a_camera(8.0 * frame), {"object": (parts, on_table(20, z_m=z_m))}, frame=frame))
    assert turns_deg(seen.boxes_in_world[:, :3, :3]).max() < 15
    assert np.linalg.norm(np.diff(seen.boxes_in_world[:, :3, 3], axis=0), axis=1).max() < 0.015


def test_a_full_round_brings_every_axis_back():
    seen = followed()
    for frame in range(61):
        seen.see(a_shot(a_camera(6.0 * frame), {"object": (BOX, on_table(20))}, frame=frame))
    first, last = seen.boxes_in_world[0], seen.boxes_in_world[-1]
    assert turns_deg(np.array([first[:3, :3], last[:3, :3]]))[0] < 3
    np.testing.assert_allclose(seen.poses[-1].box.size_m, BOX_M, atol=0.006)
    assert center_error_m(seen) < 0.004
    assert axis_error_deg(seen) < 2


@pytest.mark.parametrize(
    ("parts", "z_m", "noise_px"), [(BOX, 0.03, 0.15), (BOX, 0.03, 0.05), (MUG, 0.05, 0.1), (CAN, 0.06, 0.1)]
)
def test_what_rests_does_not_jitter(parts, z_m, noise_px):
    seen = resting(parts, on_table(30, z_m=z_m), frames=30, noise_px=noise_px)
    centers = seen.boxes_in_world[10:, :3, 3]
    assert np.linalg.norm(centers - centers.mean(axis=0), axis=1).max() < 0.002
    assert turns_deg(seen.boxes_in_world[10:, :3, :3]).max() < 1


def test_what_rests_is_said_to_rest_however_the_camera_moves():
    seen = followed()
    for frame in range(40):
        camera = a_camera(1.0 * frame, 35 + 0.3 * frame, 0.6 + 0.003 * frame)
        seen.see(a_shot(camera, {"object": (BOX, on_table(20))}, frame=frame))
    assert {pose.quality.motion for pose in seen.poses} == {"static"}


@pytest.mark.parametrize("fixed", [True, False])
def test_an_object_that_is_pushed_is_followed_and_comes_to_rest(fixed):
    seen = followed(fixed=fixed)
    said, errors = [], []
    for frame in range(75):
        share = np.clip((frame - 10) / 30, 0, 1)
        pose = on_table(30 + 20 * share, -0.05 + 0.1 * share)
        said.append(seen.see(a_shot(a_camera(), {"object": (BOX, pose)}, frame=frame)).quality.motion)
        errors.append(center_error_m(seen))
    assert np.median(errors) < 0.006
    assert max(errors) < 0.012
    assert axis_error_deg(seen) < 3
    born = {pose.quality.born_stamp_ns for pose in seen.poses}
    assert born == {0}
    if fixed:
        assert set(said[:10]) == {"static"}
        assert "moving" in said[11:20]
        assert set(said[20:38]) == {"moving"}
    assert set(said[-5:]) == {"static"}


def test_something_nearer_does_not_pull_the_center_along():
    seen = resting(frames=12)
    whole = seen.boxes_in_world[-1][:3, 3]
    errors, single = [], []
    for step in range(12):
        shot = a_shot(a_camera(), {"object": (BOX, on_table(30))}, frame=12 + step)
        columns = np.flatnonzero(shot.masks["object"].any(axis=0))
        hidden = np.zeros_like(shot.masks["object"])
        hidden[:, columns[0] - 10 : columns[0] + len(columns) * min(step, 6) // 12] = True
        depth_m = np.where(hidden, np.float32(0.3), shot.frame.depth_m)
        mask = shot.masks["object"] & ~hidden
        shot = replace(shot, frame=replace(shot.frame, depth_m=depth_m))
        pose = seen.see(shot, mask)
        errors.append(np.linalg.norm(seen.boxes_in_world[-1][:3, 3] - whole))
        alone = estimate_pose(shot.frame, mask, CONFIG, up_in_camera=shot.up)
        assert alone is not None
        single.append(np.linalg.norm(alone.box.camera_from_object[:3, 3] - pose.box.camera_from_object[:3, 3]))
    assert max(errors) < 0.010
    assert max(single) > 0.015  # it is hidden indeed


def test_a_mask_that_jumps_to_another_object_takes_the_pose_there_at_once():
    seen = followed()
    objects = {"object": (BOX, on_table(30, -0.15)), "other": (CAN, on_table(0, 0.17, z_m=0.06))}
    for frame in range(12):
        shot = a_shot(a_camera(), objects, frame=frame)
        seen.see(shot, shot.masks["object" if frame < 8 else "other"])
    there = [shot.camera_from("other")[:3, 3] for shot in seen.shots]
    errors = [np.linalg.norm(p.box.camera_from_object[:3, 3] - t) for p, t in zip(seen.poses, there, strict=True)]
    assert min(errors[:8]) > 0.25
    assert max(errors[8:]) < 0.012
    assert seen.poses[7].quality.born_stamp_ns == 0
    assert seen.poses[8].quality.born_stamp_ns == 8 * FRAME_NS
    assert seen.poses[8].quality.source == "box"
    np.testing.assert_allclose(seen.poses[-1].box.size_m, [0.07, 0.07, 0.12], atol=0.012)


def test_starting_anew_keeps_the_axes():
    seen = resting(CUBE, on_table(10, z_m=0.035), frames=5)
    for frame in range(5, 45):
        if frame % 8 == 0:
            seen.track.restart()
        seen.see(a_shot(a_camera(4.0 * frame), {"object": (CUBE, on_table(10, z_m=0.035))}, frame=frame))
    assert turns_deg(seen.boxes_in_world[:, :3, :3]).max() < 15
    assert seen.poses[-1].quality.born_stamp_ns == 40 * FRAME_NS


def test_a_camera_that_loses_and_finds_its_place_starts_anew():
    seen = followed()
    for frame in range(18):
        seen.fixed = frame // 3 % 2 == 0
        pose = seen.see(a_shot(a_camera(2.0 * frame), {"object": (BOX, on_table(20))}, frame=frame))
        assert pose.quality.born_stamp_ns == frame // 3 * 3 * FRAME_NS
        assert center_error_m(seen) < 0.010
        assert (pose.quality.source == "box") == (frame % 3 == 0)
    assert turns_deg(seen.boxes_in_world[:, :3, :3]).max() < 15


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("table", [True, False])
def test_it_works_without_gravity(table, fixed):
    seen = followed(gravity=False, fixed=fixed)
    for frame in range(20):
        shot = a_shot(a_camera(3.0 * frame), {"object": (BOX, on_table(20))}, frame=frame, table=table)
        seen.see(shot)
        assert center_error_m(seen) < (0.010 if table else 0.035)
    assert turns_deg(seen.boxes_in_world[:, :3, :3]).max() < 15
    if table:
        assert axis_error_deg(seen) < 4


def test_the_first_pose_is_a_box_and_later_ones_are_registered():
    seen = resting(frames=6, frame=3)
    qualities = [pose.quality for pose in seen.poses]
    assert [quality.source for quality in qualities] == ["box"] + ["registered"] * 5
    assert qualities[0].residual_m is None
    assert all(quality.residual_m is not None and 0 < quality.residual_m < 0.002 for quality in qualities[1:])
    assert {quality.born_stamp_ns for quality in qualities} == {3 * FRAME_NS}
    assert [quality.measured_stamp_ns for quality in qualities] == [shot.frame.stamp_ns for shot in seen.shots]
    assert qualities[-1].unobserved == (False, False, False)


def test_a_face_seen_head_on_leaves_the_depth_unobserved():
    camera = a_camera(0, 0, 0.5)
    seen = resting(BOX, on_table(0), camera=camera, frames=10, table=False)
    pose = seen.poses[-1]
    axes = pose.box.camera_from_object[:3, :3]
    deep = int(np.argmax(np.abs(axes[2])))
    expected = tuple(axis == deep for axis in range(3))
    assert pose.quality.unobserved == expected
    depth_sigma_m = np.sqrt(pose.covariance[2, 2])
    error_m = np.linalg.norm(pose.box.camera_from_object[:3, 3] - seen.shots[-1].camera_from("object")[:3, 3])
    assert depth_sigma_m > error_m / 2.5


def test_sides_once_seen_stay_observed_and_keep_their_length():
    seen = resting(BOX, on_table(0), camera=a_camera(0, 5, 0.5), frames=4)
    for frame in range(4, 44):
        seen.see(a_shot(a_camera(2.0 * frame - 8, 5 + 0.8 * frame), {"object": (BOX, on_table(0))}, frame=frame))
    assert seen.poses[-1].quality.unobserved == (False, False, False)
    np.testing.assert_allclose(seen.poses[-1].box.size_m, BOX_M, atol=0.008)
    for frame in range(44, 56):
        seen.see(a_shot(a_camera(0, 5), {"object": (BOX, on_table(0))}, frame=frame))
    assert seen.poses[-1].quality.unobserved == (False, False, False)
    np.testing.assert_allclose(seen.poses[-1].box.size_m, BOX_M, atol=0.008)


def test_a_mask_of_something_else_there_is_predicted_and_says_so():
    seen = resting(MUG, on_table(30, z_m=0.05), frames=10)
    known = seen.boxes_in_world[-1]
    rng = np.random.default_rng(0)
    shot = a_shot(a_camera(), {"object": (MUG, on_table(30, z_m=0.05))}, frame=10)
    depth_m = shot.frame.depth_m.copy()
    mask = shot.masks["object"]
    depth_m[mask] = (0.53 + 0.03 * np.sin(np.argwhere(mask)[:, 1] / 4) + rng.normal(0, 0.001, mask.sum())).astype(
        np.float32
    )
    pose = seen.see(replace(shot, frame=replace(shot.frame, depth_m=depth_m)), mask)
    assert pose.quality.source == "predicted"
    assert pose.quality.measured_stamp_ns == 9 * FRAME_NS
    assert np.linalg.norm(seen.boxes_in_world[-1][:3, 3] - known[:3, 3]) < 0.003
    back = seen.see(a_shot(a_camera(), {"object": (MUG, on_table(30, z_m=0.05))}, frame=11))
    assert back.quality.source == "registered"
    assert back.quality.born_stamp_ns == 0


def test_out_of_sight_for_seconds_it_is_the_same_object():
    seen = resting(frames=10)
    nothing = a_shot(a_camera(), {"object": (BOX, on_table(30))}, frame=11)
    assert (
        seen.track.step(
            nothing.frame,
            np.zeros_like(nothing.masks["object"]),
            up_in_camera=nothing.up,
            fixed_from_camera=nothing.world_from_camera,
        )
        is None
    )
    pose = seen.see(a_shot(a_camera(), {"object": (BOX, on_table(30))}, frame=160))
    assert pose.quality.born_stamp_ns == 0
    assert pose.quality.source == "registered"
    assert center_error_m(seen) < 0.006


def test_frames_of_the_same_or_an_earlier_stamp_do_no_harm():
    seen = resting(frames=6)
    for frame in (5, 5, 2, 6):
        seen.see(a_shot(a_camera(), {"object": (BOX, on_table(30))}, frame=frame))
        assert center_error_m(seen) < 0.006


@pytest.mark.parametrize("seed", range(4))
def test_turning_the_world_turns_the_poses(seed):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    other_from_world = rigid(q * np.linalg.det(q), rng.normal(size=3))
    here, there = followed(), followed()
    for frame in range(8):
        shot = a_shot(
            a_camera(3.0 * frame), {"object": (MUG, on_table(20, 0.01 * max(0, frame - 3), z_m=0.05))}, frame=frame
        )
        expected = here.see(shot)
        got = there.track.step(
            shot.frame,
            shot.masks["object"],
            up_in_camera=shot.up,
            fixed_from_camera=other_from_world @ shot.world_from_camera,
        )
        assert got is not None
        np.testing.assert_allclose(got.box.camera_from_object, expected.box.camera_from_object, atol=1e-5)
        np.testing.assert_allclose(got.covariance, expected.covariance, rtol=1e-3, atol=1e-9)
        assert got.quality.motion == expected.quality.motion


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_scaling_the_depth_scales_place_and_size(factor):
    seen, scaled = followed(), followed()
    for frame in range(12):
        shot = a_shot(a_camera(3.0 * frame), {"object": (BOX, on_table(20))}, frame=frame, noise_px=0.0)
        seen.see(shot)
        camera = shot.world_from_camera.copy()
        camera[:3, 3] *= factor
        frame_scaled = replace(shot.frame, depth_m=shot.frame.depth_m * np.float32(factor))
        scaled.see(replace(shot, frame=frame_scaled, world_from_camera=camera))
    before, after = seen.poses[-1].box, scaled.poses[-1].box
    np.testing.assert_allclose(after.size_m, factor * before.size_m, rtol=0.05)
    expected = factor * before.camera_from_object[:3, 3]
    np.testing.assert_allclose(after.camera_from_object[:3, 3], expected, atol=0.004 * factor)


def test_fewer_points_never_make_it_surer():
    sure = []
    for count in (20_000, 1500, 400):
        seen = Followed(PoseTrack(replace(CONFIG, max_points=count)))
        for frame in range(8):
            seen.see(a_shot(a_camera(2.0 * frame), {"object": (BOX, on_table(20))}, frame=frame))
        sure.append(np.linalg.eigvalsh(seen.poses[-1].covariance))
    for more, fewer in itertools.pairwise(sure):
        assert (fewer >= 0.9 * more).all()


def test_lost_depth_never_makes_it_surer():
    traces = []
    for share in (0.0, 0.5, 0.9):
        seen = followed()
        for frame in range(8):
            shot = a_shot(a_camera(2.0 * frame), {"object": (BOX, on_table(20))}, frame=frame)
            depth_m = shot.frame.depth_m.copy()
            depth_m[np.random.default_rng(frame).random(depth_m.shape) < share] = np.nan
            seen.see(replace(shot, frame=replace(shot.frame, depth_m=depth_m)))
        assert center_error_m(seen) < 3 * np.sqrt(np.trace(seen.poses[-1].covariance[:3, :3]))
        traces.append(np.trace(seen.poses[-1].covariance[:3, :3]))
    assert traces[1] >= 0.95 * traces[0]
    assert traces[2] >= 0.95 * traces[1]


@pytest.mark.parametrize("count", [100, 120])
def test_few_points_are_followed(count):
    seen = Followed(PoseTrack(replace(CONFIG, max_points=count)))
    for frame in range(8):
        seen.see(a_shot(a_camera(2.0 * frame), {"object": (BOX, on_table(20))}, frame=frame))
    assert center_error_m(seen) < 3 * np.sqrt(np.trace(seen.poses[-1].covariance[:3, :3]))


def test_nearly_all_depth_lost_is_followed():
    seen = followed()
    for frame in range(8):
        shot = a_shot(a_camera(2.0 * frame), {"object": (BOX, on_table(20))}, frame=frame)
        depth_m = shot.frame.depth_m.copy()
        depth_m[np.random.default_rng(frame).random(depth_m.shape) < 0.97] = np.nan
        seen.see(replace(shot, frame=replace(shot.frame, depth_m=depth_m)))


def nothing_to_see():
    shape = (CAMERA.height, CAMERA.width)
    plain = np.full(shape, 0.6, np.float32)
    empty, one, full = np.zeros(shape, bool), np.zeros(shape, bool), np.ones(shape, bool)
    one[150, 200] = True
    yield "empty mask", plain, empty
    yield "one pixel", plain, one
    yield "no depth image", None, full
    yield "all unknown", np.full_like(plain, np.nan), full
    yield "all zero", np.zeros_like(plain), full
    yield "all infinite", np.full_like(plain, np.inf), full
    yield "negative", -plain, full


@pytest.mark.parametrize(("depth_m", "mask"), [c[1:] for c in nothing_to_see()], ids=[c[0] for c in nothing_to_see()])
def test_nothing_to_see_gives_no_pose_and_spoils_nothing(depth_m, mask):
    seen = resting(frames=4)
    shot = seen.shots[-1]
    frame = replace(shot.frame, depth_m=depth_m, stamp_ns=4 * FRAME_NS)
    for fixed in (shot.world_from_camera, None):
        assert seen.track.step(frame, mask, up_in_camera=shot.up, fixed_from_camera=fixed) is None
    assert PoseTrack(CONFIG).step(frame, mask) is None
    after = seen.see(a_shot(a_camera(), {"object": (BOX, on_table(30))}, frame=5))
    assert after.quality.born_stamp_ns == 0
    assert after.quality.source == "registered"


@pytest.mark.parametrize("up", [None, np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, -1.0])])
def test_a_plane_alone_gives_an_honest_bound_over_many_frames(up):
    track = PoseTrack(CONFIG)
    mask = np.zeros((CAMERA.height, CAMERA.width), bool)
    mask[110:190, 150:270] = True
    rgb = np.zeros((*mask.shape, 3), np.uint8)
    for step in range(30):
        noise = np.random.default_rng(step).normal(0, 0.0005, mask.shape)
        depth_m = np.where(mask, 0.6 + noise, np.nan).astype(np.float32)
        pose = track.step(RgbdFrame(step * FRAME_NS, "camera", rgb, depth_m, CAMERA), mask, up_in_camera=up)
        assert pose is not None
        assert a_sound_pose(pose)
        assert np.sqrt(pose.covariance[2, 2]) > 0.02  # it may go on behind its face, 15 cm wide
        assert any(pose.quality.unobserved)
        from_above = up is not None and up[2] < -0.9  # then the rectangle is its footprint, with a yaw of its own
        assert pose.box.orientation_known == from_above


masks = st.lists(
    st.tuples(st.integers(0, 390), st.integers(0, 290), st.integers(1, 90), st.integers(1, 90)), min_size=0, max_size=4
)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(masks, st.integers(0, 5), st.booleans(), st.booleans()), min_size=1, max_size=5),
    st.integers(0, 99),
)
def test_rubbish_in_any_order_gives_none_or_a_sound_pose(frames, seed):
    rng = np.random.default_rng(seed)
    track = PoseTrack(replace(CONFIG, min_points=4, erode_px=int(rng.integers(0, 2))))
    rgb = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    for step, (rectangles, kind, gravity, fixed) in enumerate(frames):
        mask = np.zeros(rgb.shape[:2], bool)
        for x, y, width, height in rectangles:
            mask[y : y + height, x : x + width] = True
        depth_m = rng.choice([0.0, np.nan, np.inf, 0.5, 0.51, 3.0, 60.0], mask.shape).astype(np.float32)
        if kind > 1:
            depth_m[:, : 100 * kind] = rng.uniform(0.3, 0.32)
        frame = RgbdFrame(step * FRAME_NS, "camera", rgb, depth_m, CAMERA)
        pose = track.step(
            frame,
            mask,
            up_in_camera=rng.normal(size=3) if gravity else None,
            fixed_from_camera=a_camera(float(rng.uniform(0, 360))) if fixed else None,
        )
        assert pose is None or a_sound_pose(pose)


@pytest.mark.parametrize("mirror", [False, True])
def test_pictures_upside_down_or_mirrored_are_never_left_handed(mirror):
    seen = followed(fixed=False)
    for frame in range(6):
        shot = a_shot(a_camera(4.0 * frame), {"object": (MUG, on_table(20, z_m=0.05))}, frame=frame)
        flip = np.fliplr if mirror else np.flipud
        depth_m, mask = flip(shot.frame.depth_m).copy(), flip(shot.masks["object"]).copy()
        signs = np.array([-1.0, 1, 1]) if mirror else np.array([1.0, -1, 1])
        pose = seen.track.step(replace(shot.frame, depth_m=depth_m), mask, up_in_camera=signs * shot.up)
        assert pose is not None
        assert a_sound_pose(pose)
        truth = shot.camera_from("object", MUG_MIDDLE_M)[:3, 3] * signs
        assert np.linalg.norm(pose.box.camera_from_object[:3, 3] - truth) < 0.015


def test_a_mugs_box_holds_its_handle_and_its_axes():
    seen = followed()
    for frame in range(40):
        seen.see(a_shot(a_camera(2.0 * frame), {"object": (MUG, on_table(40, z_m=0.05))}, frame=frame))
    assert center_error_m(seen, MUG_MIDDLE_M) < 0.008
    assert axis_error_deg(seen) < 6
    assert seen.poses[-1].box.orientation_known
    np.testing.assert_allclose(np.sort(seen.poses[-1].box.size_m), [0.08, 0.1, 0.121], atol=0.01)


def test_a_can_never_gets_a_yaw():
    seen = followed()
    for frame in range(40):
        seen.see(a_shot(a_camera(3.0 * frame), {"object": (CAN, on_table(40, z_m=0.06))}, frame=frame))
    pose = seen.poses[-1]
    assert not pose.box.orientation_known
    up = seen.shots[-1].up
    assert up @ pose.covariance[3:, 3:] @ up > 3
    np.testing.assert_allclose(pose.box.size_m, [0.07, 0.07, 0.12], atol=0.006)


def test_relative_poses_do_not_drift_over_a_hundred_frames():
    seen = followed()
    for frame in range(100):
        camera = a_camera(15 * np.sin(frame / 8), 40 + 5 * np.sin(frame / 11))
        seen.see(a_shot(camera, {"object": (BOX, on_table(20))}, frame=frame))
    truth, boxes = on_table(20), seen.boxes_in_world
    relative = [rigid_inverse(truth) @ box for box in boxes]
    drift = rigid_inverse(relative[5]) @ relative[-1]
    assert np.linalg.norm(drift[:3, 3]) < 0.004
    assert turns_deg(np.array([np.eye(3), drift[:3, :3]]))[0] < 1.5


def test_the_same_film_gives_the_same_poses_bit_by_bit():
    first, second = (resting(MUG, on_table(30, z_m=0.05), frames=5) for _ in range(2))
    for a, b in zip(first.poses, second.poses, strict=True):
        np.testing.assert_array_equal(a.box.camera_from_object, b.box.camera_from_object)
        np.testing.assert_array_equal(a.covariance, b.covariance)


@pytest.mark.parametrize("noise_px", [0.05, 0.15])
def test_what_was_pushed_in_noise_rests_again(noise_px):
    seen = followed()
    for frame in range(80):
        pose = on_table(30, 0.1 * np.clip(frame / 30 - 0.3, 0, 1))
        seen.see(a_shot(a_camera(), {"object": (BOX, pose)}, frame=frame, noise_px=noise_px))
    assert {pose.quality.motion for pose in seen.poses[-10:]} == {"static"}


@pytest.mark.parametrize(("step_m", "fixed"), [(0.005, True), (0.010, False)])
def test_a_quick_push_is_followed(step_m, fixed):
    seen = followed(fixed=fixed)
    errors = []
    for frame in range(35):
        pose = on_table(20, -0.1 + step_m * np.clip(frame - 10, 0, 20))
        seen.see(a_shot(a_camera(), {"object": (BOX, pose)}, frame=frame))
        errors.append(center_error_m(seen))
    assert max(errors) < 0.020
    assert np.median(errors) < 0.006
