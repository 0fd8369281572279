"""Scenes hold what they promise: words, places, motion, and seeds that never meet."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import permutations

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from referent.errors import ReferentError
from referent.sources.simulation.categories import build_shape
from referent.sources.simulation.scenes import KINDS, SCENE_NAMES, named_scene, sample_scene, seed_of
from referent.sources.simulation.visibility import look_around
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, MATERIALS, SIZE_WORDS
from referent.sources.simulation.world import Scene, SceneObject
from referent.types import Array

TIMES_S = (0.0, 0.7, 1.5, 2.4, 3.6, 4.9)


def words_of(scene: Scene) -> list[tuple[str, str]]:
    return [(item.color, item.category) for item in scene.objects]


def hull_of(item: SceneObject) -> Array:
    """Half spaces (F, 4) of the object's convex hull in its own frame."""
    return ConvexHull(item.body.shape.points_m).equations


def points_inside(one: SceneObject, other: SceneObject, time_s: float) -> int:
    """How many surface points of `one` lie a millimetre deep in the convex hull of `other`."""
    pose = np.linalg.inv(other.body.world_from_object(time_s)) @ one.body.world_from_object(time_s)
    points = one.body.shape.points_m @ pose[:3, :3].T + pose[:3, 3]
    near = points[(np.abs(points) < other.body.shape.size_m / 2).all(axis=1)]
    if len(near) == 0:
        return 0
    hull = hull_of(other)
    return int(((near @ hull[:, :3].T + hull[:, 3]).max(axis=1) < -0.001).sum())


@cache
def some_scenes() -> tuple[Scene, ...]:
    drawn = [sample_scene(seed, kind) for kind in ("still", "clip") for seed in range(25)]
    return (*drawn, *(named_scene(name, 1) for name in SCENE_NAMES))


def test_objects_never_run_into_each_other() -> None:
    for scene in some_scenes():
        for one, other in permutations(scene.objects, 2):
            for time_s in TIMES_S:
                assert points_inside(one, other, time_s) == 0, (scene.name, scene.seed, time_s)


def test_objects_rest_on_the_table_and_never_sink_into_it() -> None:
    for scene in some_scenes():
        for item in scene.objects:
            heights = []
            for time_s in TIMES_S:
                pose = item.body.world_from_object(time_s)
                heights.append((item.body.shape.points_m @ pose[:3, :3].T)[:, 2].min() + pose[2, 3])
            assert 0.0 < min(heights) < 0.001
            assert heights[0] == pytest.approx(min(heights))


def test_training_scenes_and_held_out_scenes_share_no_seed() -> None:
    names = [*KINDS, *(f"named/{name}" for name in SCENE_NAMES)]
    assert len(set(names)) == len(names)
    assert not any("/" in kind for kind in KINDS)  # so "kind/seed" is no "named/name/seed", whatever the numbers
    seeds = [seed_of(name, number) for name in names for number in range(2000)]
    assert len(set(seeds)) == len(seeds)
    assert sample_scene(5, "still").objects[0].body.base != sample_scene(5, "still_test").objects[0].body.base


def test_drawn_scenes_use_the_whole_vocabulary_and_nothing_else() -> None:
    items = [item for seed in range(120) for item in sample_scene(seed, "still").objects]
    assert {item.category for item in items} == set(CATEGORIES)
    assert {item.color for item in items} == set(COLORS)
    assert {item.material for item in items} == set(MATERIALS)
    assert all(item.size_word in SIZE_WORDS[item.category] for item in items)


def test_instances_are_numbered_from_one() -> None:
    for scene in some_scenes():
        assert [item.instance_id for item in scene.objects] == list(range(1, len(scene.objects) + 1))


def test_sizes_of_a_shape_are_those_of_its_points() -> None:
    for category in CATEGORIES:
        shape = build_shape(category)
        assert np.ptp(shape.points_m, axis=0) == pytest.approx(shape.size_m)
        assert shape.points_m.max(axis=0) == pytest.approx(shape.size_m / 2)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_tabletop_has_one_red_mug_that_moves_a_little_and_everything_stays_in_view(seed: int) -> None:
    scene = named_scene("tabletop", seed)
    words = words_of(scene)
    assert words.count(("red", "mug")) == 1
    assert {("blue", "mug"), ("red", "box")} <= set(words)
    assert 5 <= len(words) <= 6
    mug = scene.objects[words.index(("red", "mug"))].body
    ways = [np.linalg.norm(mug.path.at(time_s)[0] - mug.path.at(0.0)[0]) for time_s in np.arange(0, 8, 0.25)]
    assert 0.04 < max(ways) < 0.12
    seen = look_around(scene, np.arange(0.0, 8.0, 0.5))
    assert seen.inside.all()
    assert seen.shares.min() > 0.7


def test_occlusion_hides_the_red_mug_once_and_shows_it_again() -> None:
    scene = named_scene("occlusion", 2)
    assert words_of(scene)[0] == ("red", "mug")
    shares = look_around(scene, np.arange(0.0, 6.0, 0.1)).shares[:, 0]
    assert shares[0] > 0.9
    assert shares.min() == 0.0
    assert shares[-1] > 0.9


def test_lookalikes_repeat_the_words_of_the_target() -> None:
    assert Counter(words_of(named_scene("lookalikes")))["red", "mug"] == 3


def test_the_mug_leaves_the_picture_and_comes_back() -> None:
    scene = named_scene("leave_and_return")
    period_s = scene.objects[0].body.path.period_s
    inside = look_around(scene, np.linspace(0.0, period_s, 40)).inside[:, 0]
    assert inside[0]
    assert not inside.all()
    assert inside[-1]


def test_in_moving_camera_only_the_camera_moves() -> None:
    scene = named_scene("moving_camera")
    assert all(len(item.body.path.times_s) == 1 for item in scene.objects)
    eyes = np.array([scene.camera.world_from_camera(time_s)[:3, 3] for time_s in np.arange(0, 9, 0.5)])
    assert np.ptp(eyes, axis=0).max() > 0.1


def test_an_unknown_scene_is_refused_with_the_known_names() -> None:
    with pytest.raises(ReferentError, match=r"kitchen.*tabletop"):
        named_scene("kitchen")
    with pytest.raises(ReferentError, match=r"movie.*clip"):
        sample_scene(0, "movie")
