"""Draws scenes: endless random ones to train and test on, and named ones with a story."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from referent.errors import ReferentError
from referent.sources.simulation import layout, looks, motions
from referent.sources.simulation.layout import Disc
from referent.sources.simulation.stories import STORIES
from referent.sources.simulation.world import CameraPath, Scene, SceneObject, Swing

Rng = np.random.Generator
SCENE_NAMES: tuple[str, ...] = tuple(STORIES)

# The *_test kinds are drawn alike from seeds that no training kind can reach.
KINDS = ("still", "clip", "still_test", "clip_test")

# Chances of 1 to 12 objects on the table of a random scene.
CROWD_ODDS = (0.05, 0.11, 0.13, 0.14, 0.14, 0.13, 0.12, 0.06, 0.04, 0.03, 0.025, 0.025)


def seed_of(namespace: str, seed: int) -> int:
    """A 128-bit seed from a name and a number: different names never share their scenes."""
    return int.from_bytes(hashlib.blake2b(f"{namespace}/{seed}".encode(), digest_size=16).digest(), "big")


def sample_scene(seed: int, kind: str) -> Scene:
    """A random scene: "still" for single pictures, "clip" for motion and hiding; "_test" for held-out ones.

    Raises ReferentError for an unknown kind.
    """
    if kind not in KINDS:
        raise ReferentError(f"scene kind {kind!r} is unknown; the kinds are {', '.join(KINDS)}")
    draw = _still if kind.startswith("still") else _clip
    return draw(np.random.default_rng(seed_of(kind, seed)), kind, seed)


def named_scene(name: str, seed: int = 0) -> Scene:
    """The scene with this story, in the variant `seed`. Raises ReferentError for an unknown name."""
    if name not in STORIES:
        raise ReferentError(f"scene {name!r} is unknown; the scenes are {', '.join(SCENE_NAMES)}")
    rng = np.random.default_rng(seed_of(f"named/{name}", seed))
    for _ in range(400):
        scene = STORIES[name].draw(rng, name, seed)
        if scene is not None and STORIES[name].holds(scene):
            return scene
    raise ReferentError(f"scene {name!r} with seed {seed} finds no room on its table; take another seed")


def _crowd(rng: Rng, *, alike: float) -> tuple[CameraPath, list[SceneObject]]:
    """One to twelve objects, mostly two to seven, and a camera far enough away to see them; large ones come first."""
    count = int(rng.choice(np.arange(1, 13), p=CROWD_ODDS))
    camera = motions.draw_camera(rng, distance_m=(0.55, 0.85) if count < 8 else (0.68, 0.95))
    return camera, sorted(looks.random_items(rng, count, alike=alike), key=layout.footprint_radius, reverse=True)


def _still(rng: Rng, kind: str, seed: int) -> Scene:
    while True:
        camera, items = _crowd(rng, alike=0.45)
        camera = replace(camera, roll_swing=Swing(rng.normal(0, 0.04), 1.0, np.pi / 2))
        margin = rng.choice([-0.06, 0.01, 0.01])
        placed = layout.place_all(rng, camera, items, margin=margin, must=min(2, len(items)))
        if placed is not None:
            return looks.assemble(rng, kind, seed, placed[0], [], camera)


def _clip(rng: Rng, kind: str, seed: int) -> Scene:
    """Everything that troubles a tracker, in random mixture; meant for the first 5 seconds."""
    while True:
        camera, crowd = _crowd(rng, alike=0.8 if rng.random() < 0.35 else 0.25)
        if rng.random() < 0.75:
            camera = motions.swaying(rng, camera, strength=rng.uniform(0.2, 1.3))
        placed = layout.place_all(rng, camera, crowd, margin=0.0, must=min(2, len(crowd)))
        if placed is None:
            continue
        items, taken = placed
        _set_all_going(rng, camera, items, taken)
        occluders = [motions.crossing(rng, camera) for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15])))]
        return looks.assemble(rng, kind, seed, items, occluders, camera)


def _set_all_going(rng: Rng, camera: CameraPath, items: list[SceneObject], taken: list[Disc]) -> None:
    """Give up to three objects a random motion, in place: sometimes two change places, the others go alone."""
    movers = [int(index) for index in rng.permutation(len(items))]
    if len(movers) > 1 and rng.random() < 0.25 and _swap(rng, items, taken, movers[0], movers[1]):
        movers = movers[2:]
    in_the_air = rng.random() < 0.5
    for order, index in enumerate(movers[: int(rng.integers(0, 4))]):
        _set_going(rng, camera, items, taken, index, may_rise=in_the_air and order == 0)


def _swap(rng: Rng, items: list[SceneObject], taken: list[Disc], one: int, other: int) -> bool:
    """Let two objects change places; False when something is in the way."""
    others = [disc for index, disc in enumerate(taken) if index not in (one, other)]
    wait_s, move_s = rng.uniform(0.1, 0.8), rng.uniform(1.2, 2.5)
    paths = layout.swap(items[one], items[other], others, wait_s=wait_s, move_s=move_s)
    if paths is None:
        return False
    for index, path in zip((one, other), paths, strict=True):
        taken.extend(layout.sweep(path, layout.footprint_radius(items[index])))
        items[index] = layout.on_path(items[index], path)
    return True


def _set_going(
    rng: Rng, camera: CameraPath, items: list[SceneObject], taken: list[Disc], index: int, *, may_rise: bool
) -> None:
    """Give one object a random motion, in place. Only one may leave the table: those that slide cannot meet it."""
    item, others = items[index], taken[:index] + taken[index + 1 :]
    wait_s, move_s = rng.uniform(0.1, 0.8), rng.uniform(0.7, 2.0)
    if may_rise and rng.random() < 0.5:
        path = layout.lift(rng, item, height_m=rng.uniform(0.05, 0.2), wait_s=wait_s, move_s=move_s)
    elif may_rise:
        path = motions.leaving(rng, camera, item, wait_s=wait_s, move_s=move_s)
    else:
        slide = layout.roll if layout.rolls(item) else layout.push
        way = slide(rng, camera, item, others, reach_m=(0.06, 0.3), margin=-0.1, wait_s=wait_s, move_s=move_s)
        if way is None:
            return
        path = way
        taken.extend(layout.sweep(path, layout.footprint_radius(item)))
    items[index] = layout.on_path(item, path)
