"""Quaternions, inverses and covariances against scipy and sampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from referent.geometry.poses import (
    quaternion_xyzw,
    rigid,
    rigid_inverse,
    rotation_from_quaternion,
    transform_points,
    transform_pose,
)

QUATERNIONS = arrays(np.float64, 4, elements=st.floats(-1, 1))


def a_pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rigid(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3))


@settings(max_examples=200, deadline=None)
@given(QUATERNIONS)
def test_a_quaternion_survives_the_way_through_a_matrix(xyzw):
    assume(np.linalg.norm(xyzw) > 1e-3)
    matrix = rotation_from_quaternion(xyzw)
    np.testing.assert_allclose(matrix, Rotation.from_quat(xyzw).as_matrix(), atol=1e-9)
    back = quaternion_xyzw(matrix)
    unit = xyzw / np.linalg.norm(xyzw)
    assert back[3] >= 0
    assert min(np.abs(back - unit).max(), np.abs(back + unit).max()) < 1e-7


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0.6, 0, 0.8]])
def test_half_turns_where_the_trace_formula_fails(axis):
    rotation = Rotation.from_rotvec(np.pi * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    np.testing.assert_allclose(rotation_from_quaternion(quaternion_xyzw(rotation)), rotation, atol=1e-12)


@pytest.mark.parametrize("bad", [[0, 0, 0, 0], [np.nan, 0, 0, 1], [1, 0, 0]])
def test_a_quaternion_without_direction_is_refused(bad):
    with pytest.raises(ValueError, match="no direction"):
        rotation_from_quaternion(np.array(bad, float))


def test_the_inverse_undoes_the_pose():
    pose = a_pose(1)
    np.testing.assert_allclose(rigid_inverse(pose) @ pose, np.eye(4), atol=1e-12)
    points = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(transform_points(rigid_inverse(pose), transform_points(pose, points)), points)


def moved_by(small: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """`pose` shifted and turned about its own position, in the fixed axes of its frame."""
    return rigid(Rotation.from_rotvec(small[3:]).as_matrix() @ pose[:3, :3], pose[:3, 3] + small[:3])


def difference(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    turn = Rotation.from_matrix(now[:3, :3] @ before[:3, :3].T).as_rotvec()
    return np.concatenate([now[:3, 3] - before[:3, 3], turn])


def test_a_covariance_in_another_frame_is_that_of_the_moved_samples():
    rng = np.random.default_rng(3)
    a_from_b, b_from_object = a_pose(4), a_pose(5)
    spread = rng.normal(size=(6, 6)) * 1e-3
    covariance = spread @ spread.T
    a_from_object, in_a = transform_pose(a_from_b, b_from_object, covariance)
    np.testing.assert_allclose(a_from_object, a_from_b @ b_from_object)
    samples = rng.multivariate_normal(np.zeros(6), covariance, 4000)
    moved = np.array([difference(a_from_b @ moved_by(s, b_from_object), a_from_object) for s in samples])
    np.testing.assert_allclose(np.cov(moved.T), in_a, atol=0.1 * in_a.diagonal().max())


def test_an_unsure_camera_pose_moves_the_object_by_the_lever_arm():
    rng = np.random.default_rng(6)
    a_from_b, b_from_object = a_pose(7), a_pose(8)
    spread = rng.normal(size=(6, 6)) * 1e-3
    camera = spread @ spread.T
    a_from_object, in_a = transform_pose(a_from_b, b_from_object, np.zeros((6, 6)), a_from_b_covariance=camera)
    samples = rng.multivariate_normal(np.zeros(6), camera, 4000)
    moved = np.array([difference(moved_by(s, a_from_b) @ b_from_object, a_from_object) for s in samples])
    np.testing.assert_allclose(np.cov(moved.T), in_a, atol=0.1 * in_a.diagonal().max())
