"""Draws the look of things: an object's body, the room, the lamp, the lens, and a scene of all these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from referent.sources.simulation.categories import build_shape
from referent.sources.simulation.shapes import Shape, turn
from referent.sources.simulation.textures import TILE_COUNT
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, MATERIALS, SIZE_SCALES, SIZE_WORDS
from referent.sources.simulation.world import (
    Body,
    CameraPath,
    Grain,
    Ground,
    Lens,
    Light,
    Rgb,
    Scene,
    SceneObject,
    Surroundings,
    Swing,
    standstill,
)
from referent.types import Array

Rng = np.random.Generator
MATERIAL_ODDS = (0.5, 0.13, 0.11, 0.13, 0.13)
GLOSSY = 1.0  # all other materials stay below 0.15, so that "shiny" can be seen
LIE_DOWN = ("bottle", "can", "cup", "mug", "box", "jar")


def choose(rng: Rng, options: Sequence[str], odds: Sequence[float] | None = None) -> str:
    """One of the words."""
    return str(options[int(rng.choice(len(options), p=odds))])


def _rgb(values: Array) -> Rgb:
    red, green, blue = np.clip(values, 0.02, 1.0)
    return float(red), float(green), float(blue)


def _brightness(base: Array) -> float:
    return float(base @ [0.3, 0.59, 0.11])


def _grain_color(base: Array) -> Rgb:
    """The rings of stained wood: darker and browner than the stain; on black, where the stain is thin, lighter."""
    if _brightness(base) < 0.15:
        return _rgb(base + np.array([0.22, 0.13, 0.06]))
    return _rgb(base * [0.56, 0.44, 0.36] + [0.03, 0.015, 0.0])


def _grain(rng: Rng, shape: Shape) -> Grain:
    """Two directions across the wood's fibres; growth rings are circles in the plane of the two.

    Fibres stand upright, or lie along the longest side of what is flat.
    """
    size = shape.size_m
    along = 2 if size[2] > 0.5 * size.max() else int(np.argmax(size))
    rows = np.eye(3)[[index for index in range(3) if index != along]] + rng.uniform(-0.12, 0.12, (2, 3))
    rows[:, along] = rng.uniform(0.06, 0.14, 2) * rng.choice([-1.0, 1.0], 2)
    pith = rng.uniform(0.25, 0.6, 2) * np.sort(size)[:2] * rng.choice([-1.0, 1.0], 2)
    return tuple(np.column_stack([rows, pith]).ravel().tolist())


def _second_color(base: Array) -> Rgb:
    """The other color of stripes: lighter for dark and colorful objects, grey on white."""
    brightness = _brightness(base)
    return _rgb(base * 0.62) if brightness > 0.72 else _rgb(base + 0.55 * (1.0 - base))


def _rest(rng: Rng, category: str, *, lying: float) -> Array:
    if category in LIE_DOWN and rng.random() < lying:
        return turn("x", np.pi / 2)
    return np.eye(4)


def make_object(
    rng: Rng,
    instance_id: int,
    *,
    category: str | None = None,
    color: str | None = None,
    material: str | None = None,
    size_word: str | None = None,
    lying: float = 0.0,
) -> SceneObject:
    """An object at the origin; what is not given is drawn. `lying` is the chance that it lies on its side."""
    category = category or choose(rng, CATEGORIES)
    color = color or choose(rng, tuple(COLORS))
    material = material or choose(rng, MATERIALS, MATERIAL_ODDS)
    size_word = choose(rng, SIZE_WORDS[category]) if size_word is None else size_word
    base = np.array(COLORS[color]) * rng.uniform(0.9, 1.06) + rng.uniform(-0.025, 0.025, 3)
    scale, stretch = SIZE_SCALES[size_word] * rng.uniform(0.95, 1.05), rng.uniform(0.88, 1.14)
    shape = build_shape(category, scale=scale, stretch=stretch)
    body = Body(
        shape=shape,
        path=standstill(np.zeros(3), 0.0),
        rest=_rest(rng, category, lying=lying),
        base=_rgb(base),
        second=(_grain_color if material == "wooden" else _second_color)(np.clip(base, 0, 1)),
        material=material,
        pattern_m=rng.uniform(0.011, 0.017),
        gloss=GLOSSY if material == "glossy" else float(rng.choice([0.0, 0.07, 0.15])),
        grain=_grain(rng, shape),
    )
    return SceneObject(instance_id, category, color, material, size_word, body)


def make_occluder(rng: Rng, kind: str) -> Body:
    """An arm, a hand or a board, at the origin."""
    tone = np.array([0.5, 0.5, 0.5]) + rng.uniform(-0.3, 0.3) + rng.uniform(-0.12, 0.12, 3)
    return Body(
        shape=build_shape(kind, scale=rng.uniform(0.8, 1.1), stretch=rng.uniform(0.8, 1.2)),
        path=standstill(np.zeros(3), 0.0),
        rest=np.eye(4),
        base=_rgb(tone),
        second=_rgb(tone * 0.6),
        material="plain",
        pattern_m=0.03,
        gloss=0.0,
    )


def _muted(rng: Rng) -> Array:
    """A color nobody would name: wood, stone, cloth."""
    brightness, warmth = rng.uniform(0.22, 0.85), rng.uniform(-0.03, 0.09)
    return brightness * (1.0 + np.array([1.6 * warmth, 0.2 * warmth, -2.2 * warmth]) + rng.uniform(-0.03, 0.03, 3))


def _ground(rng: Rng, *, contrast: float) -> Ground:
    middle = _muted(rng)
    spread = rng.uniform(0.05, contrast)
    return Ground(
        low=_rgb(middle * (1 - spread)),
        high=_rgb(middle * (1 + spread)),
        tile=int(rng.integers(TILE_COUNT)),
        tile_m=rng.uniform(0.35, 0.9),
        turned=rng.uniform(0, 2 * np.pi),
    )


def make_surroundings(rng: Rng) -> Surroundings:
    """A table in a room."""
    return Surroundings(
        table=_ground(rng, contrast=0.35),
        room=_ground(rng, contrast=0.5),
        table_half_m=(rng.uniform(0.6, 0.9), rng.uniform(0.6, 0.9)),
        room_half_m=(rng.uniform(1.6, 3.0), rng.uniform(1.6, 3.0)),
        floor_m=-0.75,
        ceiling_m=2.0,
    )


def make_light(rng: Rng) -> Light:
    """A lamp 40 to 75 degrees above the table, and its share of the light."""
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(40, 75))
    to_light = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    tint = 1.0 + rng.uniform(-0.05, 0.05) * np.array([1.0, 0.2, -1.0])
    strength = rng.uniform(0.4, 0.75)
    return Light(to_light, lamp=_rgb(strength * tint), ambient=_rgb((1.2 - strength) * (2.0 - tint)))


def make_lens(rng: Rng) -> Lens:
    """Exposure and how it drifts, tone curve, sharpness and grain."""
    return Lens(
        gain=rng.uniform(0.85, 1.15),
        gamma=rng.uniform(0.8, 1.12),
        blur=rng.uniform(0.25, 0.8),
        noise=rng.uniform(0.004, 0.018),
        exposure_s=rng.uniform(0.004, 0.016),
        drift=Swing(rng.uniform(0.0, 0.07), rng.uniform(2.0, 8.0), rng.uniform(0, 2 * np.pi)),
    )


def assemble(
    rng: Rng, name: str, seed: int, objects: list[SceneObject], occluders: list[Body], camera: CameraPath
) -> Scene:
    """A scene of these things in a drawn room under a drawn lamp; objects are numbered from 1 in the order given."""
    numbered = tuple(replace(item, instance_id=index + 1) for index, item in enumerate(objects))
    return Scene(
        name=name,
        seed=seed,
        objects=numbered,
        occluders=tuple(occluders),
        camera=camera,
        light=make_light(rng),
        surroundings=make_surroundings(rng),
        lens=make_lens(rng),
        noise_seed=int(rng.integers(1 << 40)),
    )


def random_items(rng: Rng, count: int, *, alike: float) -> list[SceneObject]:
    """Random objects; with chance `alike` one repeats words of an earlier one."""
    items: list[SceneObject] = []
    for index in range(count):
        category, color = None, None
        if items and rng.random() < alike:
            twin = items[int(rng.integers(len(items)))]
            category = twin.category if rng.random() < 0.7 else None
            color = twin.color if category is None or rng.random() < 0.3 else None
        items.append(make_object(rng, index + 1, category=category, color=color, lying=0.2))
    return items
