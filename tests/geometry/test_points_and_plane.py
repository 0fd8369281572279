"""Cleaning keeps the object's own pixels; the support is the surface it stands on, not the wall behind it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from rendered import CAMERA, a_render

from referent.config import GeometryConfig
from referent.geometry.camera import points_at
from referent.geometry.plane import ring_pixels, support_plane
from referent.geometry.points import object_mask, one_object, patch_around, pixels_of, thinned

CONFIG = GeometryConfig()


def cleaned(depth_m, mask, config=CONFIG):
    """The kept pixels of a mask as a picture."""
    patch = patch_around(depth_m, mask, CAMERA.fx, config)
    kept = np.zeros_like(mask)
    kept[pixels_of(patch, object_mask(patch, config))] = True
    return kept


def test_a_loose_mask_before_a_wall_keeps_only_the_object():
    depth_m = np.full((480, 640), 2.0, np.float32)
    depth_m[200:260, 300:380] = 0.6
    mask = np.zeros((480, 640), bool)
    mask[190:270, 290:390] = True
    kept = cleaned(depth_m, mask)
    assert not kept[depth_m > 1].any()
    assert kept[202:258, 302:378].all()


def test_flying_pixels_at_the_border_are_dropped():
    depth_m = np.full((480, 640), 2.0, np.float32)
    depth_m[200:260, 300:380] = 0.6
    depth_m[200:260, 299] = 1.1
    depth_m[200:260, 380] = 1.4
    mask = depth_m < 1.5
    assert depth_m[cleaned(depth_m, mask)].max() == np.float32(0.6)


def test_missing_pixels_do_not_cut_an_object_into_pieces():
    depth_m = np.full((480, 640), 0.6, np.float32)
    mask = np.zeros((480, 640), bool)
    mask[200:260, 300:380] = True
    lost = np.random.default_rng(0).random(depth_m.shape) < 0.5
    depth_m[lost] = np.nan
    kept = cleaned(depth_m, mask)
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert (kept & ~lost).sum() > 0.97 * (inside & ~lost).sum()
    assert not kept[lost].any()


def test_the_inside_of_a_cup_belongs_to_it_and_a_strip_of_the_neighbour_does_not():
    depth_m = np.full((480, 640), 3.0, np.float32)
    depth_m[200:300, 300:380] = 0.60  # the outside
    depth_m[200:225, 310:370] = 0.66  # the inside, over the rim
    depth_m[200:300, 380:460] = 0.64  # a neighbour the mask overlaps by a strip
    mask = np.zeros((480, 640), bool)
    mask[200:300, 300:384] = True
    kept = cleaned(depth_m, mask)
    assert kept[204:222, 314:366].all()
    assert not kept[:, 382:].any()


def test_a_thin_object_keeps_its_border_pixels():
    depth_m = np.full((480, 640), 0.6, np.float32)
    mask = np.zeros((480, 640), bool)
    mask[200:202, 300:380] = True
    assert cleaned(depth_m, mask).sum() == mask.sum()


def test_noise_far_away_is_not_taken_for_edges():
    rng = np.random.default_rng(0)
    sigma_m = 3.0**2 * CONFIG.depth_noise_px / (CAMERA.fx * CONFIG.depth_baseline_m)
    depth_m = (3.0 + sigma_m * rng.normal(size=(480, 640))).astype(np.float32)
    mask = np.zeros((480, 640), bool)
    mask[200:300, 300:400] = True
    assert cleaned(depth_m, mask).sum() > 0.9 * mask.sum()


def test_the_border_is_cut_as_far_as_configured():
    depth_m = np.full((480, 640), 0.6, np.float32)
    mask = np.zeros((480, 640), bool)
    mask[200:300, 300:400] = True
    assert cleaned(depth_m, mask, replace(CONFIG, erode_px=4)).sum() == 92 * 92
    assert cleaned(depth_m, mask, replace(CONFIG, erode_px=0)).sum() == 100 * 100


def test_an_empty_mask_has_no_patch_and_an_empty_patch_no_object():
    depth_m = np.full((480, 640), 0.6, np.float32)
    assert patch_around(depth_m, np.zeros((480, 640), bool), CAMERA.fx, CONFIG) is None
    mask = np.zeros((480, 640), bool)
    mask[5, 5] = True
    patch = patch_around(depth_m, mask, CAMERA.fx, CONFIG)
    assert not one_object(np.zeros_like(patch.mask), patch).any()


def test_thinning_is_even_bounded_and_repeatable():
    indices = np.arange(1000)
    few = thinned(indices, 100)
    assert len(few) == 100
    assert np.diff(few).max() <= 10
    np.testing.assert_array_equal(few, thinned(indices, 100))
    np.testing.assert_array_equal(thinned(indices, 1000), indices)


def plane_of(render, *, gravity: bool):
    patch = patch_around(render.frame.depth_m, render.mask, CAMERA.fx, CONFIG)
    own = points_at(render.frame.depth_m, *pixels_of(patch, object_mask(patch, CONFIG)), CAMERA)
    ring = points_at(render.frame.depth_m, *ring_pixels(patch, CONFIG), CAMERA)
    up = render.up_in_camera if gravity else None
    return support_plane(ring, own, tolerance_m=0.006, up_in_camera=up)


@pytest.mark.parametrize("gravity", [True, False])
@pytest.mark.parametrize("elevation_deg", [10, 40, 85])
def test_the_table_is_found_from_any_height(elevation_deg, gravity):
    render = a_render(elevation_deg=elevation_deg, distance_m=0.7, noise_px=0.1)
    plane = plane_of(render, gravity=gravity)
    assert np.rad2deg(np.arccos(plane.normal @ render.up_in_camera)) < 1.5
    foot = render.camera_from_object @ [0, 0, -render.size_m[2] / 2, 1]
    assert abs(plane.normal @ foot[:3] - plane.offset_m) < 0.004


def test_a_wall_behind_the_object_is_not_its_support():
    render = a_render(elevation_deg=15, distance_m=0.8)
    world_up = render.up_in_camera
    middle = render.camera_from_object[:3, 3]
    level_view = middle - (middle @ world_up) * world_up
    level_view /= np.linalg.norm(level_view)
    points = points_at(render.frame.depth_m, *np.nonzero(np.ones((480, 640), bool)), CAMERA).astype(float)
    wall_at = middle @ level_view + 0.10
    scale = np.minimum(1, wall_at / np.maximum(points @ level_view, 1e-9))
    depth_m = (points[:, 2] * scale).reshape(480, 640).astype(np.float32)
    patch = patch_around(depth_m, render.mask, CAMERA.fx, CONFIG)
    own = points_at(depth_m, *pixels_of(patch, object_mask(patch, CONFIG)), CAMERA)
    ring = points_at(depth_m, *ring_pixels(patch, CONFIG), CAMERA)
    for up in (world_up, None):
        plane = support_plane(ring, own, tolerance_m=0.006, up_in_camera=up)
        assert plane is None or plane.normal @ world_up > 0.99


def test_the_same_ring_gives_the_same_plane_bit_by_bit():
    render = a_render(noise_px=0.1)
    first, second = plane_of(render, gravity=False), plane_of(render, gravity=False)
    np.testing.assert_array_equal(first.normal, second.normal)
    assert first.offset_m == second.offset_m


def test_too_few_ring_points_give_no_plane():
    assert support_plane(np.ones((10, 3)), np.ones((50, 3)), tolerance_m=0.005) is None
    assert support_plane(np.ones((50, 3)), np.ones((50, 3)), tolerance_m=0.005) is None


def test_small_holes_alone_are_no_object():
    depth_m = np.full((480, 640), 0.6, np.float32)
    mask = np.zeros((480, 640), bool)
    mask[240:242, 320:322] = True
    depth_m[mask] = np.nan
    patch = patch_around(depth_m, mask, CAMERA.fx, CONFIG)
    assert patch.hole.any()
    assert not object_mask(patch, CONFIG).any()
