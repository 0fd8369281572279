"""The renderer's truth agrees with closed forms, with itself, and from run to run."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from referent.sources.simulation import looks
from referent.sources.simulation.layout import on_path, rest_height
from referent.sources.simulation.render import render
from referent.sources.simulation.scenes import named_scene, sample_scene
from referent.sources.simulation.simulate import render_clip, simulate, simulate_many
from referent.sources.simulation.stage import set_stage
from referent.sources.simulation.truth import SimulatedFrame
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, PARTS
from referent.sources.simulation.world import Lens, Scene, SceneObject, standstill
from referent.types import Array, Intrinsics

cached_scene = cache(named_scene)


def a_scene_with(category: str, *, at_xy: tuple[float, float] = (0.0, 0.0), yaw: float = 0.4) -> Scene:
    """One red object alone on a table seen by a camera at rest."""
    scene = cached_scene("occlusion")
    item = looks.make_object(np.random.default_rng(3), 1, category=category, color="red", material="plain")
    item = on_path(item, standstill(np.array([*at_xy, rest_height(item)]), yaw))
    camera = replace(scene.camera, look_at_m=np.array([0.0, 0.0, rest_height(item)]))
    return replace(scene, objects=(item,), occluders=(), camera=camera)


def one_frame(scene: Scene, *, noise: bool = False, width: int = 160, height: int = 120) -> SimulatedFrame:
    return next(simulate(scene, frames=1, width=width, height=height, noise=noise))


def rays_in_object(shot: SimulatedFrame) -> tuple[Array, Array, Array]:
    """Eye (3,), directions (N, 3) with unit optical depth, and depths (N,) of object 1's pixels, in its frame."""
    rows, columns = np.nonzero(shot.truth.instance_ids == 1)
    view: Intrinsics = shot.frame.intrinsics
    camera = np.stack([(columns - view.cx) / view.fx, (rows - view.cy) / view.fy, np.ones(len(rows))], axis=1)
    pose = shot.truth.objects[0].camera_from_object
    return -pose[:3, :3].T @ pose[:3, 3], camera @ pose[:3, :3], shot.truth.depth_m[rows, columns]


def test_depth_of_a_ball_is_the_closed_form() -> None:
    shot = one_frame(a_scene_with("ball"))
    eye, toward, depth = rays_in_object(shot)
    radius = shot.truth.objects[0].size_m[0] / 2
    a, b, c = (toward**2).sum(1), toward @ eye, eye @ eye - radius**2
    expected = (-b - np.sqrt(np.maximum(b * b - a * c, 0.0))) / a
    assert len(depth) > 200
    inner = b * b - a * c > 1e-4  # not the last grazing rays
    assert depth[inner] == pytest.approx(expected[inner], abs=2e-5)


def test_depth_of_a_box_is_the_closed_form() -> None:
    shot = one_frame(a_scene_with("box"))
    eye, toward, depth = rays_in_object(shot)
    half = shot.truth.objects[0].size_m / 2
    entry = np.minimum((half - eye) / toward, (-half - eye) / toward).max(axis=1)
    assert len(depth) > 200
    assert depth == pytest.approx(entry, abs=2e-5)


def test_depth_of_the_empty_table_is_the_plane() -> None:
    shot = one_frame(a_scene_with("block"))
    pose, view = shot.truth.world_from_camera, shot.frame.intrinsics
    row, column = 110, 20
    ray = pose[:3, :3] @ [(column - view.cx) / view.fx, (row - view.cy) / view.fy, 1.0]
    assert shot.truth.instance_ids[row, column] == 0
    assert shot.truth.depth_m[row, column] == pytest.approx(-pose[2, 3] / ray[2], abs=1e-5)


@pytest.mark.parametrize("category", [name for name in CATEGORIES if name not in ("ball", "box", "block")])
def test_what_is_seen_of_an_object_lies_within_its_box_and_touches_it(category: str) -> None:
    eye, toward, depth = rays_in_object(shot := one_frame(a_scene_with(category), width=320, height=240))
    points = (eye + depth[:, None] * toward) / (shot.truth.objects[0].size_m / 2)
    assert np.abs(points).max() < 1.02
    assert points.max(axis=0).max() > 0.95


def test_an_unhidden_objects_centre_projects_into_its_pixels() -> None:
    for seed in range(8):
        shot = one_frame(sample_scene(seed, "still"))
        for item in shot.truth.objects:
            if item.category in ("box", "block", "ball", "can") and item.visible_px == item.amodal_px > 0:
                x, y, z = item.camera_from_object[:3, 3]
                view = shot.frame.intrinsics
                column, row = round(view.fx * x / z + view.cx), round(view.fy * y / z + view.cy)
                if item.in_view_fraction == 1.0:
                    assert shot.truth.instance_ids[row, column] == item.instance_id


