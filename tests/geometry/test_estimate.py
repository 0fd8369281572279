"""Boxes and poses of exactly known objects: where they are, how large, how sure, and that nothing breaks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rendered import CAMERA, a_render

from referent.config import GeometryConfig
from referent.geometry.estimate import estimate_pose
from referent.geometry.symmetry import continue_axes
from referent.types import Intrinsics, OrientedBox, RgbdFrame

CONFIG = GeometryConfig()


def the_pose(render, *, gravity=True, mask=None, config=CONFIG, previous=None):
    pose = estimate_pose(
        render.frame,
        render.mask if mask is None else mask,
        config,
        up_in_camera=render.up_in_camera if gravity else None,
        previous=previous,
    )
    assert pose is not None
    return pose


def center_error_m(pose, render):
    return float(np.linalg.norm(pose.box.camera_from_object[:3, 3] - render.camera_from_object[:3, 3]))


def axis_error_deg(pose, render):
    """Largest angle between a true axis and the nearest axis of the box."""
    agreement = np.abs(render.camera_from_object[:3, :3].T @ pose.box.camera_from_object[:3, :3])
    return float(np.rad2deg(np.arccos(np.clip(agreement.max(axis=1), -1, 1))).max())


def a_sound_pose(pose):
    rotation = pose.box.camera_from_object[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) > 0
    assert (pose.box.size_m > 0).all()
    assert np.isfinite(pose.box.camera_from_object).all()
    assert np.isfinite(pose.covariance).all()
    np.testing.assert_allclose(pose.covariance, pose.covariance.T)
    assert np.linalg.eigvalsh(pose.covariance).min() > 0
    assert pose.box.point_count == len(pose.cloud.points_m)
    return True


@pytest.mark.parametrize("gravity", [True, False])
@pytest.mark.parametrize("yaw_deg", [0, 20, 45, 70])
@pytest.mark.parametrize("elevation_deg", [25, 45, 65, 88])
def test_a_box_on_a_table_is_found_with_its_size_and_axes(elevation_deg, yaw_deg, gravity):
    render = a_render(elevation_deg=elevation_deg, yaw_deg=yaw_deg, noise_px=0.1)
    pose = the_pose(render, gravity=gravity)
    assert a_sound_pose(pose)
    assert center_error_m(pose, render) < 0.008
    np.testing.assert_allclose(pose.box.size_m, render.size_m, atol=0.012)
    assert axis_error_deg(pose, render) < 4
    assert pose.box.orientation_known


@pytest.mark.parametrize("elevation_deg", [25, 45, 65])
def test_a_can_is_round_and_its_yaw_unknown(elevation_deg):
    render = a_render((0.08, 0.08, 0.12), shape="cylinder", elevation_deg=elevation_deg, noise_px=0.1)
    pose = the_pose(render)
    assert a_sound_pose(pose)
    assert not pose.box.orientation_known
    assert center_error_m(pose, render) < 0.006
    np.testing.assert_allclose(pose.box.size_m, render.size_m, atol=0.006)
    up = render.up_in_camera
    assert up @ pose.covariance[3:, 3:] @ up > 3  # pi^2 / 3: any yaw at all
    level = np.cross(up, [1.0, 0.0, 0.0])
    level /= np.linalg.norm(level)
    assert level @ pose.covariance[3:, 3:] @ level < 0.01


@pytest.mark.parametrize("grow_px", [-2, 2, 4])
def test_a_loose_or_tight_mask_moves_the_center_little(grow_px):
    render = a_render(noise_px=0.05)
    square = np.ones((2 * abs(grow_px) + 1,) * 2, np.uint8)
    changed = (cv2.dilate if grow_px > 0 else cv2.erode)(render.mask.astype(np.uint8), square).astype(bool)
    moved = the_pose(render, mask=changed).box.camera_from_object - the_pose(render).box.camera_from_object
    assert np.linalg.norm(moved[:3, 3]) < 0.004


def test_the_box_stands_on_its_support_when_its_foot_is_hidden():
    render = a_render((0.10, 0.08, 0.12), elevation_deg=30)
    depth_m = render.frame.depth_m.copy()
    rows = np.flatnonzero(render.mask.any(axis=1))
    hidden = np.zeros_like(render.mask)
    hidden[rows[-1] - len(rows) // 3 : rows[-1] + 2, 200:440] = True
    depth_m[hidden] = 0.35
    pose = the_pose(replace(render, frame=replace(render.frame, depth_m=depth_m), mask=render.mask & ~hidden))
    assert abs(pose.box.size_m[2] - 0.12) < 0.01
    free = the_pose(render)
    assert np.trace(pose.covariance[:3, :3]) > 1.5 * np.trace(free.covariance[:3, :3])


def test_rotating_the_camera_rotates_the_pose():
    upright = a_render(roll_deg=0)
    for roll_deg in (30, 90, 180):
        rolled = a_render(roll_deg=roll_deg)
        rolled_from_upright = rolled.camera_from_object @ np.linalg.inv(upright.camera_from_object)
        expected, got = the_pose(upright), the_pose(rolled)
        same = continue_axes(
            got.box, replace(expected.box, camera_from_object=rolled_from_upright @ expected.box.camera_from_object)
        )
        difference = np.linalg.inv(rolled_from_upright @ expected.box.camera_from_object) @ same.camera_from_object
        assert np.linalg.norm(difference[:3, 3]) < 0.002
        assert np.rad2deg(np.arccos(np.clip((np.trace(difference[:3, :3]) - 1) / 2, -1, 1))) < 2
        np.testing.assert_allclose(same.size_m, expected.box.size_m, atol=0.003)


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_scaling_the_depth_scales_place_and_size(factor):
    render = a_render((0.16, 0.12, 0.10), distance_m=0.8)
    scaled = replace(render, frame=replace(render.frame, depth_m=render.frame.depth_m * np.float32(factor)))
    before, after = the_pose(render).box, the_pose(scaled).box
    np.testing.assert_allclose(after.size_m, factor * before.size_m, rtol=0.04)
    np.testing.assert_allclose(
        after.camera_from_object[:3, 3], factor * before.camera_from_object[:3, 3], atol=0.004 * factor
    )


def test_the_same_picture_gives_the_same_pose_bit_by_bit():
    render = a_render(noise_px=0.1)
    first, second = the_pose(render), the_pose(render)
    np.testing.assert_array_equal(first.box.camera_from_object, second.box.camera_from_object)
    np.testing.assert_array_equal(first.covariance, second.covariance)


@pytest.mark.parametrize("gravity", [True, False])
def test_fewer_points_never_make_it_surer(gravity):
    render = a_render(noise_px=0.1)
    sure = [
        np.linalg.eigvalsh(the_pose(render, gravity=gravity, config=replace(CONFIG, max_points=count)).covariance)
        for count in (20_000, 4000, 800, 160)
    ]
    for more, fewer in itertools.pairwise(sure):
        assert (fewer >= 0.98 * more).all()
    assert sure[-1][-1] > 1.2 * sure[0][-1]


def test_lost_depth_pixels_never_make_it_surer():
    render = a_render(noise_px=0.1)
    whole = the_pose(render)
    for share in (0.3, 0.6, 0.9):
        depth_m = render.frame.depth_m.copy()
        depth_m[np.random.default_rng(0).random(depth_m.shape) < share] = np.nan
        thin = the_pose(replace(render, frame=replace(render.frame, depth_m=depth_m)))
        assert a_sound_pose(thin)
        assert center_error_m(thin, render) < 3 * np.sqrt(np.trace(thin.covariance[:3, :3]))
        assert np.trace(thin.covariance[:3, :3]) > 0.95 * np.trace(whole.covariance[:3, :3])


def test_farther_objects_are_less_sure():
    sigmas = [np.trace(the_pose(a_render(distance_m=d, noise_px=0.1)).covariance[:3, :3]) for d in (0.5, 1.0, 2.0)]
    assert sigmas[0] < sigmas[1] < sigmas[2]


def test_an_object_cut_by_the_picture_is_unsure_in_that_direction():
    inside, cut = a_render(), a_render(at_m=(0.40, 0.0))
    assert cut.mask[:, -1].any()
    ratio = the_pose(cut).covariance[0, 0] / the_pose(inside).covariance[0, 0]
    assert ratio > 4


def test_without_any_table_the_box_is_honest_about_its_axes():
    pose = the_pose(a_render(plane=False), gravity=False)
    assert a_sound_pose(pose)
    assert not pose.box.orientation_known
    assert (np.diag(pose.covariance)[3:] > 3).all()


def test_one_flat_face_gives_half_a_side_of_doubt_behind_it():
    depth_m = np.full((480, 640), np.nan, np.float32)
    mask = np.zeros((480, 640), bool)
    mask[200:280, 260:380] = True
    depth_m[mask] = 0.6
    frame = RgbdFrame(0, "camera", np.zeros((480, 640, 3), np.uint8), depth_m, CAMERA)
    for up in (np.array([0.0, -1.0, 0.0]), None):
        pose = estimate_pose(frame, mask, CONFIG, up_in_camera=up)
        assert a_sound_pose(pose)
        assert not pose.box.orientation_known
        assert pose.covariance[2, 2] > (0.12 / 2 * 0.9) ** 2


def test_a_thin_object_keeps_its_height_above_the_table():
    render = a_render((0.15, 0.10, 0.004), elevation_deg=50)
    pose = the_pose(render)
    assert a_sound_pose(pose)
    np.testing.assert_allclose(pose.box.size_m, render.size_m, atol=0.008)
    assert center_error_m(pose, render) < 0.006


def a_masked_frame(depth_m, mask):
    return RgbdFrame(0, "camera", np.zeros((480, 640, 3), np.uint8), depth_m, CAMERA), mask


def nothing_to_see():
    plain = np.full((480, 640), 0.6, np.float32)
    empty, one, full = np.zeros((480, 640), bool), np.zeros((480, 640), bool), np.ones((480, 640), bool)
    one[240, 320] = True
    yield "empty mask", plain, empty
    yield "one pixel", plain, one
    yield "no depth image", None, full
    yield "all unknown", np.full_like(plain, np.nan), full
    yield "all zero", np.zeros_like(plain), full
    yield "all infinite", np.full_like(plain, np.inf), full
    yield "negative", -plain, full


@pytest.mark.parametrize(
    ("depth_m", "mask"), [case[1:] for case in nothing_to_see()], ids=[c[0] for c in nothing_to_see()]
)
def test_nothing_to_see_gives_no_pose(depth_m, mask):
    frame, mask = a_masked_frame(depth_m, mask)
    assert estimate_pose(frame, mask, CONFIG) is None
    assert estimate_pose(frame, mask, CONFIG, up_in_camera=np.array([0.0, -1.0, 0.0])) is None


@pytest.mark.parametrize("seed", range(12))
def test_rubbish_never_crashes(seed):
    rng = np.random.default_rng(seed)
    depth_m = rng.choice([0.0, np.nan, np.inf, 0.5, 0.51, 3.0, 60.0], (480, 640)).astype(np.float32)
    depth_m[:, : rng.integers(0, 640)] = rng.uniform(0.3, 0.32)
    mask = np.zeros((480, 640), bool)
    for _ in range(rng.integers(1, 30)):
        x, y, w, h = rng.integers(0, 600), rng.integers(0, 440), rng.integers(1, 60), rng.integers(1, 60)
        mask[y : y + h, x : x + w] = True
    frame, mask = a_masked_frame(depth_m, mask)
    for up in (None, rng.normal(size=3)):
        for config in (CONFIG, replace(CONFIG, min_points=4, erode_px=0, plane_ring_px=2)):
            pose = estimate_pose(frame, mask, config, up_in_camera=up)
            assert pose is None or a_sound_pose(pose)


@pytest.mark.parametrize("shape", ["line", "column", "two by two"])
def test_degenerate_masks_give_none_or_a_sound_box(shape):
    mask = np.zeros((480, 640), bool)
    mask[{"line": np.s_[240, 100:500], "column": np.s_[100:400, 320], "two by two": np.s_[240:242, 320:322]}[shape]] = (
        True
    )
    frame, mask = a_masked_frame(np.full((480, 640), 0.6, np.float32), mask)
    for up in (None, np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, -1.0])):
        pose = estimate_pose(frame, mask, replace(CONFIG, min_points=4), up_in_camera=up)
        assert pose is None or a_sound_pose(pose)


def test_a_mask_of_another_size_or_type_is_refused():
    render = a_render()
    with pytest.raises(ValueError, match=r"mask: expected bool \(480, 640\)"):
        estimate_pose(render.frame, render.mask[:-1], CONFIG)
    with pytest.raises(ValueError, match="got uint8"):
        estimate_pose(render.frame, render.mask.astype(np.uint8), CONFIG)
    with pytest.raises(ValueError, match="no direction"):
        estimate_pose(render.frame, render.mask, CONFIG, up_in_camera=np.zeros(3))


def test_the_cloud_is_the_cleaned_object_in_color():
    render = a_render()
    rgb = np.zeros((480, 640, 3), np.uint8)
    rgb[render.mask] = (10, 200, 30)
    pose = the_pose(replace(render, frame=replace(render.frame, rgb=rgb)), config=replace(CONFIG, max_points=500))
    assert len(pose.cloud.points_m) == 500
    assert (pose.cloud.rgb == (10, 200, 30)).all()
    local = (pose.cloud.points_m - render.camera_from_object[:3, 3]) @ render.camera_from_object[:3, :3]
    assert (np.abs(local) <= render.size_m / 2 + 1e-4).all()


def test_a_portrait_picture_works_as_well():
    camera = Intrinsics(480, 640, 600.0, 610.0, 239.5, 319.5)
    render = a_render(camera=camera)
    assert center_error_m(the_pose(render), render) < 0.006


def jumps_deg(boxes: list[OrientedBox]) -> np.ndarray:
    turns = [a.camera_from_object[:3, :3].T @ b.camera_from_object[:3, :3] for a, b in itertools.pairwise(boxes)]
    return np.array([np.rad2deg(np.arccos(np.clip((np.trace(t) - 1) / 2, -1, 1))) for t in turns])


@pytest.mark.parametrize(
    ("shape", "size_m"), [("box", (0.085,) * 3), ("box", (0.12, 0.08, 0.06)), ("cylinder", (0.08, 0.08, 0.1))]
)
def test_axes_do_not_flip_while_the_object_turns(shape, size_m):
    boxes: list[OrientedBox] = []
    for step in range(24):
        render = a_render(size_m, shape=shape, yaw_deg=8.0 * step, noise_px=0.1, seed=step)
        boxes.append(the_pose(render, previous=boxes[-1] if boxes else None).box)
    assert jumps_deg(boxes).max() < 15


@pytest.mark.parametrize("erode_px", [0, 5, 10])
def test_a_wide_border_is_left_out_when_asked_for_and_the_size_stays(erode_px):
    render = a_render(noise_px=0.05)
    pose = estimate_pose(render.frame, render.mask, GeometryConfig(erode_px=erode_px), up_in_camera=render.up_in_camera)
    np.testing.assert_allclose(pose.box.size_m, render.size_m, atol=0.008)
    if erode_px == 10:
        assert pose.box.point_count < 0.75 * np.count_nonzero(render.mask)
