"""Shapes seen from above: which are round, which are not, and which way they run."""

from __future__ import annotations

import numpy as np
import pytest

from referent.geometry.box import upright_box
from referent.geometry.footprint import (
    closeness_yaw,
    distances_from_sides,
    elongated_yaw,
    fit_circle,
    hull_corners,
    least_area_yaw,
    near_rim,
    outlines,
    rectangle_residual_m,
    round_body,
)

NOISE_M = 0.0008
UP = np.array([0.0, -np.sin(np.deg2rad(50)), -np.cos(np.deg2rad(50))])  # of a camera that looks down by 50 degrees


def noisy(points, seed=0):
    return points + np.random.default_rng(seed).normal(0, NOISE_M, points.shape)


def a_rectangle(length_m, width_m, yaw_deg=0.0, *, count=4000, seed=0, at_m=(0.0, 0.6)):
    rng = np.random.default_rng(seed)
    return turned(rng.uniform(-0.5, 0.5, (count, 2)) * [length_m, width_m], yaw_deg) + at_m


def a_disc(radius_m, *, count=4000, seed=0, at_m=(0.0, 0.6)):
    rng = np.random.default_rng(seed)
    angle, share = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    return radius_m * share[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + at_m


def rim_of(points):
    return np.concatenate([hull_corners(points), near_rim(points)])


def turned(points, deg):
    c, s = np.cos(np.deg2rad(deg)), np.sin(np.deg2rad(deg))
    return points @ np.array([[c, s], [-s, c]])


def a_bar(out_deg, from_m, to_m, width_m, *, count=400, seed=1, at_m=(0.0, 0.6)):
    """A handle or a spout that points in one direction."""
    rng = np.random.default_rng(seed)
    along = np.stack([rng.uniform(from_m, to_m, count), rng.uniform(-0.5, 0.5, count) * width_m], axis=1)
    return turned(along, out_deg) + at_m


def a_banana(yaw_deg, *, bow_deg=120.0, radius_m=0.09, count=4000, seed=0, at_m=(0.0, 0.6)):
    """A bow, 3 cm thick."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0, 1, count)
    angle = np.deg2rad(90 + (share - 0.5) * bow_deg)
    radius = radius_m + rng.uniform(-0.015, 0.015, count) * np.sin(share * np.pi) ** 0.3
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) - [0.0, 0.07]
    return turned(points, yaw_deg) + at_m


def a_hammer(yaw_deg, *, seed=0, at_m=(0.0, 0.6)):
    """A handle of 25 x 2 cm along x and a head of 4 x 11 cm across its end."""
    handle = a_rectangle(0.25, 0.02, 0, count=2500, seed=seed, at_m=(0.0, 0.0))
    head = a_rectangle(0.04, 0.11, 0, count=1500, seed=seed + 1, at_m=(0.125, 0.0))
    return turned(np.concatenate([handle, head]), yaw_deg) + at_m


def apart_deg(yaw_rad, expected_deg, *, of_deg=90.0):
    return abs((np.rad2deg(yaw_rad) - expected_deg + of_deg / 2) % of_deg - of_deg / 2)


def standing(ground, height_m=0.08):
    """What a camera that looks down by 50 degrees sees of a flat top of that outline: points in its optical frame."""
    forward = np.array([0.0, 0.0, 1.0])
    right = np.cross(forward, UP) / np.linalg.norm(np.cross(forward, UP))
    away = np.cross(UP, right)
    floor = -0.6
    return np.outer(ground[:, 0], right) + np.outer(ground[:, 1], away) + (floor + height_m) * UP, floor


def the_fit(ground):
    points, floor_m = standing(ground)
    return upright_box(points, UP, floor_m=floor_m, noise_m=NOISE_M)


def yaw_error_deg(fit, expected_deg):
    """Of the box's x, whichever of its equal descriptions, from a direction in the ground's axes."""
    forward = np.array([0.0, 0.0, 1.0])
    right = np.cross(forward, UP) / np.linalg.norm(np.cross(forward, UP))
    x = fit.box.camera_from_object[:3, 0]
    return apart_deg(np.arctan2(x @ np.cross(UP, right), x @ right), expected_deg)


@pytest.mark.parametrize("yaw_deg", range(0, 90, 7))
@pytest.mark.parametrize("size_m", [(0.1, 0.1), (0.12, 0.08), (0.2, 0.05)])
def test_boxes_at_all_yaws_are_no_circles_and_keep_their_yaw(size_m, yaw_deg):
    fit = the_fit(noisy(a_rectangle(*size_m, yaw_deg)))
    assert not fit.is_round
    assert fit.body_center_m is None
    assert fit.box.orientation_known
    assert yaw_error_deg(fit, yaw_deg) < 2.5
    np.testing.assert_allclose(fit.box.size_m[:2], size_m, atol=0.006)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("yaw_deg", range(0, 90, 15))
@pytest.mark.parametrize("count", [3, 8])
def test_stray_points_do_not_turn_a_box(count, yaw_deg, seed):
    stray = np.random.default_rng(seed).uniform(-1, 1, (count, 2)) * [0.08, 0.06]
    box = noisy(a_rectangle(0.12, 0.08, yaw_deg))
    fit = the_fit(np.concatenate([box, turned(stray, yaw_deg) + np.array([0, 0.6])]))
    assert not fit.is_round
    assert yaw_error_deg(fit, yaw_deg) < 4


@pytest.mark.parametrize("radius_m", [0.02, 0.04, 0.1])
def test_a_disc_is_round(radius_m):
    fit = the_fit(noisy(a_disc(radius_m)))
    assert fit.is_round
    assert not fit.box.orientation_known
    assert fit.body_radius_m == pytest.approx(radius_m, abs=0.003)
    np.testing.assert_allclose(fit.box.size_m[:2], 2 * radius_m, atol=0.006)


@pytest.mark.parametrize("handle_deg", range(0, 360, 30))
def test_the_circle_of_a_cup_is_found_beside_its_handle(handle_deg):
    points = noisy(np.concatenate([a_disc(0.04), a_bar(handle_deg, 0.038, 0.08, 0.012)]))
    body = round_body(points, rim_of(points), 0.002)
    assert body is not None
    np.testing.assert_allclose(body.center_m, [0, 0.6], atol=0.003)
    assert body.radius_m == pytest.approx(0.04, abs=0.003)


@pytest.mark.parametrize("handle_deg", range(0, 360, 30))
def test_a_cup_with_a_handle_has_the_yaw_of_the_handle(handle_deg):
    fit = the_fit(noisy(np.concatenate([a_disc(0.04), a_bar(handle_deg, 0.038, 0.08, 0.012)])))
    assert not fit.is_round
    assert fit.body_radius_m == pytest.approx(0.04, abs=0.004)
    assert yaw_error_deg(fit, handle_deg) < 4
    np.testing.assert_allclose(fit.box.size_m[:2], [0.12, 0.08], atol=0.008)


@pytest.mark.parametrize("yaw_deg", range(0, 180, 30))
def test_a_pot_with_handle_and_spout_has_their_yaw(yaw_deg):
    parts = a_disc(0.06), a_bar(yaw_deg, 0.058, 0.11, 0.015), a_bar(yaw_deg + 180, 0.058, 0.10, 0.02, seed=2)
    fit = the_fit(noisy(np.concatenate(parts)))
    assert not fit.is_round
    assert fit.body_radius_m == pytest.approx(0.06, abs=0.005)
    assert yaw_error_deg(fit, yaw_deg) < 4
    np.testing.assert_allclose(fit.box.size_m[:2], [0.21, 0.12], atol=0.012)


@pytest.mark.parametrize("yaw_deg", range(0, 360, 30))
def test_a_banana_is_no_circle(yaw_deg):
    fit = the_fit(noisy(a_banana(yaw_deg)))
    assert not fit.is_round
    assert fit.body_center_m is None
    assert fit.box.size_m[:2].max() < 0.19


@pytest.mark.parametrize("yaw_deg", range(0, 360, 30))
def test_a_strongly_bent_banana_is_no_circle_either(yaw_deg):
    fit = the_fit(noisy(a_banana(yaw_deg, bow_deg=200.0, radius_m=0.065)))
    assert not fit.is_round
    assert fit.box.size_m[:2].min() < 0.11


@pytest.mark.parametrize("yaw_deg", range(0, 180, 20))
def test_the_yaw_of_a_hammer_is_its_handles(yaw_deg):
    points = noisy(a_hammer(yaw_deg))
    yaw = elongated_yaw(points, 0.005)
    assert yaw is not None
    assert apart_deg(yaw, yaw_deg) < 3
    fit = the_fit(points)
    assert yaw_error_deg(fit, yaw_deg) < 3
    np.testing.assert_allclose(fit.box.size_m[:2], [0.27, 0.11], atol=0.012)


@pytest.mark.parametrize("size_m", [(0.1, 0.1), (0.2, 0.05), (0.3, 0.03)])
def test_what_fills_its_rectangle_is_not_called_elongated(size_m):
    assert elongated_yaw(noisy(a_rectangle(*size_m, 25)), 0.005) is None


@pytest.mark.parametrize("yaw_deg", range(0, 90, 10))
def test_two_visible_sides_give_the_yaw_that_the_least_area_misses(yaw_deg):
    rng = np.random.default_rng(yaw_deg)
    along = rng.uniform(0, 1, (1200, 1))
    sides = np.concatenate([along[:700] * [0.12, 0.0], along[700:] * [0.0, 0.05]])
    points = turned(noisy(sides), yaw_deg)
    assert apart_deg(closeness_yaw(points, 0.002), yaw_deg) < 2


@pytest.mark.parametrize("yaw_deg", range(0, 90, 15))
def test_the_least_rectangle_of_a_whole_outline_is_its_own(yaw_deg):
    whole, facing = outlines(hull_corners(a_rectangle(0.12, 0.08, yaw_deg)), np.zeros(2))
    assert apart_deg(least_area_yaw(whole), yaw_deg) < 2
    assert rectangle_residual_m(whole, np.deg2rad(yaw_deg)) < 0.0015
    assert distances_from_sides(whole, np.deg2rad(yaw_deg)).max() < 0.003
    assert len(whole) == len(facing) == 48
    assert facing[:, 1].mean() < whole[:, 1].mean()  # the camera is at the origin


def test_the_circle_through_part_of_a_ring_is_the_ring():
    for arc_deg in (100, 180, 300):
        angle = np.deg2rad(np.linspace(0, arc_deg, 60))
        ring = 0.05 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + [0.3, -0.2]
        circle = fit_circle(ring + np.random.default_rng(0).normal(0, 0.0002, ring.shape))
        assert circle is not None
        np.testing.assert_allclose(circle.center_m, [0.3, -0.2], atol=0.0005)
        assert circle.radius_m == pytest.approx(0.05, abs=0.0005)
        assert np.rad2deg(circle.arc_rad) == pytest.approx(arc_deg, abs=7)


def test_points_on_a_line_or_on_one_spot_have_no_circle():
    assert fit_circle(np.outer(np.linspace(0, 0.1, 50), [1.0, 2.0])) is None
    assert fit_circle(np.full((50, 2), 0.3)) is None


def test_the_near_rim_is_what_the_camera_sees_first():
    points = a_disc(0.05, count=20000)
    rim = near_rim(points)
    assert 30 <= len(rim) <= 40
    expected = 0.6 - np.sqrt(np.maximum(0.05**2 - rim[:, 0] ** 2, 0))
    inner = np.abs(rim[:, 0]) < 0.045
    np.testing.assert_allclose(rim[inner, 1], expected[inner], atol=0.008)


@pytest.mark.parametrize("count", [3, 4, 10, 30])
def test_a_handful_of_points_is_no_body_and_no_crash(count):
    points = a_rectangle(0.1, 0.05, 20, count=count)
    round_body(points, rim_of(points), 0.002)
    elongated_yaw(points, 0.005)
    assert 0 <= closeness_yaw(points, 0.002) < np.pi / 2 + 1e-9
