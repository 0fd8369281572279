"""Scenes that no tracker sees through by itself: what is followed moves unseen, or comes back otherwise.

They tell the stories of the named scenes of the same names, for half a minute and harder. The first object, a red mug,
is the one that matters; nothing else is a red mug, but some things are red, and some are mugs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from referent.errors import ReferentError
from referent.sources.simulation import layout, looks, motions
from referent.sources.simulation.layout import Disc
from referent.sources.simulation.scenes import seed_of
from referent.sources.simulation.visibility import look_around
from referent.sources.simulation.world import CameraPath, Path, Scene, SceneObject, Swing
from referent.types import Array

Rng = np.random.Generator
TARGET = ("red", "mug")
LIKE_IT = (("red", "cup"), ("orange", "mug"), ("red", "can"), ("blue", "mug"), ("red", "bowl"), ("purple", "mug"))
UNLIKE_IT = (("yellow", "bowl"), ("green", "box"), ("white", "plate"), ("blue", "bottle"))
SECONDS = 24.0
QUIET_S = 4.0  # nothing happens before, and for so long between two changes
LOOK_STEP_S = 0.1
AT_ONCE_S, AFTER_S, FOR_EVER_S = 1e-3, 2e-2, 1e6
NEXT_PASS_S = 1.0  # from a time when nothing could change to the next one looked at
PLACES_TRIED = 60
LEAST_MOVE_M = 0.1
CARRIED_S = (0.25, 0.7)
UNDER_THE_FLOOR = np.array([0.0, 0.0, -3.0])  # where what is carried unseen is meanwhile
DRAWS = 200


@dataclass(frozen=True, eq=False)
class Trial:
    """A scene, and the seconds at which something else was put where its first object had been."""

    scene: Scene
    swaps_s: tuple[float, ...] = ()


def trial(name: str, seed: int) -> Trial:
    """The trial of a name in the variant `seed`. Raises ReferentError for an unknown name or when nothing fits."""
    if name not in TRIALS:
        raise ReferentError(f"trial {name!r} is unknown; the trials are {', '.join(TRIALS)}")
    rng = np.random.default_rng(seed_of(f"trial/{name}", seed))
    for _ in range(DRAWS):
        drawn = TRIALS[name](rng, name, seed)
        if drawn is not None:
            return drawn
    raise ReferentError(f"trial {name} with seed {seed} finds no room on its table; take another seed")


def _occlusion(rng: Rng, name: str, seed: int) -> Trial | None:
    """A board passes every three seconds; behind it the mug is taken along, unseen, to another place."""
    camera = motions.draw_camera(rng, distance_m=(0.62, 0.74), degrees_down=(32, 42))
    stood = _standing(rng, camera, [TARGET, *_some(rng, LIKE_IT, 2), *_some(rng, UNLIKE_IT, 2)])
    if stood is None:
        return None
    items, taken = stood
    board = motions.crossing(rng, camera, period_s=6.0, kind="board")
    scene = looks.assemble(rng, name, seed, items, [board], camera)

    def elsewhere(scene: Scene, at_s: float) -> Scene | None:
        for _ in range(PLACES_TRIED):
            place = layout.find_place(rng, camera, scene.objects[0], taken, margin=0.02)
            here = scene.objects[0].body.path.at(at_s)[0]
            if place is None or np.linalg.norm(place - here) < LEAST_MOVE_M:
                continue
            down_s = at_s + rng.uniform(*CARRIED_S)
            carried = _jumping(_jumping(scene.objects[0], UNDER_THE_FLOOR, at_s), place, down_s)
            moved = _with(scene, {0: carried})
            if _is_hidden(moved, 0, down_s + AFTER_S):
                return moved
        return None

    changed = _changed_unseen(scene, elsewhere)
    return None if changed is None else Trial(changed[0])


def _lookalikes(rng: Rng, name: str, seed: int) -> Trial | None:
    """A board passes; behind it the mug changes places with something like it, each time something else."""
    camera = motions.draw_camera(rng, distance_m=(0.62, 0.74), degrees_down=(34, 44))
    camera = motions.swaying(rng, camera, strength=0.2)
    alike = _some(rng, LIKE_IT, 4)
    stood = _standing(rng, camera, [TARGET, *alike])
    if stood is None:
        return None
    board = motions.crossing(rng, camera, period_s=7.0, kind="board")
    scene = looks.assemble(rng, name, seed, stood[0], [board], camera)

    def exchanged(scene: Scene, at_s: float) -> Scene | None:
        for other in rng.permutation(np.arange(1, len(alike) + 1)).tolist():
            mine, its = scene.objects[0], scene.objects[other]
            here, there = (item.body.path.at(at_s)[0] for item in (mine, its))
            moved = _with(scene, {0: _jumping(mine, there, at_s), other: _jumping(its, here, at_s)})
            if _is_hidden(scene, other, at_s) and all(_is_hidden(moved, i, at_s + AFTER_S) for i in (0, other)):
                return moved
        return None

    changed = _changed_unseen(scene, exchanged)
    return None if changed is None else Trial(*changed)


def _leave_and_return(rng: Rng, name: str, seed: int) -> Trial | None:
    """The mug is carried away; something like it takes its place; it comes back to another place; and so on."""
    camera = motions.draw_camera(rng, distance_m=(0.62, 0.74), degrees_down=(34, 44))
    stood = _standing(rng, camera, [TARGET, *_some(rng, LIKE_IT, 2), *_some(rng, UNLIKE_IT, 1)])
    if stood is None:
        return None
    items, taken = stood
    second = layout.find_place(rng, camera, items[0], taken, margin=0.02)
    if second is None:
        return None
    mine = items[0].body.path.positions_m[0]
    away = _outside(camera, mine)
    # seconds:        stands   goes  is away              comes   stands      goes  is away    comes
    visits = [(0.0, mine), (4.0, mine), (6.0, away), (9.0, away), (11.0, second), (15.0, second), (17.0, away)]
    items[0] = layout.on_path(items[0], _carried(items[0], [*visits, (20.0, away), (22.0, mine), (24.0, mine)]))
    impostor = items[1]
    home = np.array([*mine[:2], layout.rest_height(impostor)])
    out = _outside(camera, home, side=-np.sign(_across(camera, mine)))
    stays = [(0.0, out), (5.5, out), (7.5, home), (17.5, home), (19.5, out), (24.0, out)]
    items[1] = layout.on_path(impostor, _carried(impostor, stays))
    return Trial(looks.assemble(rng, name, seed, items, [], camera), (7.5,))


def _moving_camera(rng: Rng, name: str, seed: int) -> Trial | None:
    """The camera goes round the table, looks away and comes back from another side."""
    camera = motions.draw_camera(rng, distance_m=(0.62, 0.72), degrees_down=(34, 42))
    stood = _standing(rng, camera, [TARGET, *_some(rng, LIKE_IT, 2), *_some(rng, UNLIKE_IT, 2)])
    if stood is None:
        return None
    side = rng.choice([-1.0, 1.0])
    moved = replace(
        motions.swaying(rng, camera, strength=0.4),
        azimuth_swing=Swing(side * rng.uniform(0.6, 0.8), rng.uniform(26.0, 32.0), 0.0),
        pan_swing=Swing(rng.choice([-1.0, 1.0]) * rng.uniform(0.42, 0.50), rng.uniform(18.0, 22.0), 0.0),
    )
    return Trial(looks.assemble(rng, name, seed, stood[0], [], moved))


TRIALS: Mapping[str, Callable[[Rng, str, int], Trial | None]] = MappingProxyType(
    {
        "occlusion": _occlusion,
        "lookalikes": _lookalikes,
        "leave_and_return": _leave_and_return,
        "moving_camera": _moving_camera,
    }
)


def _some(rng: Rng, words: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    return [words[int(index)] for index in rng.permutation(len(words))[:count]]


def _standing(
    rng: Rng, camera: CameraPath, words: Sequence[tuple[str, str]]
) -> tuple[list[SceneObject], list[Disc]] | None:
    """Plain objects of these (color, category) words, all whole in the picture and the first one well to be seen."""
    items = [
        looks.make_object(rng, index + 1, category=category, color=color, material="plain")
        for index, (color, category) in enumerate(words)
    ]
    return layout.place_all(rng, camera, items, margin=0.02, must=len(items))


def _changed_unseen(
    scene: Scene, change: Callable[[Scene, float], Scene | None]
) -> tuple[Scene, tuple[float, ...]] | None:
    """Apply `change`, if it can be done unseen, whenever the first object is hidden and has been at peace for a while.

    None when it is not seen well at first, or when there are not two such changes.
    """
    if look_around(scene, [0.0]).shares[0, 0] < 0.9:
        return None
    times: list[float] = []
    from_s = QUIET_S
    while (at_s := _hidden_at(scene, from_s)) is not None:
        changed = change(scene, at_s)
        if changed is not None:
            scene, times = changed, [*times, at_s]
        from_s = at_s + (QUIET_S if changed is not None else NEXT_PASS_S)
    return (scene, tuple(times)) if len(times) > 1 else None


def _is_hidden(scene: Scene, index: int, at_s: float) -> bool:
    return bool(look_around(scene, [at_s]).shares[0, index] == 0.0)


def _hidden_at(scene: Scene, from_s: float) -> float | None:
    """The middle of the first time from `from_s` on in which the first object is hidden completely."""
    times = np.arange(from_s, SECONDS - QUIET_S, LOOK_STEP_S)
    if len(times) == 0:
        return None
    hidden = look_around(scene, times).shares[:, 0] == 0.0
    if not hidden.any():
        return None
    first = int(np.argmax(hidden))
    beyond = first + int(np.argmin([*hidden[first:], False]))
    return float(times[(first + beyond - 1) // 2])


def _with(scene: Scene, changed: Mapping[int, SceneObject]) -> Scene:
    return replace(scene, objects=tuple(changed.get(index, item) for index, item in enumerate(scene.objects)))


def _jumping(item: SceneObject, place: Array, at_s: float) -> SceneObject:
    """The object as before until `at_s`, then at another place of the table."""
    path = item.body.path
    there = place if place[2] < 0 else np.array([*place[:2], layout.rest_height(item)])
    begun = path.positions_m[-1]
    times = np.array([*path.times_s, at_s, at_s + AT_ONCE_S])
    places = np.array([*path.positions_m, begun, there])
    return layout.on_path(item, Path(times, places, np.full(len(times), path.yaws[0]), FOR_EVER_S))


def _across(camera: CameraPath, place: Array) -> float:
    """How far right of the picture's middle a place is, in metres."""
    return float((place - camera.look_at_m) @ camera.world_from_camera(0.0)[:3, 0])


