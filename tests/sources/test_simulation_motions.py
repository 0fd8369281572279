"""Things move as things do: they roll without slipping, change places without touching, and hands reach in."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from referent.sources.simulation import layout, looks, motions
from referent.sources.simulation.layout import Disc
from referent.sources.simulation.render import render
from referent.sources.simulation.scenes import sample_scene
from referent.sources.simulation.stage import set_stage
from referent.sources.simulation.world import CameraPath, Path, Scene, SceneObject, standstill
from referent.types import Array


def a_camera(seed: int = 0) -> CameraPath:
    return motions.draw_camera(np.random.default_rng(seed), distance_m=(0.8, 0.85))


def a_thing(
    category: str, xy: tuple[float, float] = (0.0, 0.0), *, lying: float = 0.0, yaw: float = 0.7
) -> SceneObject:
    item = looks.make_object(np.random.default_rng(1), 1, category=category, lying=lying)
    return layout.on_path(item, standstill(np.array([*xy, layout.rest_height(item)]), yaw))


def rolled(item: SceneObject) -> Path | None:
    rng = np.random.default_rng(2)
    return layout.roll(rng, a_camera(), item, [], reach_m=(0.1, 0.2), margin=-0.2, wait_s=0.5, move_s=1.0)


@cache
def clips() -> tuple[Scene, ...]:
    return tuple(sample_scene(seed, "clip") for seed in range(120))


@pytest.mark.parametrize(("category", "lying"), [("ball", 0.0), ("can", 1.0)])
def test_what_rolls_touches_the_table_with_a_point_at_rest(category: str, lying: float) -> None:
    path = rolled(item := a_thing(category, lying=lying))
    assert path is not None
    body = layout.on_path(item, path).body
    for time_s in (0.7, 1.0, 1.3):
        before, after = body.world_from_object(time_s), body.world_from_object(time_s + 1e-5)
        contact = before[:3, 3] - [0.0, 0.0, before[2, 3] - layout.REST_M]
        material = np.linalg.inv(before) @ [*contact, 1.0]
        speed = np.linalg.norm(after[:3, 3] - before[:3, 3])
        assert speed > 5e-7
        assert np.linalg.norm((after @ material)[:3] - contact) < 1e-3 * speed


def test_what_rolls_ends_turned_by_its_way_over_its_radius() -> None:
    path = rolled(item := a_thing("ball"))
    assert path is not None
    body = layout.on_path(item, path).body
    start, end = body.world_from_object(0.0), body.world_from_object(1.6)
    angle = np.linalg.norm(end[:3, 3] - start[:3, 3]) / (item.body.shape.size_m[0] / 2)
    assert np.trace(end[:3, :3] @ start[:3, :3].T) == pytest.approx(1.0 + 2.0 * np.cos(angle), abs=1e-9)


def test_a_lying_can_stays_on_its_side_while_it_rolls() -> None:
    path = rolled(item := a_thing("can", lying=1.0))
    assert path is not None
    body = layout.on_path(item, path).body
    axes = np.array([body.world_from_object(time_s)[:3, 2] for time_s in np.linspace(0.0, 2.0, 9)])
    assert axes == pytest.approx(np.tile(axes[0], (9, 1)), abs=1e-9)
    assert abs(axes[0, 2]) < 1e-9


def test_a_mug_and_a_standing_can_do_not_roll() -> None:
    assert rolled(a_thing("mug")) is None
    assert rolled(a_thing("can")) is None


def distance_between(one: SceneObject, other: SceneObject, time_s: float) -> float:
    gap: Array = one.body.path.at(time_s)[0] - other.body.path.at(time_s)[0]
    return float(np.hypot(gap[0], gap[1]))


def test_two_that_change_places_end_where_the_other_was_and_never_come_closer() -> None:
    one, other = a_thing("mug"), a_thing("jar", (0.15, 0.05))
    paths = layout.swap(one, other, [], wait_s=0.5, move_s=1.5)
    assert paths is not None
    moved = layout.on_path(one, paths[0]), layout.on_path(other, paths[1])
    for start, item in ((other, moved[0]), (one, moved[1])):
        assert item.body.path.at(2.2)[0][:2] == pytest.approx(start.body.path.at(0.0)[0][:2])
        assert item.body.path.at(item.body.path.period_s)[0] == pytest.approx(item.body.path.at(0.0)[0])
    apart = distance_between(one, other, 0.0)
    for time_s in np.linspace(0.0, 4.0, 60):
        assert distance_between(*moved, time_s) > 0.98 * apart


def test_nothing_changes_places_through_a_third_thing() -> None:
    one, other = a_thing("mug"), a_thing("jar", (0.15, 0.05))
    ring = [Disc(0.075 + 0.08 * np.cos(a), 0.025 + 0.08 * np.sin(a), 0.02) for a in np.linspace(0, 6.2, 12)]
    assert layout.swap(one, other, ring, wait_s=0.5, move_s=1.5) is None


def test_random_clips_hold_every_kind_of_motion() -> None:
    paths = [item.body.path for scene in clips() for item in scene.objects]
    assert sum(path.rolling_radius_m is not None for path in paths) > 5
    assert sum(path.steady for path in paths) > 10
    lifted = [path for path in paths if np.ptp(path.positions_m[:, 2]) > 0.04]
    slid = [p for p in paths if np.ptp(p.positions_m[:, 2]) < 1e-9 < np.ptp(p.positions_m[:, 0]) and not p.steady]
    assert len(lifted) > 15
    assert len(slid) > 30
    assert all(sum(item.body.path.steady for item in scene.objects) in (0, 2) for scene in clips())


def test_random_clips_show_few_and_many_things() -> None:
    counts = {len(scene.objects) for scene in clips()}
    assert counts >= {1, 2, 3, 4, 5, 6, 7, 8}
    assert max(counts) <= 12


def test_a_hand_passes_with_gaps_between_its_fingers() -> None:
    scene = next(scene for scene in clips() if len(scene.objects) > 3 and not scene.occluders)
    hand = motions.crossing(np.random.default_rng(0), scene.camera, period_s=6.0, kind="hand")
    shots = set_stage([(replace(scene, occluders=(hand,)), list(np.linspace(1.2, 2.4, 7)))], width=96, height=72)
    near = render(shots).depth_m < 0.55 * scene.camera.distance_m
    edges = (near[:, :, 1:] != near[:, :, :-1]).sum(2)
    assert int(edges.max()) >= 6  # three fingers or more side by side
    assert 0.05 < float(near.float().mean()) < 0.6
