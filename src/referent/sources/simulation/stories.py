"""The named scenes: what happens in each, and what each promises to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from referent.sources.simulation import layout, looks, motions
from referent.sources.simulation.layout import Disc
from referent.sources.simulation.visibility import look_around
from referent.sources.simulation.world import CameraPath, Scene, SceneObject

Rng = np.random.Generator


@dataclass(frozen=True)
class Story:
    """Draws a variant of a scene (None: no room found), and says whether it shows what it promises."""

    draw: Callable[[Rng, str, int], Scene | None]
    holds: Callable[[Scene], bool]


def _props(rng: Rng, *words: tuple[str, str]) -> list[SceneObject]:
    """Plain objects of these (color, category) words, in this order."""
    return [
        looks.make_object(rng, index + 1, category=category, color=color, material="plain")
        for index, (color, category) in enumerate(words)
    ]


def _tabletop(rng: Rng, name: str, seed: int) -> Scene | None:
    """A red mug among other things is pushed a little; the camera sways gently; all stay in view."""
    camera = motions.draw_camera(rng, distance_m=(0.66, 0.76), degrees_down=(38, 48))
    camera = motions.swaying(rng, camera, strength=0.25)
    wanted = [("red", "mug"), ("blue", "mug"), ("red", "box"), ("green", "bottle"), ("yellow", "bowl")]
    if rng.random() < 0.5:
        wanted.append(("orange", "ball"))
    placed = layout.place_all(rng, camera, _props(rng, *wanted), margin=0.03, must=len(wanted))
    if placed is None:
        return None
    items, taken = placed
    path = layout.push(rng, camera, items[0], taken[1:], reach_m=(0.05, 0.11), margin=0.03, wait_s=2.0, move_s=1.5)
    if path is None:
        return None
    items[0] = layout.on_path(items[0], path)
    return looks.assemble(rng, name, seed, items, [], camera)


def _still_life(rng: Rng, camera: CameraPath, *words: tuple[str, str]) -> tuple[list[SceneObject], list[Disc]] | None:
    return layout.place_all(rng, camera, _props(rng, *words), margin=0.02, must=len(words))


def _occlusion(rng: Rng, name: str, seed: int) -> Scene | None:
    """An arm passes before the objects every six seconds."""
    camera = motions.draw_camera(rng, distance_m=(0.62, 0.74), degrees_down=(32, 42))
    placed = _still_life(rng, camera, ("red", "mug"), ("blue", "can"), ("yellow", "bowl"), ("green", "box"))
    if placed is None:
        return None
    return looks.assemble(rng, name, seed, placed[0], [motions.crossing(rng, camera, period_s=6.0, kind="arm")], camera)


def _lookalikes(rng: Rng, name: str, seed: int) -> Scene | None:
    """Three red mugs and a red cup; one mug is pushed past the others."""
    camera = motions.draw_camera(rng, distance_m=(0.62, 0.74), degrees_down=(36, 46))
    camera = motions.swaying(rng, camera, strength=0.25)
    placed = _still_life(rng, camera, ("red", "mug"), ("red", "mug"), ("red", "mug"), ("red", "cup"), ("blue", "bowl"))
    if placed is None:
        return None
    items, taken = placed
    path = layout.push(rng, camera, items[0], taken[1:], reach_m=(0.12, 0.3), margin=0.02, wait_s=1.0, move_s=2.0)
    if path is None:
        return None
    items[0] = layout.on_path(items[0], path)
    return looks.assemble(rng, name, seed, items, [], camera)


def _leave_and_return(rng: Rng, name: str, seed: int) -> Scene | None:
    """The red mug is carried out of the picture and comes back seconds later."""
    camera = motions.draw_camera(rng, distance_m=(0.62, 0.74), degrees_down=(34, 44))
    placed = _still_life(rng, camera, ("red", "mug"), ("blue", "mug"), ("yellow", "box"), ("green", "ball"))
    if placed is None:
        return None
    items, _ = placed
    items[0] = layout.on_path(items[0], motions.leaving(rng, camera, items[0], wait_s=2.0, move_s=2.0))
    return looks.assemble(rng, name, seed, items, [], camera)


def _moving_camera(rng: Rng, name: str, seed: int) -> Scene | None:
    """Nothing moves but the camera, and that a lot."""
    camera = motions.draw_camera(rng, distance_m=(0.68, 0.78), degrees_down=(36, 44))
    camera = motions.swaying(rng, camera, strength=1.0)
    words = (("red", "mug"), ("blue", "bottle"), ("yellow", "banana"), ("green", "block"), ("white", "bowl"))
    placed = layout.place_all(rng, camera, _props(rng, *words), margin=0.07, must=len(words))
    return None if placed is None else looks.assemble(rng, name, seed, placed[0], [], camera)


def _clutter(rng: Rng, name: str, seed: int) -> Scene | None:
    """Nine things close together, seen from low down."""
    camera = motions.swaying(rng, motions.draw_camera(rng, distance_m=(0.7, 0.82), degrees_down=(27, 34)), strength=0.3)
    items = [*_props(rng, ("red", "mug"), ("blue", "mug")), *looks.random_items(rng, 7, alike=0.4)]
    placed = layout.place_all(rng, camera, items, margin=0.0, must=2)
    if placed is None or len(placed[0]) < 7:
        return None
    return looks.assemble(rng, name, seed, placed[0], [], camera)


def _handover(rng: Rng, name: str, seed: int) -> Scene | None:
    """A hand lifts the red mug over to another place and back."""
    camera = motions.draw_camera(rng, distance_m=(0.72, 0.84), degrees_down=(32, 42))
    placed = _still_life(rng, camera, ("red", "mug"), ("blue", "bowl"), ("green", "can"))
    if placed is None:
        return None
    items, taken = placed
    end = layout.find_place(rng, camera, items[0], taken, margin=0.03)
    if end is None:
        return None
    start, yaw = items[0].body.path.at(0.0)
    path = layout.carry(start, end, yaw, height_m=0.17, times_s=(1.5, 1.0, 1.5, 1.0))
    items[0] = layout.on_path(items[0], path)
    return looks.assemble(rng, name, seed, items, [motions.holding(rng, camera, items[0], path)], camera)


def _all_in_view(least: float) -> Callable[[Scene], bool]:
    """Every object whole in the picture and at least this share of it unhidden, for eight seconds."""

    def holds(scene: Scene) -> bool:
        seen = look_around(scene, np.arange(0.0, 8.0, 0.5))
        return bool(seen.inside.all() and (seen.shares >= least).all())

    return holds


def _all_at_first(least: float) -> Callable[[Scene], bool]:
    """At the beginning every object whole in the picture and at least this share of it unhidden."""

    def holds(scene: Scene) -> bool:
        seen = look_around(scene, [0.0])
        return bool(seen.inside.all() and (seen.shares >= least).all())

    return holds


def _first_is_hidden(scene: Scene) -> bool:
    """All are seen at first, and the first object is hidden completely on the arm's first way across."""
    return _all_at_first(0.9)(scene) and bool(look_around(scene, np.arange(0.9, 2.8, 0.1)).shares[:, 0].min() == 0.0)


def _first_stays(scene: Scene) -> bool:
    """All are seen at first, and a third of the first object at all times."""
    seen = look_around(scene, np.arange(0.0, 12.0, 0.5))
    return _all_at_first(0.5)(scene) and bool(seen.inside[:, 0].all() and (seen.shares[:, 0] >= 0.33).all())


STORIES: Mapping[str, Story] = MappingProxyType(
    {
        "tabletop": Story(_tabletop, _all_in_view(0.75)),
        "occlusion": Story(_occlusion, _first_is_hidden),
        "lookalikes": Story(_lookalikes, _all_in_view(0.6)),
        "leave_and_return": Story(_leave_and_return, _all_at_first(0.8)),
        "moving_camera": Story(_moving_camera, _all_in_view(0.5)),
        "clutter": Story(_clutter, _all_at_first(0.12)),
        "handover": Story(_handover, _first_stays),
    }
)