def test_counts_boxes_and_fractions_follow_from_the_ids() -> None:
    for scene in (sample_scene(4, "clip"), named_scene("clutter")):
        shot = one_frame(scene)
        for item in shot.truth.objects:
            mask = shot.truth.instance_ids == item.instance_id
            assert item.visible_px == mask.sum() <= item.amodal_px
            assert 0.0 <= item.in_view_fraction <= 1.0
            if item.box_xyxy is not None:
                x1, y1, x2, y2 = item.box_xyxy.astype(int)
                assert mask[y1:y2, x1:x2].sum() == mask.sum()
                assert mask[y1].any()
                assert mask[:, x2 - 1].any()


def test_a_picture_cut_in_half_keeps_half_of_a_ball() -> None:
    scene = a_scene_with("ball")
    right = scene.camera.world_from_camera(0.0)[:3, 0]
    edge = 0.5 / scene.camera.focal_ratio * scene.camera.distance_m
    shot = one_frame(a_scene_with("ball", at_xy=(right[0] * edge, right[1] * edge)))
    assert shot.truth.objects[0].in_view_fraction == pytest.approx(0.5, abs=0.06)


def test_an_object_out_of_the_picture_is_absent_not_zero() -> None:
    item = one_frame(a_scene_with("ball", at_xy=(9.0, 9.0))).truth.objects[0]
    assert item.box_xyxy is None
    assert item.visible_px == item.amodal_px == 0
    assert item.in_view_fraction == 0.0


def test_the_nearer_object_hides_the_farther_one() -> None:
    scene = named_scene("occlusion", 2)
    hidden = 0
    for shot in simulate(scene, frames=30, fps=10, width=80, height=60):
        mug = shot.truth.objects[0]
        hidden += mug.visible_px == 0 < mug.amodal_px
    assert hidden > 0


def test_the_same_scene_gives_the_same_bits_twice() -> None:
    one = list(simulate(sample_scene(3, "clip"), frames=3, width=96, height=72))
    two = list(simulate(sample_scene(3, "clip"), frames=3, width=96, height=72))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.frame.rgb, b.frame.rgb)
        assert a.frame.depth_m is not None
        assert b.frame.depth_m is not None
        assert np.array_equal(a.frame.depth_m, b.frame.depth_m, equal_nan=True)
        assert np.array_equal(a.truth.instance_ids, b.truth.instance_ids)
    assert not np.array_equal(one[0].frame.rgb, one[2].frame.rgb)


def test_a_training_clip_shows_what_simulate_shows() -> None:
    scene = sample_scene(9, "clip")
    rgb, ids = render_clip(scene, frames=2, width=96, height=72, fps=5)
    for index, shot in enumerate(simulate(scene, frames=2, width=96, height=72, fps=5)):
        assert np.array_equal(rgb[index], shot.frame.rgb)
        assert np.array_equal(ids[index], shot.truth.instance_ids)


def test_many_pictures_in_one_call_equal_one_at_a_time() -> None:
    shots = [(sample_scene(1, "clip"), [0.0, 0.5]), (sample_scene(2, "clip"), [0.2])]
    together = render(set_stage(shots, width=64, height=48))
    alone = [render(set_stage([(scene, [time])], width=64, height=48)) for scene, times in shots for time in times]
    for index, picture in enumerate(alone):
        assert (together.ids[index] != picture.ids[0]).float().mean() < 0.002
        assert (together.rgb[index] - picture.rgb[0]).abs().mean() < 1e-3
        count = picture.amodal_px.shape[1]
        assert (together.amodal_px[index, 1:count] - picture.amodal_px[0, 1:]).abs().max() <= 2


SHOTS = [(1, "clip", 0), (1, "clip", 6), (2, "clip", 3), (4, "still", 0)]


def assert_alike(one: SimulatedFrame, other: SimulatedFrame) -> None:
    """The same frame up to rounding: a pixel here and there may fall to the other side of an edge."""
    assert one.frame.stamp_ns == other.frame.stamp_ns
    assert (one.truth.instance_ids != other.truth.instance_ids).mean() < 0.002
    assert (one.truth.part_ids != other.truth.part_ids).mean() < 0.002
    assert np.abs(one.frame.rgb.astype(int) - other.frame.rgb.astype(int)).mean() < 0.3
    assert np.median(np.abs(one.truth.depth_m - other.truth.depth_m)) < 1e-5
    assert one.frame.depth_m is not None
    assert other.frame.depth_m is not None
    assert (np.isnan(one.frame.depth_m) != np.isnan(other.frame.depth_m)).mean() < 0.01
    for a, b in zip(one.truth.objects, other.truth.objects, strict=True):
        assert a.in_view_fraction == pytest.approx(b.in_view_fraction, abs=0.01)
        assert (a.category, a.instance_id, set(a.parts_xyxy)) == (b.category, b.instance_id, set(b.parts_xyxy))
        assert a.amodal_px == pytest.approx(b.amodal_px, abs=3)
        assert np.array_equal(a.camera_from_object, b.camera_from_object)


def test_frames_of_many_scenes_in_one_call_are_those_of_each_scene_alone() -> None:
    shots = [(sample_scene(seed, kind), index) for seed, kind, index in SHOTS]
    together = simulate_many(shots, fps=10, width=96, height=72)
    for seen, (scene, index) in zip(together, shots, strict=True):
        assert_alike(seen, list(simulate(scene, frames=index + 1, fps=10, width=96, height=72))[index])
    assert simulate_many([]) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_draws_what_the_processor_draws() -> None:
    shots = [(sample_scene(seed, kind), index) for seed, kind, index in SHOTS]
    here, there = (simulate_many(shots, fps=10, width=96, height=72, device=name) for name in ("cpu", "cuda"))
    for one, other in zip(here, there, strict=True):
        assert_alike(one, other)


