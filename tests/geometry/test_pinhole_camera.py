"""Projection and back-projection undo each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from referent.geometry.camera import backproject, known_depth, project, rays
from referent.types import Intrinsics


@settings(max_examples=50, deadline=None)
@given(
    fx=st.floats(50, 2000),
    fy=st.floats(50, 2000),
    cx=st.floats(-50, 100),
    cy=st.floats(-50, 100),
    seed=st.integers(0, 1000),
)
def test_projecting_backprojected_pixels_gives_the_pixels(fx, fy, cx, cy, seed):
    camera = Intrinsics(40, 30, fx, fy, cx, cy)
    depth_m = np.random.default_rng(seed).uniform(0.2, 5, (30, 40)).astype(np.float32)
    points = backproject(depth_m, np.ones((30, 40), bool), camera)
    rows, columns = np.mgrid[:30, :40]
    pixels = project(points, camera).reshape(30, 40, 2)
    np.testing.assert_allclose(pixels[..., 0], columns, atol=0.01)
    np.testing.assert_allclose(pixels[..., 1], rows, atol=0.01)
    np.testing.assert_array_equal(points[:, 2].reshape(30, 40), depth_m)


def test_only_masked_pixels_with_known_depth_become_points():
    camera = Intrinsics(3, 2, 10.0, 10.0, 1.0, 0.5)
    depth_m = np.array([[1, np.nan, 0], [np.inf, -1, 2]], np.float32)
    np.testing.assert_array_equal(known_depth(depth_m), [[True, False, False], [False, False, True]])
    mask = np.array([[False, True, True], [True, True, True]])
    np.testing.assert_allclose(backproject(depth_m, mask, camera), [[0.2, 0.1, 2.0]], rtol=1e-6)


def test_points_behind_the_camera_have_no_pixel():
    assert np.isnan(project(np.array([[0.0, 0, -1], [0, 0, 0]]), Intrinsics(4, 4, 10, 10, 2, 2))).all()


def test_rays_are_kept_for_a_camera_and_cannot_be_spoilt():
    camera = Intrinsics(8, 6, 10.0, 10.0, 4.0, 3.0)
    assert rays(camera) is rays(Intrinsics(8, 6, 10.0, 10.0, 4.0, 3.0))
    assert not rays(camera).flags.writeable
    assert rays.cache_info().maxsize == 4
