"""Raw pictures become what a pinhole camera would have taken, whatever the lens; truth is the ray of each raw pixel."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from builders import a_camera_info
from scipy.spatial.transform import Rotation

from referent.errors import BadMessage
from referent.frames.rectification import rectified_depth, rectified_rgb
from referent.messages import Lens, lens_from_camera_info
from referent.types import Array, Intrinsics

WIDTH, HEIGHT = 320, 240
K = [230.0, 0, 158, 0, 231.0, 122, 0, 0, 1]
P = [210.0, 0, 160, 0, 0, 212.0, 119, 0, 0, 0, 1, 0]
LENSES = {
    "plumb_bob": (-0.28, 0.09, 0.001, -0.002, -0.01),
    "rational_polynomial": (-0.1, 0.02, 0.0008, -0.0004, 0.01, 0.2, -0.03, 0.005),
    "equidistant": (0.12, -0.05, 0.02, -0.004),
}


def a_lens(model: str, *, p: list[float] | None = None, r: Array | None = None) -> Lens:
    info = a_camera_info(WIDTH, HEIGHT, k=K, p=P if p is None else p)
    info.distortion_model, info.d = model, np.array(LENSES[model])
    info.r = np.eye(3).ravel() if r is None else r.ravel()
    return lens_from_camera_info(info)


def distorted(rays: Array, model: str) -> Array:
    """Directions (..., 2) as the lens bends them: the formulas of sensor_msgs/distortion_models.hpp (REP-104)."""
    d = LENSES[model]
    r2 = (rays**2).sum(axis=-1)
    if model == "equidistant":
        r = np.sqrt(r2) + 1e-12
        theta = np.arctan(r)
        bent = theta * (1 + sum(k * theta ** (2 * n + 2) for n, k in enumerate(d)))
        return rays * (bent / r)[..., None]
    k1, k2, p1, p2, k3, *others = d
    k4, k5, k6 = others or (0, 0, 0)
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    x, y = rays[..., 0], rays[..., 1]
    shift = [2 * p1 * x * y + p2 * (r2 + 2 * x**2), p1 * (r2 + 2 * y**2) + 2 * p2 * x * y]
    return rays * radial[..., None] + np.stack(shift, axis=-1)


@cache
def raw_rays(model: str) -> Array:
    """(H, W, 2) where each raw pixel looks, x/z and y/z in the raw camera."""
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    bent = np.stack([(u - K[2]) / K[0], (v - K[5]) / K[4]], axis=-1)
    rays = bent
    for _ in range(200):
        rays = rays + 0.7 * (bent - distorted(rays, model))
    assert np.abs(distorted(rays, model) - bent).max() < 1e-6
    return rays


def rectified_rays(camera: Intrinsics) -> Array:
    v, u = np.mgrid[: camera.height, : camera.width]
    return np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy], axis=-1)


def pattern(rays: Array) -> Array:
    """(H, W, 3) uint8 a smooth picture of directions."""
    waves = [np.sin(9 * rays[..., 0]), np.cos(8 * rays[..., 1]), np.sin(6 * (rays[..., 0] + rays[..., 1]))]
    return np.round(np.stack([127 + 100 * wave for wave in waves], axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("model", list(LENSES))
@pytest.mark.parametrize("p", [P, [0.0] * 12], ids=["P", "K"])
def test_color_is_what_a_pinhole_camera_would_have_taken(model: str, p: list[float]) -> None:
    lens = a_lens(model, p=p)
    assert (lens.camera.fx, lens.camera.cx) == ((210, 160) if p == P else (230, 158))
    rectified = rectified_rgb(pattern(raw_rays(model)), lens)
    truth = pattern(rectified_rays(lens.camera))
    seen = rectified.any(axis=2)
    seen[[0, -1], :], seen[:, [0, -1]] = False, False
    seen = cv2.erode(seen.astype(np.uint8), np.ones((9, 9))).astype(bool)  # not mixed with the black beyond
    assert seen.mean() > 0.7
    assert np.abs(rectified.astype(int) - truth)[seen].max() <= 4
    assert np.abs(pattern(raw_rays(model)).astype(int) - truth)[seen].max() > 20  # it was distorted


@pytest.mark.parametrize("model", list(LENSES))
def test_depth_keeps_its_readings_and_invents_none(model: str) -> None:
    lens = a_lens(model)
    near = np.hypot(*np.moveaxis(raw_rays(model), -1, 0)) < 0.3
    raw = np.where(near, np.float32(0.75), np.float32(2.5))
    raw[:4] = np.nan
    rectified = rectified_depth(raw, lens)
    assert set(np.unique(rectified[np.isfinite(rectified)])) == {np.float32(0.75), np.float32(2.5)}
    distance = np.hypot(*np.moveaxis(rectified_rays(lens.camera), -1, 0))
    away = np.abs(distance - 0.3) > 2 / 210
    known = np.isfinite(rectified)
    assert np.array_equal((rectified == 0.75)[known & away], (distance < 0.3)[known & away])
    assert rectified.dtype == np.float32
    assert raw.shape == rectified.shape


def test_a_camera_turned_by_r_measures_depth_along_its_new_direction() -> None:
    r = Rotation.from_euler("xyz", (2, -4, 1), degrees=True).as_matrix()
    lens = a_lens("plumb_bob", r=r)
    normal, offset = np.array([0.1, -0.2, 1.0]), 1.5  # a wall, in the raw camera
    raw = offset / (raw_rays("plumb_bob") @ normal[:2] + normal[2])
    rectified = rectified_depth(raw.astype(np.float32), lens)
    truth = offset / (rectified_rays(lens.camera) @ (r @ normal)[:2] + (r @ normal)[2])
    known = np.isfinite(rectified)
    assert known.mean() > 0.7
    np.testing.assert_allclose(rectified[known], truth[known], atol=3e-3)  # the nearest pixel of a slanted wall


def test_a_picture_without_distortion_is_handed_on_as_it_is() -> None:
    lens = lens_from_camera_info(a_camera_info(WIDTH, HEIGHT))
    rgb, depth_m = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.ones((HEIGHT, WIDTH), np.float32)
    assert lens.changes_nothing
    assert rectified_rgb(rgb, lens) is rgb
    assert rectified_depth(depth_m, lens) is depth_m


def test_a_raw_picture_obeys_k_even_without_distortion() -> None:
    lens = lens_from_camera_info(a_camera_info(WIDTH, HEIGHT, k=K, p=P))
    raw = pattern(rectified_rays(Intrinsics(WIDTH, HEIGHT, K[0], K[4], K[2], K[5])))
    middle = (slice(60, 180), slice(60, 260))
    truth = pattern(rectified_rays(lens.camera))[middle]
    np.testing.assert_allclose(rectified_rgb(raw, lens)[middle].astype(int), truth, atol=4)


def test_binning_and_a_region_are_applied_to_the_raw_camera_too() -> None:
    info = a_camera_info(640, 480, f=500, binning=2, roi=(100, 40, 400, 300))
    info.d = np.array([-0.2, 0.05, 0, 0, 0])
    lens = lens_from_camera_info(info)
    assert lens.raw == (250, 250, 110, 100)
    assert (lens.camera.width, lens.camera.height, lens.camera.cx) == (200, 150, 110)
    whole = a_camera_info(640, 480, f=500)
    whole.d = info.d
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8), (0, 0), 6)
    of_whole = rectified_rgb(picture, lens_from_camera_info(whole))[40:340:2, 100:500:2]
    of_region = rectified_rgb(np.ascontiguousarray(picture[40:340:2, 100:500:2]), lens)
    inner = (slice(10, -10), slice(10, -10))
    np.testing.assert_allclose(of_region[inner].astype(int), of_whole[inner], atol=4)


@pytest.mark.parametrize(
    ("model", "d", "words"),
    [
        ("kannala_brandt4", [0.1] * 4, "'kannala_brandt4' is not one of plumb_bob, rational_polynomial, equidistant"),
        ("", [0.1] * 4, "send rectified images and leave input.rectified true"),
        ("plumb_bob", [0.1] * 3, "plumb_bob needs 4 or 5 finite coefficients"),
        ("equidistant", [0.1] * 5, "equidistant needs 4 finite"),
        ("rational_polynomial", [np.nan] * 8, "rational_polynomial needs 8 or 12 or 14 finite"),
    ],
)
def test_a_lens_that_cannot_be_undone_is_named(model: str, d: list[float], words: str) -> None:
    info = a_camera_info()
    info.distortion_model, info.d = model, np.array(d)
    with pytest.raises(BadMessage, match=words):
        lens_from_camera_info(info)


def test_an_unknown_model_whose_coefficients_are_all_zero_distorts_nothing() -> None:
    info = a_camera_info()
    info.distortion_model = "none"
    assert lens_from_camera_info(info).changes_nothing