def _outside(camera: CameraPath, place: Array, *, side: float | None = None) -> Array:
    """Beside the picture, high over the table, on the place's own side or on the one given."""
    right, across = camera.world_from_camera(0.0)[:3, 0], _across(camera, place)
    side = side or float(np.sign(across)) or 1.0
    return place + np.array([0.0, 0.0, motions.LIFT_CLEAR_M]) + right * (0.8 * camera.distance_m * side - across)


def _carried(item: SceneObject, visits: Sequence[tuple[float, Array]]) -> Path:
    """Through places at times, from above and to above where the next one is another."""
    up = np.array([0.0, 0.0, motions.LIFT_CLEAR_M])
    times, places = [visits[0][0]], [visits[0][1]]
    for (start_s, start), (end_s, end) in pairwise(visits):
        if not np.array_equal(start, end):
            low_start, low_end = start[2] < up[2], end[2] < up[2]
            times += [start_s + 0.4 * (end_s - start_s)] if low_start else []
            places += [start + up] if low_start else []
            times += [start_s + 0.6 * (end_s - start_s)] if low_end else []
            places += [end + up] if low_end else []
        times.append(end_s)
        places.append(end)
    return Path(np.array(times), np.array(places), np.full(len(times), item.body.path.yaws[0]), FOR_EVER_S)
