"""Trials hold what they promise: the target changes its place unseen, and what follows blindly is led astray."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from referent.errors import ReferentError
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.trials import QUIET_S, SECONDS, TRIALS, Trial, trial
from referent.sources.simulation.visibility import look_around
from referent.sources.simulation.world import Scene, SceneObject
from referent.types import Array

SEED = 3
AT_ONCE_S = 0.01  # what moves faster than this does not move, it is put elsewhere


@cache
def drawn(name: str) -> Trial:
    return trial(name, SEED)


def place(item: SceneObject, time_s: float) -> Array:
    """Where it stands on the table, (2,) metres."""
    return item.body.path.at(time_s)[0][:2]


def swaps_of(item: SceneObject) -> list[float]:
    """The seconds at which an object is put elsewhere in no time."""
    times = item.body.path.times_s
    return [float(start) for start, end in pairwise(times) if end - start < AT_ONCE_S]


def described(scene: Scene) -> list[object]:
    """All that tells one scene from another."""
    return [
        (item.color, item.category, item.body.path.times_s.tolist(), item.body.path.positions_m.tolist())
        for item in scene.objects
    ]


def test_an_unknown_trial_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ReferentError, match=r"'tabletop' is unknown; the trials are occlusion, .*moving_camera"):
        trial("tabletop", 0)


@pytest.mark.parametrize("name", ["lookalikes", "leave_and_return", "moving_camera"])
def test_the_same_seed_gives_the_same_trial(name: str) -> None:
    again = trial(name, SEED)
    assert described(again.scene) == described(drawn(name).scene)
    assert again.swaps_s == drawn(name).swaps_s


def test_another_seed_gives_another_trial_and_none_is_the_scene_of_its_name() -> None:
    first, other = drawn("leave_and_return").scene, trial("leave_and_return", SEED + 1).scene
    assert described(first) != described(other)
    assert described(first) != described(named_scene("leave_and_return", SEED))


@pytest.mark.parametrize("name", TRIALS)
def test_the_target_comes_first_is_the_only_red_mug_and_is_well_seen_at_first(name: str) -> None:
    scene = drawn(name).scene
    words = [(item.color, item.category) for item in scene.objects]
    assert words[0] == ("red", "mug")
    assert words.count(("red", "mug")) == 1
    assert any("red" in pair or "mug" in pair for pair in words[1:]), "something is like it"
    seen = look_around(scene, [0.0])
    assert seen.shares[0, 0] >= 0.9
    assert seen.inside[0, 0]


def changes_of(name: str) -> list[tuple[float, float]]:
    """The seconds at which the target of a trial vanishes and at which it stands elsewhere."""
    jumps_s = swaps_of(drawn(name).scene.objects[0])
    return list(zip(jumps_s[::2], jumps_s[1::2], strict=True)) if name == "occlusion" else [(s, s) for s in jumps_s]


@pytest.mark.parametrize("name", ["occlusion", "lookalikes"])
def test_whenever_the_target_is_put_elsewhere_it_is_hidden_completely_here_and_there(name: str) -> None:
    scene, changes = drawn(name).scene, changes_of(name)
    assert len(changes) >= 2
    times_s = [at_s for start_s, end_s in changes for at_s in (start_s, end_s + 2 * AT_ONCE_S)]
    assert not look_around(scene, times_s).shares[:, 0].any()
    mug = scene.objects[0]
    apart_m = [np.linalg.norm(place(mug, end_s + 2 * AT_ONCE_S) - place(mug, start_s)) for start_s, end_s in changes]
    assert min(apart_m) > 0.03


def test_what_changes_places_with_the_target_is_hidden_too() -> None:
    scene = drawn("lookalikes").scene
    for at_s, _ in changes_of("lookalikes"):
        moved = [i for i, item in enumerate(scene.objects) if at_s in swaps_of(item)]
        assert len(moved) == 2
        assert not look_around(scene, [at_s, at_s + 2 * AT_ONCE_S]).shares[:, moved].any()


@pytest.mark.parametrize("name", ["occlusion", "lookalikes"])
def test_between_two_changes_the_target_is_seen_again_in_peace(name: str) -> None:
    scene, changes = drawn(name).scene, changes_of(name)
    starts_s = [start_s for start_s, _ in changes]
    assert starts_s[0] >= QUIET_S
    assert min(np.diff(starts_s)) >= QUIET_S - 1e-6
    assert starts_s[-1] <= SECONDS - QUIET_S
    for (_, placed_s), next_s in zip(changes, [*starts_s[1:], SECONDS], strict=True):
        assert look_around(scene, np.arange(placed_s, next_s, 0.25)).shares[:, 0].max() > 0.5


def test_where_the_target_was_something_else_stands_after_each_swap_of_lookalikes() -> None:
    scene, swaps_s = drawn("lookalikes").scene, drawn("lookalikes").swaps_s
    assert list(swaps_s) == swaps_of(scene.objects[0])
    instead = []
    for at_s in swaps_s:
        was = place(scene.objects[0], at_s)
        standing = [item.instance_id for item in scene.objects if np.allclose(place(item, at_s + AT_ONCE_S), was)]
        assert len(standing) == 1
        instead += standing
    assert scene.objects[0].instance_id not in instead


def test_behind_an_occlusion_nothing_takes_the_targets_place() -> None:
    scene = drawn("occlusion").scene
    assert drawn("occlusion").swaps_s == ()
    for gone_s, placed_s in changes_of("occlusion"):
        was = place(scene.objects[0], gone_s)
        assert all(np.linalg.norm(place(item, placed_s + AT_ONCE_S) - was) > 0.03 for item in scene.objects)


def test_what_leaves_is_away_while_another_takes_its_place_and_comes_back_elsewhere_and_then_home() -> None:
    scene, swaps_s = drawn("leave_and_return").scene, drawn("leave_and_return").swaps_s
    mug, impostor = scene.objects[:2]
    assert not look_around(scene, [6.5, 8.5, 18.5]).shares[:, 0].any(), "not in the picture"
    assert (look_around(scene, [3.0, 13.0, 23.0]).shares[:, 0] > 0.5).all()
    assert swaps_s == (7.5,)
    assert np.allclose(place(impostor, swaps_s[0]), place(mug, 0.0))
    assert np.linalg.norm(place(mug, 13.0) - place(mug, 0.0)) > 0.03
    assert np.allclose(place(mug, 23.0), place(mug, 0.0))
    assert np.linalg.norm(place(impostor, 23.0) - place(mug, 0.0)) > 0.2


def test_the_camera_looks_away_and_back_from_another_side_while_nothing_moves() -> None:
    scene = drawn("moving_camera").scene
    assert all(len(item.body.path.times_s) == 1 for item in scene.objects)
    shares = look_around(scene, np.arange(0.0, SECONDS, 0.5)).shares[:, 0]
    away = np.flatnonzero(shares == 0)
    assert len(away) >= 2
    assert shares[away[0] :].max() > 0.9, "it comes back"
