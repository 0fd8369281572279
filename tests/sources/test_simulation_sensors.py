"""What the simulated camera gets wrong, it gets wrong as real ones do, by known amounts, and the truth stays true."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from referent.sources.simulation import looks, sensors
from referent.sources.simulation.layout import on_path, rest_height
from referent.sources.simulation.render import Pictures, render
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.stage import intrinsics, set_stage
from referent.sources.simulation.world import Path, Scene, Swing, standstill
from referent.types import Array

cached_scene = cache(named_scene)

FOCAL_PX = 640.0
WIDTH, HEIGHT = 320, 240


def measured(depth_m: Tensor, glare: Tensor | None = None) -> Array:
    """One depth picture as the sensor gives it."""
    glare = torch.zeros_like(depth_m) if glare is None else glare
    generator = torch.Generator().manual_seed(1)
    return sensors.noisy_depth(depth_m, glare=glare, focal_px=FOCAL_PX, generator=generator).numpy()


def a_step(near_m: float, far_m: float) -> Tensor:
    """Left half near, right half far."""
    depth = torch.full((400, 640), far_m)
    depth[:, :320] = near_m
    return depth


def test_depth_noise_grows_with_the_square_of_the_distance() -> None:
    spread = [np.nanstd(measured(torch.full((400, 640), distance))) for distance in (1.0, 2.0, 4.0)]
    assert spread[1] / spread[0] == pytest.approx(4.0, rel=0.06)
    assert spread[2] / spread[1] == pytest.approx(4.0, rel=0.06)
    one_step = sensors.DISPARITY_NOISE_PX / (FOCAL_PX * sensors.BASELINE_M)
    assert 0.5 * one_step < spread[0] < one_step  # the noise is smooth over two pixels, which takes some of it


def test_depth_has_holes_at_borders_and_nowhere_else_but_for_a_few() -> None:
    lost = np.isnan(measured(a_step(0.8, 1.6)))
    assert lost[:, 319:321].mean() == pytest.approx(sensors.LOST_AT_BORDER, abs=0.05)
    assert np.delete(lost, [319, 320], axis=1).mean() == pytest.approx(sensors.LOST_ANYWHERE, abs=0.001)


def test_depth_beyond_range_is_missing() -> None:
    assert np.isnan(measured(torch.full((40, 64), sensors.MAX_RANGE_M + 0.1))).all()


def test_pixels_fly_between_the_two_surfaces_of_a_border() -> None:
    seen = measured(a_step(0.8, 1.6))
    between = (seen > 0.82) & (seen < 1.5)
    assert between[:, 319:321].mean() == pytest.approx(0.85 * sensors.FLYING_AT_BORDER, abs=0.03)
    assert not np.delete(between, [319, 320], axis=1).any()
    assert np.nanmin(seen) > 0.78
    assert np.nanmax(seen) < 1.65


def test_glare_takes_the_depth_and_no_more() -> None:
    glare = torch.zeros((400, 640))
    glare[:100], glare[100:200] = 1.0, 0.5
    lost = np.isnan(measured(torch.full((400, 640), 1.0), glare))
    assert lost[:100].mean() == pytest.approx(sensors.LOST_IN_GLARE, abs=0.01)
    assert lost[100:200].mean() == pytest.approx(0.5 * sensors.LOST_IN_GLARE, abs=0.01)
    assert lost[200:].mean() < 0.004


def a_still_scene(material: str = "plain", category: str = "block", seed: int = 3) -> Scene:
    """One white object on a black table, its face towards a camera at rest."""
    scene = cached_scene("occlusion")
    item = looks.make_object(np.random.default_rng(seed), 1, category=category, color="white", material=material)
    item = on_path(item, standstill(np.array([0.0, 0.0, rest_height(item)]), scene.camera.azimuth))
    table = replace(scene.surroundings.table, low=(0.02, 0.02, 0.02), high=(0.02, 0.02, 0.02))
    return replace(
        scene,
        objects=(item,),
        occluders=(),
        camera=replace(scene.camera, look_at_m=np.array([0.0, 0.0, rest_height(item)])),
        surroundings=replace(scene.surroundings, table=table),
        lens=replace(scene.lens, gain=1.0, gamma=1.0, blur=0.0, exposure_s=0.02, drift=Swing()),
    )


def pushed_sideways(scene: Scene, metres: float) -> Scene:
    """The object slides to the right of the picture by `metres` in a second, through the middle at half a second."""
    position, yaw = scene.objects[0].body.path.at(0.0)
    way = metres * scene.camera.world_from_camera(0.0)[:3, 0]
    path = Path(np.array([0.0, 1.0]), np.array([position - way / 2, position + way / 2]), np.array([yaw, yaw]), 2.0)
    return replace(scene, objects=(on_path(scene.objects[0], path),))


def picture(scene: Scene, time_s: float, *, blurred: bool = True) -> Pictures:
    return render(set_stage([(scene, [time_s])], width=WIDTH, height=HEIGHT), blurred=blurred)


def test_glare_lies_on_glossy_things_only() -> None:
    shiny, dull = picture(a_still_scene("glossy", "ball"), 0.0), picture(a_still_scene("plain", "ball"), 0.0)
    assert float(shiny.glare.max()) > 0.9
    assert not shiny.glare[shiny.ids == 0].any()
    assert 0 < (shiny.glare > 0.3).sum() < 0.2 * (shiny.ids > 0).sum()
    assert not dull.glare.any()


def test_what_stands_still_is_not_blurred() -> None:
    scene = a_still_scene()
    assert set_stage([(scene, [0.4])], width=WIDTH, height=HEIGHT).stirred() == []
    assert torch.equal(picture(scene, 0.4).rgb, picture(scene, 0.4, blurred=False).rgb)


@pytest.mark.parametrize("metres", [0.3, 0.8])
def test_a_moving_edge_is_as_wide_as_it_moves_while_the_shutter_is_open(metres: float) -> None:
    scene = pushed_sideways(a_still_scene(), metres)
    opens, closes = 0.5, 0.5 + scene.lens.exposure_s
    seen = picture(scene, opens)
    row, columns = 120, np.flatnonzero(seen.ids[0, 120].numpy() == 1)
    depth_m = float(seen.depth_m[0, row, columns[5]])
    way_m = np.linalg.norm(scene.objects[0].body.path.at(closes)[0] - scene.objects[0].body.path.at(opens)[0])
    moved_px = way_m / depth_m * intrinsics(scene, WIDTH, HEIGHT).fx
    left = slice(columns[0] - 20, columns[len(columns) // 2])
    sharp = picture(scene, opens, blurred=False).rgb[0, 0, row].numpy()[left]
    smeared = seen.rgb[0, 0, row].numpy()[left]
    ramp = (smeared - sharp[0]) / (sharp[-1] - sharp[0])
    assert moved_px > 4.0
    assert ((ramp > 0.02) & (ramp < 0.98)).sum() == pytest.approx(moved_px, abs=1.6)
    assert smeared.sum() == pytest.approx(sharp.sum(), rel=0.01)  # light is moved, not made


def test_a_turning_camera_blurs_everything_and_leaves_the_truth() -> None:
    scene = a_still_scene()
    scene = replace(scene, camera=replace(scene.camera, pan_swing=Swing(0.1, 1.0, 0.0)))
    sharp, seen = picture(scene, 0.0, blurred=False), picture(scene, 0.0)
    assert torch.equal(sharp.ids, seen.ids)
    assert torch.equal(sharp.depth_m, seen.depth_m)
    contrast = [float((each.rgb[..., 1:] - each.rgb[..., :-1]).abs().max()) for each in (sharp, seen)]
    assert contrast[1] < 0.5 * contrast[0]


def test_exposure_drifts_as_the_lens_says() -> None:
    scene = a_still_scene()
    scene = replace(scene, lens=replace(scene.lens, gain=0.5, drift=Swing(0.05, 4.0, 0.0)))
    bright = [float(picture(scene, time_s).rgb[0, 0].max()) for time_s in (0.0, 1.0, 3.0)]
    assert bright[1] / bright[0] == pytest.approx(1.05, rel=1e-3)
    assert bright[2] / bright[0] == pytest.approx(0.95, rel=1e-3)


def test_noise_never_touches_the_truth() -> None:
    scene = named_scene("tabletop")
    clean, noisy = (next(simulate(scene, frames=1, width=160, height=120, noise=noise)) for noise in (False, True))
    assert np.array_equal(clean.truth.depth_m, noisy.truth.depth_m)
    assert clean.frame.depth_m is not None
    assert np.array_equal(clean.frame.depth_m, clean.truth.depth_m)
    assert not np.array_equal(clean.frame.rgb, noisy.frame.rgb)
