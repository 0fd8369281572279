"""Where noisy and cleaned points end: the noise that carries the outermost out, the border that cleaning takes off."""

from __future__ import annotations

import numpy as np
import pytest
from rendered import a_render

from referent.config import GeometryConfig
from referent.geometry.ends import cleaned_away_m, cut_off_m, noise_shown_m, noiseless_ends
from referent.geometry.estimate import estimate_pose

CONFIG = GeometryConfig()
SIGMA_M = 0.002
SHARE = 0.01
EXACT_PX = (0.0, 0.1)  # disparity noise: none, and what the configuration says of the sensor


def coordinates(kind, count=6000):
    """Exact coordinates along an axis of what ends at 0: one face, half of it a face, none of it."""
    rng = np.random.default_rng(1)
    spread = rng.uniform(0, 0.06, count)
    return {"face": np.zeros(count), "corner": np.where(rng.random(count) < 0.5, 0, spread), "slope": spread}[kind]


@pytest.mark.parametrize("kind", ["face", "corner", "slope"])
@pytest.mark.parametrize("sigma_m", [0.001, 0.002, 0.004])
def test_the_ends_of_noisy_points_are_those_of_exact_ones(kind, sigma_m):
    exact = coordinates(kind)
    noisy = exact + np.random.default_rng(0).normal(size=len(exact)) * sigma_m
    values, sigma = np.column_stack([noisy, -noisy]), np.array([sigma_m, sigma_m])
    ends = noiseless_ends(values, SHARE, sigma)
    true_m = np.quantile(exact, SHARE)
    assert abs(ends[0, 0] - true_m) < 0.6 * sigma_m
    assert abs(-ends[1, 1] - true_m) < 0.6 * sigma_m
    if kind != "slope":
        assert np.quantile(noisy, SHARE) < true_m - 1.5 * sigma_m  # so far out are those of the noisy ones


def test_without_noise_the_ends_stay():
    values = coordinates("corner")[:, None]
    np.testing.assert_allclose(noiseless_ends(values, SHARE, np.zeros(1))[0], np.quantile(values, SHARE), atol=1e-12)


@pytest.mark.parametrize("bend", [0.0, 1.0])
def test_noise_is_told_from_slope_and_bend(bend):
    rows, columns = np.mgrid[:60, :80] * 0.001
    surface = 0.7 + 0.5 * columns + 0.3 * rows + bend * 10 * columns**2
    inside = np.ones(surface.shape, bool)
    assert noise_shown_m(surface, inside) < 1e-9
    noisy = surface + np.random.default_rng(0).normal(size=surface.shape) * SIGMA_M
    assert noise_shown_m(noisy, inside) == pytest.approx(SIGMA_M, rel=0.1)


def test_what_is_too_small_shows_no_noise():
    noisy = 0.7 + np.random.default_rng(0).normal(size=(40, 40)) * SIGMA_M
    inside = np.zeros(noisy.shape, bool)
    inside[5:20, 5:20] = True
    assert noise_shown_m(noisy, inside) == 0
    assert noise_shown_m(noisy[:10, :10], inside[:10, :10]) == 0


def offset_and_size_m(shape, size_m, noise_px, elevation_deg, yaw_deg):
    """How much farther than it is a pose has the object, level, and how much larger it has its sides; in the mean."""
    offsets, larger = [], []
    for seed in range(3 if noise_px else 1):
        render = a_render(
            size_m, shape=shape, noise_px=noise_px, elevation_deg=elevation_deg, yaw_deg=yaw_deg, seed=seed
        )
        pose = estimate_pose(render.frame, render.mask, CONFIG, up_in_camera=render.up_in_camera)
        away = render.camera_from_object[:3, 3] - render.up_in_camera * (
            render.camera_from_object[:3, 3] @ render.up_in_camera
        )
        off = pose.box.camera_from_object[:3, 3] - render.camera_from_object[:3, 3]
        offsets.append(off @ away / np.linalg.norm(away))
        larger.append(np.sort(pose.box.size_m) - np.sort(render.size_m))
    return np.mean(offsets), np.mean(larger, axis=0)


@pytest.mark.parametrize("noise_px", EXACT_PX)
@pytest.mark.parametrize(("elevation_deg", "yaw_deg"), [(30, 0), (30, 45), (45, 30), (60, 30)])
def test_a_box_lies_no_nearer_to_the_camera_than_it_is(noise_px, elevation_deg, yaw_deg):
    off_m, larger_m = offset_and_size_m("box", (0.12, 0.08, 0.06), noise_px, elevation_deg, yaw_deg)
    assert abs(off_m) < 0.0012  # was up to 4.1 mm nearer
    assert np.abs(larger_m).max() < 0.003


@pytest.mark.parametrize("noise_px", EXACT_PX)
@pytest.mark.parametrize("elevation_deg", [30, 45, 60])
def test_a_can_lies_no_nearer_to_the_camera_than_it_is(noise_px, elevation_deg):
    off_m, larger_m = offset_and_size_m("cylinder", (0.08, 0.08, 0.12), noise_px, elevation_deg, 0)
    assert abs(off_m) < 0.0016  # was up to 4.5 mm nearer
    assert np.abs(larger_m).max() < 0.003


def test_an_edge_is_beyond_the_quantile_of_a_top_and_at_that_of_a_face():
    top = np.linspace(0, 0.06, 6001)[:, None]
    ends = np.quantile(top, [SHARE, 1 - SHARE], axis=0)
    np.testing.assert_allclose(ends + [[-1.0], [1.0]] * cut_off_m(top, ends, SHARE), [[0.0], [0.06]], atol=2e-5)
    face = np.concatenate([np.zeros((3000, 1)), top])
    assert cut_off_m(face, np.zeros((2, 1)), SHARE)[0, 0] < 3e-4


def test_the_border_is_lost_behind_a_top_and_not_before_a_face():
    view = np.array([0.0, np.cos(np.pi / 6), -np.sin(np.pi / 6)])  # 30 degrees down, along the second axis
    lost = cleaned_away_m(np.eye(3), view, np.array([0.1, 0.1]), 0.002)
    np.testing.assert_allclose(lost[:, 1], [0.0, 0.004], atol=1e-9)  # 2 mm in the picture are 4 mm of the level top
    np.testing.assert_allclose(lost[:, 0], [0.002, 0.002], atol=1e-9)  # to its sides as much as in the picture


def test_a_face_too_narrow_to_be_seen_is_lost():
    view = np.array([0.01, 0.0, -1.0])
    view /= np.linalg.norm(view)
    lost = cleaned_away_m(np.eye(3), view, np.array([0.1, 0.1]), 0.002)
    np.testing.assert_allclose(lost, 0.002, rtol=0.01)
