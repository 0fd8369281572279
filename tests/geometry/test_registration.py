"""Points laid on known surfaces: moves and turns that are known, and what a surface cannot hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from referent.geometry.poses import rigid, rigid_inverse, transform_points
from referent.geometry.registration import Target, register, rotation_of, rotation_vector, surface_of

SIZE_M = np.array([0.12, 0.08, 0.06])
RADIUS_M, HEIGHT_M = 0.04, 0.12
GATES = {"kernel_m": 0.004, "gate_m": 0.015}


def three_faces(count, seed, size_m=SIZE_M):
    """Points spread evenly over the three faces of a box that one view shows, and their normals."""
    rng = np.random.default_rng(seed)
    axis = np.arange(count) % 3
    points = rng.uniform(-0.5, 0.5, (count, 3)) * size_m
    points[np.arange(count), axis] = size_m[axis] / 2
    return points, np.eye(3)[axis]


def a_can(count, seed):
    """Points on the side and the top of a cylinder along z, and their normals."""
    rng = np.random.default_rng(seed)
    angle, on_side = rng.uniform(0, 2 * np.pi, count), np.arange(count) % 2 == 0
    out = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
    side = RADIUS_M * out + np.outer(rng.uniform(-0.5, 0.5, count) * HEIGHT_M, [0, 0, 1])
    top = RADIUS_M * np.sqrt(rng.uniform(0, 1, count))[:, None] * out + [0, 0, HEIGHT_M / 2]
    return np.where(on_side[:, None], side, top), np.where(on_side[:, None], out, [0.0, 0.0, 1.0])


def a_plane(count, seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.5, 0.5, (count, 3)) * [0.3, 0.2, 0.0]
    return points, np.tile([0.0, 0.0, 1.0], (count, 1))


def a_turn(axis, deg):
    return Rotation.from_rotvec(np.deg2rad(deg) * np.asarray(axis, float) / np.linalg.norm(axis)).as_matrix()


def turn_deg(a, b):
    return float(np.rad2deg(Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).magnitude()))


@pytest.mark.parametrize("seed", range(6))
def test_five_millimetres_and_three_degrees_are_found_to_a_tenth(seed):
    rng = np.random.default_rng(seed)
    off = rigid(a_turn(rng.normal(size=3), 3.0), 0.005 * (v := rng.normal(size=3)) / np.linalg.norm(v))
    somewhere = rigid(Rotation.random(random_state=seed).as_matrix(), rng.normal(size=3))
    points, _ = three_faces(600, seed + 100)
    laid = register(
        transform_points(rigid_inverse(somewhere), points), Target(*three_faces(6000, 1)), off @ somewhere, **GATES
    )
    assert (
        np.linalg.norm(
            transform_points(laid.target_from_points @ rigid_inverse(somewhere), points) - points, axis=1
        ).max()
        < 1e-4
    )
    assert turn_deg(laid.target_from_points, somewhere) < 0.1
    assert laid.overlap >= 0.99
    assert laid.residual_m < 1e-4


def test_a_cloud_laid_where_it_lies_stays_there():
    points, normals = three_faces(2000, 0)
    laid = register(points, Target(points, normals), np.eye(4), **GATES)
    np.testing.assert_allclose(laid.target_from_points, np.eye(4), atol=1e-9)
    assert laid.residual_m < 1e-9
    assert laid.overlap == 1.0


def test_the_yaw_of_a_can_stays_where_it_was_and_has_no_information():
    points, _ = a_can(600, 7)
    start = rigid(a_turn([0, 0, 1], 25) @ a_turn([1, 0, 0], 2), np.array([0.002, -0.002, 0.003]))
    laid = register(points, Target(*a_can(8000, 1)), start, **GATES)
    pose = laid.target_from_points
    assert np.linalg.norm(pose[:3, 3]) < 1e-4
    assert turn_deg(pose, rigid(a_turn([0, 0, 1], 25), np.zeros(3))) < 0.3
    about = np.diag(laid.information)[3:]
    assert about[2] < 0.02 * about[:2].min()  # of a sampled surface: neighbours' normals differ a little


def test_a_plane_holds_its_height_and_its_tilt_and_nothing_else():
    points, _ = a_plane(600, 3)
    start = rigid(a_turn([0, 0, 1], 10) @ a_turn([1, 1, 0], 1.5), np.array([0.02, -0.01, 0.004]))
    laid = register(points, Target(*a_plane(8000, 1)), start, **GATES)
    pose = laid.target_from_points
    np.testing.assert_allclose(pose[:2, 3], start[:2, 3], atol=2e-4)
    assert abs(pose[2, 3]) < 1e-5
    np.testing.assert_allclose(pose[:3, 2], [0, 0, 1], atol=1e-4)
    yaw_deg = np.rad2deg(np.arctan2(pose[1, 0], pose[0, 0]))
    assert abs(yaw_deg - 10) < 0.1
    held = np.linalg.eigvalsh(laid.information)
    assert held[:3].max() < 1e-9 * held[3:].min()


def test_points_that_do_not_belong_are_ignored():
    rng = np.random.default_rng(0)
    points, _ = three_faces(700, 5)
    strangers = rng.uniform(-0.5, 0.5, (300, 3)) * [0.12, 0.08, 0.06] + [0.0, 0.0, 0.07]  # a lump upon the box
    off = rigid(a_turn([1, 2, -1], 2.0), np.array([0.002, 0.002, -0.001]))
    laid = register(np.concatenate([points, strangers]), Target(*three_faces(6000, 1)), off, **GATES)
    assert np.linalg.norm(laid.target_from_points[:3, 3]) < 3e-4
    assert turn_deg(laid.target_from_points, np.eye(4)) < 0.3
    assert 0.69 < laid.overlap < 0.80


def test_points_far_from_everything_have_no_partner_and_stay():
    start = rigid(np.eye(3), np.array([0.5, 0.0, 0.0]))
    laid = register(three_faces(200, 0)[0], Target(*three_faces(2000, 1)), start, **GATES)
    np.testing.assert_array_equal(laid.target_from_points, start)
    assert laid.overlap == 0.0
    assert laid.residual_m == float("inf")
    assert not laid.information.any()


def test_information_predicts_the_spread_of_registrations():
    target, sigma_m = Target(*three_faces(6000, 1)), 0.0008
    points, normals = three_faces(300, 2)
    inside = (np.abs(points) < 0.45 * SIZE_M).sum(axis=1) >= 2  # pairs across an edge are another matter
    points, normals = points[inside], normals[inside]
    errors, predicted = [], np.zeros((6, 6))
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(0, sigma_m, (len(points), 1)) * normals
        laid = register(points + noise, target, np.eye(4), **GATES)
        center, pose = laid.rotation_center_m, laid.target_from_points
        moved = pose[:3, :3] @ center + pose[:3, 3] - center
        errors.append([*moved, *Rotation.from_matrix(pose[:3, :3]).as_rotvec()])
        predicted += np.linalg.inv(laid.information) * sigma_m**2 / 200
    whiten = np.linalg.inv(np.linalg.cholesky(predicted))
    spread = np.linalg.eigvalsh(whiten @ np.cov(np.array(errors).T) @ whiten.T)
    assert (spread > 0.5).all()
    assert (spread < 2.0).all()


def test_information_grows_with_the_points_and_is_symmetric():
    target = Target(*three_faces(6000, 1))
    few, many = (register(three_faces(n, 2)[0], target, np.eye(4), **GATES).information for n in (150, 600))
    np.testing.assert_allclose(few, few.T, rtol=1e-9, atol=1e-9)
    assert np.linalg.eigvalsh(many - 2 * few).min() > 0


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-3.0, 3.0)] * 3), st.floats(-1.0, 1.0))
def test_rotation_vectors_and_matrices_say_the_same(vector, scale):
    vector = np.array(vector) * scale
    np.testing.assert_allclose(rotation_of(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-9)
    back = rotation_vector(rotation_of(vector))
    np.testing.assert_allclose(rotation_of(back), rotation_of(vector), atol=1e-6)
    assert np.linalg.norm(back) <= np.pi + 1e-9


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 0], [0.2, -0.5, 0.9]])
@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 3.0, np.pi - 1e-7, np.pi])
def test_half_a_turn_and_hardly_any_turn_have_a_rotation_vector(axis, angle):
    vector = angle * np.array(axis) / np.linalg.norm(axis)
    back = rotation_vector(Rotation.from_rotvec(vector).as_matrix())
    assert np.isfinite(back).all()
    assert min(np.linalg.norm(back - vector), np.linalg.norm(back + vector) if angle > 3.1 else np.inf) < 1e-6


def test_the_surface_of_noisy_points_has_true_normals_and_less_noise():
    rng = np.random.default_rng(0)
    points, _ = a_plane(6000, 0)
    turn = a_turn([1, 0.3, 0], 40)
    noisy = (points + rng.normal(0, 0.0005, points.shape) * [0, 0, 1]) @ turn.T
    camera = turn @ np.array([0.0, 0.0, 0.5])
    surface = surface_of(noisy, 1000, 0.01, camera)
    assert 950 <= len(surface.points_m) <= 1000
    agreement = surface.normals @ turn[:, 2]
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-9)
    assert np.quantile(agreement, 0.05) > np.cos(np.deg2rad(5))
    assert np.std(surface.points_m @ turn[:, 2]) < 0.0003
    below = surface_of(noisy, 1000, 0.01, -camera)
    assert (below.normals @ turn[:, 2] < 0).all()


def test_lonely_points_are_no_surface():
    points, _ = a_plane(3000, 0)
    lonely = np.random.default_rng(1).uniform(0.5, 5.0, (30, 3))
    surface = surface_of(np.concatenate([points, lonely]), 3030, 0.01, np.array([0.0, 0.0, 0.5]))
    assert np.abs(surface.points_m).max() < 0.2
    assert len(surface.points_m) > 2900


@pytest.mark.parametrize("count", [2, 5, 7, 30])
def test_a_handful_of_points_gives_a_small_surface_or_none(count):
    surface = surface_of(three_faces(count, 0)[0], 1500, 0.006, np.array([0.0, 0.0, 1.0]))
    assert len(surface.points_m) == len(surface.normals) <= count
    assert np.isfinite(surface.points_m).all()
    assert np.isfinite(surface.normals).all()


def test_a_single_point_is_no_surface_and_an_empty_one_holds_nothing():
    assert len(surface_of(np.array([[0.0, 0.0, 0.5]]), 1500, 0.006, np.zeros(3)).points_m) <= 1
    empty = Target(np.zeros((0, 3)), np.zeros((0, 3)))
    laid = register(np.random.default_rng(0).normal(size=(30, 3)), empty, np.eye(4), kernel_m=0.004, gate_m=0.015)
    assert laid.overlap == 0


def test_the_errors_of_normals_say_nothing_of_the_turn_of_what_is_round():
    rng = np.random.default_rng(0)
    angle, height_m = (grid.ravel() for grid in np.meshgrid(np.arange(40) * np.pi / 20, np.linspace(-0.06, 0.06, 13)))
    radial = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    points = 0.04 * radial + height_m[:, None] * [0.0, 0.0, 1.0]
    normals = radial + rng.normal(size=radial.shape) * 0.03
    target = Target(points, normals / np.linalg.norm(normals, axis=1)[:, None])
    laid = register(points, target, np.eye(4), kernel_m=0.004, gate_m=0.015)
    about = np.diag(laid.information)[3:]
    assert about[2] < 1e-4 * about[0]
    assert np.linalg.eigvalsh(laid.information).min() > -1e-9