def test_sensor_depth_is_near_the_truth_but_for_borders() -> None:
    shot = one_frame(named_scene("tabletop"), noise=True, width=320, height=240)
    assert shot.frame.depth_m is not None
    known = np.isfinite(shot.frame.depth_m)
    error = (shot.frame.depth_m - shot.truth.depth_m)[known & (shot.truth.depth_m < 1.2)]
    flying = np.abs(error) > 0.015
    assert 0.0 < flying.mean() < 0.02
    assert 0.0003 < error[~flying].std() < 0.004
    assert abs(error[~flying].mean()) < 0.0005
    assert 0.002 < 1.0 - known.mean() < 0.2


def test_stamps_follow_the_frame_rate() -> None:
    stamps = [shot.frame.stamp_ns for shot in simulate(sample_scene(0, "still"), frames=4, fps=30, width=32, height=24)]
    assert stamps == [1_000_000_000, 1_033_333_333, 1_066_666_667, 1_100_000_000]


@pytest.mark.parametrize(
    ("category", "parts"),
    [
        ("mug", {"handle"}),
        ("teapot", {"handle", "lid", "spout"}),
        ("bottle", {"lid"}),
        ("jar", {"lid"}),
        ("pan", {"handle"}),
        ("hammer", {"handle"}),
        ("screwdriver", {"handle"}),
        ("box", set()),
    ],
)
def test_named_parts_are_seen_as_parts_of_their_object(category: str, parts: set[str]) -> None:
    scene = a_scene_with(category)
    scene = replace(scene, objects=(_turned_to_show_its_side(scene),))
    truth = one_frame(scene, width=320, height=240).truth
    assert set(truth.objects[0].parts_xyxy) == parts
    assert truth.part_ids is not None
    assert not truth.part_ids[truth.instance_ids == 0].any()
    for name, (x1, y1, x2, y2) in truth.objects[0].parts_xyxy.items():
        mask = truth.part_ids == PARTS.index(name) + 1
        rows, columns = np.nonzero(mask)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x1, y1, x2, y2)
        assert 0 < mask.sum() < (truth.instance_ids == 1).sum()


def _turned_to_show_its_side(scene: Scene) -> SceneObject:
    position, _ = scene.objects[0].body.path.at(0.0)
    return on_path(scene.objects[0], standstill(position, scene.camera.azimuth + np.pi / 2))


def _seen_color(color: str, material: str, category: str, seed: int) -> Array:
    """Pixels (N, 3) in [0, 1] of one object of these words under a drawn lamp."""
    rng = np.random.default_rng(seed)
    scene = a_scene_with(category)
    item = looks.make_object(rng, 1, category=category, color=color, material=material)
    item = on_path(item, scene.objects[0].body.path)
    scene = replace(scene, objects=(item,), light=looks.make_light(rng), lens=Lens(1.0, 0.9, 0.5, 0.0))
    shot = one_frame(scene)
    return shot.frame.rgb[shot.truth.instance_ids == 1] / 255.0


@pytest.mark.parametrize("material", ["plain", "wooden", "glossy"])
@pytest.mark.parametrize("color", COLORS)
def test_wood_and_shine_keep_the_name_of_the_color(color: str, material: str) -> None:
    pixels = np.concatenate([_seen_color(color, material, category, 5) for category in ("cup", "ball", "box")])
    hue = np.median(pixels, axis=0) + 1e-3
    names = [name for name in COLORS if (name in ("white", "black")) == (color in ("white", "black"))]
    if color in ("white", "black"):
        assert np.ptp(hue) < 0.12
        assert (hue.mean() > 0.3) == (color == "white")
        return
    closest = max(names, key=lambda name: float(np.dot(hue / np.linalg.norm(hue), _direction(COLORS[name]))))
    assert closest == color


def _direction(rgb: tuple[float, float, float]) -> Array:
    return np.array(rgb) / np.linalg.norm(rgb)


def test_only_shiny_things_mirror_the_room() -> None:
    spread = {
        name: np.ptp(np.percentile(_seen_color("blue", name, "ball", 2), [50, 99], axis=0)[:, 0])
        for name in ("plain", "glossy")
    }
    assert spread["glossy"] > 0.35
    assert spread["plain"] < 0.25


@pytest.mark.parametrize(("color", "channel"), [("red", 0), ("green", 1), ("blue", 2)])
def test_colors_look_like_their_words(color: str, channel: int) -> None:
    for seed in range(30):
        shot = one_frame(sample_scene(seed, "still"), width=96, height=72)
        for item in shot.truth.objects:
            mask = shot.truth.instance_ids == item.instance_id
            if item.color == color and item.material == "plain" and mask.sum() > 60:
                assert np.median(shot.frame.rgb[mask], axis=0).argmax() == channel
