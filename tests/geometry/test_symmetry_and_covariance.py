"""Equal descriptions of a box, and what makes its covariance grow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from referent.config import GeometryConfig
from referent.geometry.box import BoxFit
from referent.geometry.covariance import UNKNOWN_ANGLE_RAD, pose_covariance
from referent.geometry.noise import depth_sigma_m, independent_samples
from referent.geometry.poses import rigid
from referent.geometry.symmetry import continue_axes, smallest_rotation
from referent.types import OrientedBox


def a_box(rotation=None, size_m=(0.12, 0.08, 0.06), at_m=(0.1, 0.0, 0.6), point_count=5000, orientation_known=True):
    rotation = np.eye(3) if rotation is None else rotation
    return OrientedBox(rigid(rotation, np.array(at_m)), np.array(size_m, float), point_count, orientation_known)


def corners(box):
    signs = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T / 2
    points = (signs * box.size_m) @ box.camera_from_object[:3, :3].T + box.camera_from_object[:3, 3]
    return points[np.lexsort(np.round(points, 6).T)]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31))
def test_another_description_is_the_same_box_and_right_handed(seed):
    rng = np.random.default_rng(seed)
    box = a_box(Rotation.random(rng=rng).as_matrix(), rng.uniform(0.02, 0.3, 3))
    previous = a_box(Rotation.random(rng=rng).as_matrix(), rng.uniform(0.02, 0.3, 3))
    same = continue_axes(box, previous)
    assert np.linalg.det(same.camera_from_object[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(corners(same), corners(box), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 23))
def test_a_permuted_description_is_turned_back(seed, which):
    rng = np.random.default_rng(seed)
    previous = a_box(Rotation.random(rng=rng).as_matrix())
    permutation = Rotation.create_group("O").as_matrix()[which]
    shaken = Rotation.from_rotvec(np.deg2rad(10) * rng.uniform(-1, 1, 3)).as_matrix()
    now = a_box(
        shaken @ previous.camera_from_object[:3, :3] @ permutation, np.abs(permutation).T @ previous.size_m * 1.03
    )
    back = continue_axes(now, previous)
    np.testing.assert_allclose(back.size_m, previous.size_m * 1.03)
    np.testing.assert_allclose(back.camera_from_object[:3, :3], shaken @ previous.camera_from_object[:3, :3], atol=1e-6)


def test_clearly_different_sides_keep_their_names_after_an_unseen_quarter_turn():
    quarter = Rotation.from_euler("z", 85, degrees=True).as_matrix()
    now = continue_axes(a_box(quarter, (0.20, 0.08, 0.06)), a_box(size_m=(0.20, 0.08, 0.06)))
    np.testing.assert_allclose(now.size_m, (0.20, 0.08, 0.06))


def test_equal_sides_take_the_nearest_turn():
    quarter = Rotation.from_euler("z", 85, degrees=True).as_matrix()
    now = continue_axes(a_box(quarter, (0.084, 0.087, 0.092)), a_box(size_m=(0.087, 0.084, 0.09)))
    assert np.rad2deg(Rotation.from_matrix(now.camera_from_object[:3, :3]).magnitude()) == pytest.approx(5, abs=1e-6)


def test_a_round_object_carries_its_yaw_by_the_smallest_rotation():
    tilt = Rotation.from_rotvec([0.0, np.deg2rad(20), 0.0]).as_matrix()
    spin = Rotation.from_euler("z", 77, degrees=True).as_matrix()
    now = continue_axes(a_box(tilt @ spin, (0.08, 0.08, 0.12)), a_box(size_m=(0.08, 0.08, 0.12)), is_round=True)
    np.testing.assert_allclose(now.camera_from_object[:3, :3], tilt, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31))
def test_the_smallest_rotation_maps_one_direction_onto_the_other(seed):
    rng = np.random.default_rng(seed)
    old, new = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    for target in (new, old, -old):
        rotation = smallest_rotation(old, target)
        np.testing.assert_allclose(rotation @ old, target, atol=1e-8)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-8)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert Rotation.from_matrix(rotation).magnitude() == pytest.approx(
            np.arccos(np.clip(old @ target, -1, 1)), abs=1e-6
        )


def a_fit(box=None, *, is_round=False, upright=True, on_floor=True, far_side_seen=True):
    return BoxFit(box or a_box(), is_round, upright, on_floor, far_side_seen)


def a_covariance(fit, *, gravity_known=True, missing_m=(0.0, 0.0), config=None):
    return pose_covariance(
        fit, 600.0, config or GeometryConfig(), gravity_known=gravity_known, missing_m=np.array(missing_m)
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_it_is_always_symmetric_and_positive_definite(seed, is_round, upright, on_floor, far_side_seen):
    rng = np.random.default_rng(seed)
    box = a_box(
        Rotation.random(rng=rng).as_matrix(),
        rng.uniform(0.001, 1, 3),
        rng.normal(size=3) + np.array([0, 0, 2.5]),
        int(rng.integers(4, 20_000)),
        bool(rng.integers(2)),
    )
    fit = a_fit(box, is_round=is_round, upright=upright, on_floor=on_floor, far_side_seen=far_side_seen)
    covariance = a_covariance(fit, missing_m=rng.uniform(0, 0.5, 2))
    np.testing.assert_array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 20_000), st.integers(4, 20_000), st.integers(0, 2**31))
def test_the_same_box_from_fewer_points_is_never_surer(a, b, seed):
    rotation = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    fewer, more = (a_covariance(a_fit(a_box(rotation, point_count=count))) for count in sorted((a, b)))
    assert np.linalg.eigvalsh(fewer - more).min() > -1e-12


def test_what_cannot_be_seen_has_its_geometric_bound():
    box = a_box(orientation_known=False)
    assert a_covariance(a_fit(box, is_round=True))[5, 5] >= UNKNOWN_ANGLE_RAD**2
    assert (np.diag(a_covariance(a_fit(box, upright=False)))[3:] >= UNKNOWN_ANGLE_RAD**2).all()
    behind = a_covariance(a_fit(box, far_side_seen=False, on_floor=False))
    assert np.sqrt(behind[2, 2]) >= box.size_m.max() / 2


def test_the_support_fixes_the_height_of_an_object_cut_from_below():
    standing = a_box(Rotation.from_euler("x", -90, degrees=True).as_matrix().T)  # its z is the picture's up
    up = standing.camera_from_object[:3, 2]
    assert abs(up[1]) > 0.99
    known = a_covariance(a_fit(standing), missing_m=(0.0, 0.2))
    unknown = a_covariance(a_fit(standing, on_floor=False), missing_m=(0.0, 0.2))
    assert np.sqrt(known[1, 1]) < 0.02
    assert np.sqrt(unknown[1, 1]) > 0.1


def test_the_floors_are_never_undercut():
    config = GeometryConfig(depth_noise_px=0.0)
    covariance = a_covariance(a_fit(a_box(size_m=(0.001,) * 3, at_m=(0, 0, 0.5))), config=config)
    assert np.sqrt(np.linalg.eigvalsh(covariance[:3, :3]).min()) >= config.floor_position_m
    assert np.rad2deg(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:]).min())) >= config.floor_rotation_deg


def test_depth_noise_grows_with_the_square_of_depth():
    config = GeometryConfig()
    assert depth_sigma_m(1.0, 600.0, config) == pytest.approx(4 * depth_sigma_m(0.5, 600.0, config))
    assert depth_sigma_m(0.5, 383.0, config) == pytest.approx(0.0013, abs=1e-4)  # D43x at 0.5 m: 1.0-1.6 mm
    assert independent_samples(12 * 12, 0.5, 600.0) == pytest.approx(1.0)  # 12 px are 10 mm there
    assert independent_samples(14_400, 0.5, 600.0) == pytest.approx(100.0)
