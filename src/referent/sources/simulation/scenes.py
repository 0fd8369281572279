"""Draws scenes: endless random ones to train and test on, and named ones with a story."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from referent.errors import ReferentError
from referent.sources.simulation import layout, looks
from referent.sources.simulation.layout import Disc
from referent.sources.simulation.shapes import turn
from referent.sources.simulation.world import Body, CameraPath, Path, Scene, SceneObject, Swing
from referent.types import Array

Rng = np.random.Generator
LIFT_CLEAR_M = 0.30  # over everything that stands on the table

# The *_test kinds are drawn alike from seeds that no training kind can reach.
KINDS = ("still", "clip", "still_test", "clip_test")


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
    if name not in _STORIES:
        raise ReferentError(f"scene {name!r} is unknown; the scenes are {', '.join(SCENE_NAMES)}")
    rng = np.random.default_rng(seed_of(f"named/{name}", seed))
    for _ in range(200):
        scene = _STORIES[name](rng, name, seed)
        if scene is not None:
            return scene
    raise ReferentError(f"scene {name!r} with seed {seed} finds no room on its table; take another seed")


def _camera(
    rng: Rng, *, distance_m: tuple[float, float] = (0.6, 0.95), degrees_down: tuple[float, float] = (27, 50)
) -> CameraPath:
    return CameraPath(
        look_at_m=np.array([*rng.uniform(-0.08, 0.08, 2), rng.uniform(0.02, 0.06)]),
        distance_m=rng.uniform(*distance_m),
        azimuth=rng.uniform(0, 2 * np.pi),
        elevation=np.radians(rng.uniform(*degrees_down)),
        focal_ratio=rng.uniform(0.98, 1.12),
    )


def _swing(rng: Rng, most: float, periods_s: tuple[float, float]) -> Swing:
    return Swing(rng.uniform(0.3, 1.0) * most, rng.uniform(*periods_s), rng.uniform(0, 2 * np.pi))


def _moving(rng: Rng, camera: CameraPath, *, strength: float) -> CameraPath:
    """Let a camera orbit, nod, come closer, roll and shake; strength 1 is a lively hand."""
    return replace(
        camera,
        azimuth_swing=_swing(rng, 0.35 * strength, (4, 9)),
        elevation_swing=_swing(rng, 0.10 * strength, (4, 9)),
        distance_swing=_swing(rng, 0.10 * strength, (4, 9)),
        roll_swing=_swing(rng, 0.06 * strength, (3, 7)),
        pan_swing=_swing(rng, 0.05 * strength, (3, 7)),
        shakes=(_swing(rng, 0.006 * strength, (0.25, 0.7)), _swing(rng, 0.006 * strength, (0.25, 0.7))),
    )


def _scene(
    rng: Rng, name: str, seed: int, objects: list[SceneObject], occluders: list[Body], camera: CameraPath
) -> Scene:
    numbered = tuple(replace(item, instance_id=index + 1) for index, item in enumerate(objects))
    return Scene(
        name=name,
        seed=seed,
        objects=numbered,
        occluders=tuple(occluders),
        camera=camera,
        light=looks.make_light(rng),
        surroundings=looks.make_surroundings(rng),
        lens=looks.make_lens(rng),
        noise_seed=int(rng.integers(1 << 40)),
    )


def _random_items(rng: Rng, count: int, *, alike: float) -> list[SceneObject]:
    """Random objects; with chance `alike` one repeats words of an earlier one."""
    items: list[SceneObject] = []
    for index in range(count):
        category, color = None, None
        if items and rng.random() < alike:
            twin = items[int(rng.integers(len(items)))]
            category = twin.category if rng.random() < 0.7 else None
            color = twin.color if category is None or rng.random() < 0.3 else None
        items.append(looks.make_object(rng, index + 1, category=category, color=color, lying=0.2))
    return items


def _still(rng: Rng, kind: str, seed: int) -> Scene:
    while True:
        camera = replace(_camera(rng), roll_swing=Swing(rng.normal(0, 0.04), 1.0, np.pi / 2))
        items = _random_items(rng, int(rng.integers(2, 8)), alike=0.45)
        placed = layout.place_all(rng, camera, items, margin=rng.choice([-0.06, 0.01, 0.01]), must=2)
        if placed is not None:
            return _scene(rng, kind, seed, placed[0], [], camera)


def _clip(rng: Rng, kind: str, seed: int) -> Scene:
    """Everything that troubles a tracker, in random mixture; meant for the first 5 seconds."""
    while True:
        camera = _camera(rng)
        if rng.random() < 0.75:
            camera = _moving(rng, camera, strength=rng.uniform(0.2, 1.3))
        alike = 0.8 if rng.random() < 0.35 else 0.25
        placed = layout.place_all(
            rng, camera, _random_items(rng, int(rng.integers(2, 7)), alike=alike), margin=0.0, must=2
        )
        if placed is None:
            continue
        items, taken = placed
        for index in rng.permutation(len(items))[: int(rng.integers(0, 4))]:
            _set_going(rng, camera, items, taken, int(index))
        occluders = [_crossing(rng, camera) for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15])))]
        return _scene(rng, kind, seed, items, occluders, camera)


def _set_going(rng: Rng, camera: CameraPath, items: list[SceneObject], taken: list[Disc], index: int) -> None:
    """Give one object a random motion, in place."""
    item, radius = items[index], layout.footprint_radius(items[index])
    others = taken[:index] + taken[index + 1 :]
    wait_s, move_s = rng.uniform(0.1, 0.8), rng.uniform(0.7, 2.0)
    style = rng.random()
    if style < 0.5:
        path = layout.push(rng, camera, item, others, reach_m=(0.06, 0.3), margin=-0.1, wait_s=wait_s, move_s=move_s)
    elif style < 0.75:
        path = layout.lift(rng, item, height_m=rng.uniform(0.05, 0.2), wait_s=wait_s, move_s=move_s)
    else:
        path = leaving(rng, camera, item, wait_s=wait_s, move_s=move_s)
    if path is not None:
        items[index] = layout.on_path(item, path)
        if style < 0.5:
            taken.extend(layout.sweep(path, radius))


def _right_of(camera: CameraPath) -> Array:
    return camera.world_from_camera(0.0)[:3, 0]


def leaving(rng: Rng, camera: CameraPath, item: SceneObject, *, wait_s: float, move_s: float) -> Path:
    """Lift an object, carry it out of the picture sideways, keep it there a while and bring it back."""
    start, yaw = item.body.path.at(0.0)
    side = _right_of(camera) * float(rng.choice([-1.0, 1.0]))
    outside = start + 0.75 * camera.distance_m * np.array([side[0], side[1], 0.0]) / np.hypot(side[0], side[1])
    height = LIFT_CLEAR_M
    return layout.carry(
        start, outside, yaw, height_m=height, times_s=(wait_s, 0.4 * move_s, 0.6 * move_s, 0.3 * move_s)
    )


def _crossing(rng: Rng, camera: CameraPath, *, period_s: float | None = None, kind: str | None = None) -> Body:
    """An arm or board that passes between camera and table from one side to the other and back."""
    kind = kind or looks.choose(rng, ("arm", "board"))
    occluder = looks.make_occluder(rng, kind)
    pose = camera.world_from_camera(0.0)
    right, forward = pose[:3, 0], pose[:3, 2]
    middle = pose[:3, 3] + forward * camera.distance_m * rng.uniform(0.42, 0.55)
    reach = right * camera.distance_m * 0.6
    start = float(rng.choice([-1.0, 1.0]))
    period = period_s or rng.uniform(3.0, 7.0)
    rest = np.eye(4)
    rest[:3, :3] = pose[:3, :3] @ turn("z", rng.uniform(-0.5, 0.5))[:3, :3] @ turn("x", np.pi / 2)[:3, :3]
    path = Path(
        np.array([0.0, 0.1, 0.5]) * period,
        np.array([middle + start * reach, middle + start * reach, middle - start * reach]),
        np.zeros(3),
        period,
    )
    return replace(occluder, rest=rest, path=path)


Story = Callable[[Rng, str, int], Scene | None]


def _props(rng: Rng, *words: tuple[str, str]) -> list[SceneObject]:
    """Plain objects of these (color, category) words, in this order."""
    return [
        looks.make_object(rng, index + 1, category=category, color=color, material="plain")
        for index, (color, category) in enumerate(words)
    ]


def _tabletop(rng: Rng, name: str, seed: int) -> Scene | None:
    """A red mug among other things is pushed a little; the camera sways gently; all stay in view."""
    camera = _moving(rng, _camera(rng, distance_m=(0.78, 0.9), degrees_down=(36, 46)), strength=0.25)
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
    return _scene(rng, name, seed, items, [], camera)


def _still_life(rng: Rng, camera: CameraPath, *words: tuple[str, str]) -> tuple[list[SceneObject], list[Disc]] | None:
    return layout.place_all(rng, camera, _props(rng, *words), margin=0.02, must=len(words))


def _occlusion(rng: Rng, name: str, seed: int) -> Scene | None:
    """An arm passes before the objects every six seconds."""
    camera = _camera(rng, distance_m=(0.75, 0.88), degrees_down=(32, 42))
    placed = _still_life(rng, camera, ("red", "mug"), ("blue", "can"), ("yellow", "bowl"), ("green", "box"))
    if placed is None:
        return None
    return _scene(rng, name, seed, placed[0], [_crossing(rng, camera, period_s=6.0, kind="arm")], camera)


def _lookalikes(rng: Rng, name: str, seed: int) -> Scene | None:
    """Three red mugs and a red cup; one mug is pushed past the others."""
    camera = _moving(rng, _camera(rng, distance_m=(0.75, 0.88), degrees_down=(36, 46)), strength=0.25)
    placed = _still_life(rng, camera, ("red", "mug"), ("red", "mug"), ("red", "mug"), ("red", "cup"), ("blue", "bowl"))
    if placed is None:
        return None
    items, taken = placed
    path = layout.push(rng, camera, items[0], taken[1:], reach_m=(0.12, 0.3), margin=0.02, wait_s=1.0, move_s=2.0)
    if path is None:
        return None
    items[0] = layout.on_path(items[0], path)
    return _scene(rng, name, seed, items, [], camera)


def _leave_and_return(rng: Rng, name: str, seed: int) -> Scene | None:
    """The red mug is carried out of the picture and comes back seconds later."""
    camera = _camera(rng, distance_m=(0.75, 0.88), degrees_down=(34, 44))
    placed = _still_life(rng, camera, ("red", "mug"), ("blue", "mug"), ("yellow", "box"), ("green", "ball"))
    if placed is None:
        return None
    items, _ = placed
    items[0] = layout.on_path(items[0], leaving(rng, camera, items[0], wait_s=2.0, move_s=2.0))
    return _scene(rng, name, seed, items, [], camera)


def _moving_camera(rng: Rng, name: str, seed: int) -> Scene | None:
    """Nothing moves but the camera, and that a lot."""
    camera = _moving(rng, _camera(rng, distance_m=(0.8, 0.9), degrees_down=(36, 44)), strength=1.0)
    words = (("red", "mug"), ("blue", "bottle"), ("yellow", "banana"), ("green", "block"), ("white", "bowl"))
    placed = layout.place_all(rng, camera, _props(rng, *words), margin=0.07, must=len(words))
    return None if placed is None else _scene(rng, name, seed, placed[0], [], camera)


def _clutter(rng: Rng, name: str, seed: int) -> Scene | None:
    """Nine things close together, seen from low down."""
    camera = _moving(rng, _camera(rng, distance_m=(0.8, 0.95), degrees_down=(27, 34)), strength=0.3)
    items = [*_props(rng, ("red", "mug"), ("blue", "mug")), *_random_items(rng, 7, alike=0.4)]
    placed = layout.place_all(rng, camera, items, margin=0.0, must=2)
    if placed is None or len(placed[0]) < 7:
        return None
    return _scene(rng, name, seed, placed[0], [], camera)


def _handover(rng: Rng, name: str, seed: int) -> Scene | None:
    """A hand lifts the red mug over to another place and back."""
    camera = _camera(rng, distance_m=(0.8, 0.92), degrees_down=(36, 46))
    placed = _still_life(rng, camera, ("red", "mug"), ("blue", "bowl"), ("green", "can"))
    if placed is None:
        return None
    items, taken = placed
    end = layout.find_place(rng, camera, items[0], taken, margin=0.03)
    if end is None:
        return None
    start, yaw = items[0].body.path.at(0.0)
    path = layout.carry(start, end, yaw, height_m=0.20, times_s=(1.5, 1.0, 1.5, 1.0))
    items[0] = layout.on_path(items[0], path)
    return _scene(rng, name, seed, items, [_holding(rng, camera, items[0], path)], camera)


def _holding(rng: Rng, camera: CameraPath, item: SceneObject, path: Path) -> Body:
    """An arm from above and beyond whose fist stays over the object it carries."""
    arm = looks.make_occluder(rng, "arm")
    rest = turn("z", camera.azimuth) @ turn("y", np.radians(145))
    fist = rest[:3, 2] * (arm.shape.size_m[2] / 2)
    above = np.array([0.0, 0.0, item.body.shape.size_m[2] / 2]) - fist
    positions = path.positions_m + above
    return replace(arm, rest=rest, path=replace(path, positions_m=positions, yaws=np.zeros(len(path.yaws))))


_STORIES: Mapping[str, Story] = MappingProxyType(
    {
        "tabletop": _tabletop,
        "occlusion": _occlusion,
        "lookalikes": _lookalikes,
        "leave_and_return": _leave_and_return,
        "moving_camera": _moving_camera,
        "clutter": _clutter,
        "handover": _handover,
    }
)
SCENE_NAMES: tuple[str, ...] = tuple(_STORIES)
