"""Builds the body of each category of object, and of what passes before the camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from referent.sources.simulation.shapes import (
    Primitive,
    Shape,
    centred,
    cuboid,
    frustum,
    handle,
    radius_squared,
    shift,
    spheroid,
    turn,
)

BANANA_RADII_M = (0.011, 0.0155, 0.0185, 0.0195, 0.0185, 0.0155, 0.011)
STEEL = (0.66, 0.67, 0.70)
BRASS = (0.68, 0.60, 0.44)
DARK = (0.13, 0.12, 0.12)
SLEEVE = (0.25, 0.28, 0.36)
SKIN = (0.78, 0.57, 0.45)


def _mug(s: float, stretch: float) -> list[Primitive]:
    radius, height = 0.046 * s, 0.098 * s * stretch
    bent = _bent_handle(0.021 * s, 0.034 * s, 0.016 * s, x=radius, z=height / 2)
    return [frustum(radius, radius, 0, height, closed="bottom"), *bent]


def _bent_handle(inner: float, outer: float, thickness: float, *, x: float, z: float) -> list[Primitive]:
    """Half an upright ring that stands out towards +x from a wall at `x`, at height `z`."""
    stand_up = shift(x, 0, z) @ turn("x", np.pi / 2)
    return [half.placed(stand_up).named("handle") for half in handle(inner, outer, thickness)]


def _cup(s: float, stretch: float) -> list[Primitive]:
    return [frustum(0.031 * s, 0.049 * s, 0, 0.115 * s * stretch, closed="bottom")]


def _bottle(s: float, stretch: float) -> list[Primitive]:
    body, shoulder = 0.125 * s * stretch, 0.045 * s
    neck, lid = 0.025 * s, 0.020 * s
    top = body + shoulder + neck
    return [
        frustum(0.037 * s, 0.037 * s, 0, body),
        frustum(0.037 * s, 0.014 * s, body, body + shoulder, closed="none"),
        frustum(0.014 * s, 0.014 * s, body + shoulder, top),
        frustum(0.018 * s, 0.018 * s, top, top + lid).tinted((0.80, 0.80, 0.78)).named("lid"),
    ]


def _bowl(s: float, stretch: float) -> list[Primitive]:
    depth = 0.066 * s * stretch
    foot = -0.86 * depth  # cut the round bottom flat so that it stands
    bowl = spheroid(0.086 * s, depth, z0=foot, z1=0.0)
    return [replace(bowl, bottom_cap=(0.0, float(np.sqrt(radius_squared(bowl, np.array(foot))))))]


def _can(s: float, stretch: float) -> list[Primitive]:
    radius, height, rim = 0.036 * s, 0.105 * s * stretch, 0.006 * s
    silver = (0.74, 0.75, 0.77)
    return [
        frustum(radius * 0.9, radius, 0, rim).tinted(silver),
        frustum(radius, radius, rim, height, closed="none"),
        frustum(radius, radius * 0.88, height, height + rim).tinted(silver),
    ]


def _box(s: float, stretch: float) -> list[Primitive]:
    return [cuboid(0.115 * s, 0.062 * s, 0.150 * s * stretch)]


def _block(s: float, stretch: float) -> list[Primitive]:
    return [cuboid(0.075 * s, 0.075 * s, 0.075 * s)]


def _ball(s: float, stretch: float) -> list[Primitive]:
    return [spheroid(0.047 * s, 0.047 * s)]


def _plate(s: float, stretch: float) -> list[Primitive]:
    return [frustum(0.060 * s, 0.108 * s, 0, 0.024 * s * stretch, closed="bottom")]


def _banana(s: float, stretch: float) -> list[Primitive]:
    arc_radius, parts = 0.078 * s / stretch, []
    for angle, thickness in zip(np.linspace(-1.0, 1.0, 7), BANANA_RADII_M, strict=True):
        lie_along_arc = turn("z", angle) @ shift(arc_radius, 0, 0) @ turn("x", np.pi / 2)
        parts.append(spheroid(thickness * s, 0.040 * s).placed(lie_along_arc))
    return [*parts, _banana_end(arc_radius, s)]


def _banana_end(arc_radius: float, s: float) -> Primitive:
    at_the_end = turn("z", 1.29) @ shift(arc_radius, 0, 0) @ turn("x", np.pi / 2)
    return frustum(0.006 * s, 0.007 * s, -0.012 * s, 0.010 * s).placed(at_the_end).tinted((0.20, 0.14, 0.08))


def _jar(s: float, stretch: float) -> list[Primitive]:
    """Wide glass with a round shoulder under a lid almost as wide."""
    body, shoulder, lid = 0.070 * s * stretch, 0.016 * s, 0.021 * s
    top = body + shoulder
    return [
        frustum(0.048 * s, 0.048 * s, 0, body),
        frustum(0.048 * s, 0.037 * s, body, top, closed="none"),
        frustum(0.042 * s, 0.042 * s, top, top + lid).tinted(BRASS).named("lid"),
    ]


def _teapot(s: float, stretch: float) -> list[Primitive]:
    """A round body on a foot; the handle stands out towards +x, the spout towards -x."""
    radius, half = 0.060 * s, 0.048 * s * stretch
    foot, mouth = -0.85 * half, 0.80 * half
    body = spheroid(radius, half, z0=foot, z1=mouth)
    body = replace(body, bottom_cap=(0.0, float(np.sqrt(radius_squared(body, np.array(foot))))))
    spout = frustum(0.019 * s, 0.0095 * s, 0.0, 0.070 * s, closed="none")
    outwards = shift(-0.040 * s, 0, -0.20 * half) @ turn("y", -np.radians(48))
    bent = _bent_handle(0.024 * s, 0.034 * s, 0.014 * s, x=0.047 * s, z=0.08 * half)
    return [body, spout.placed(outwards).named("spout"), *bent, *_teapot_lid(s, mouth)]


def _teapot_lid(s: float, mouth: float) -> list[Primitive]:
    dome = spheroid(0.041 * s, 0.017 * s, z0=0.0).placed(shift(0, 0, mouth))
    knob = spheroid(0.011 * s, 0.011 * s).placed(shift(0, 0, mouth + 0.025 * s))
    return [dome.named("lid"), knob.tinted(DARK).named("lid")]


def _pan(s: float, stretch: float) -> list[Primitive]:
    """A frying pan; its handle goes towards +x and a little up."""
    height = 0.036 * s * stretch
    bar = frustum(0.0085 * s, 0.0125 * s, 0.0, 0.108 * s)
    outwards = shift(0.080 * s, 0, height - 0.010 * s) @ turn("y", np.radians(83))
    return [
        frustum(0.070 * s, 0.084 * s, 0, height, closed="bottom"),
        bar.placed(outwards).tinted(DARK).named("handle"),
    ]


def _hammer(s: float, stretch: float) -> list[Primitive]:
    """A hammer lying flat: its handle along x, its steel head across at +x."""
    along, across = turn("y", np.pi / 2), turn("x", np.pi / 2)
    length, middle = 0.190 * s * stretch, 0.0165 * s
    grip, neck = 0.55 * length, 0.45 * length
    bar = [
        frustum(0.0165 * s, 0.0150 * s, 0.0, grip).placed(shift(0, 0, middle) @ along).named("handle"),
        frustum(0.0130 * s, 0.0120 * s, 0.0, neck).placed(shift(grip, 0, middle) @ along).named("handle"),
    ]
    head = shift(length, 0, middle)
    claw = cuboid(0.026 * s, 0.052 * s, 0.018 * s).placed(head @ shift(-0.004 * s, 0.040 * s, 0) @ turn("z", 0.28))
    return [
        *bar,
        cuboid(0.034 * s, 0.040 * s, 0.032 * s).placed(head).tinted(STEEL),
        frustum(0.0165 * s, 0.0165 * s, 0.015 * s, 0.052 * s).placed(head @ across).tinted(STEEL),
        claw.tinted(STEEL),
    ]


def _screwdriver(s: float, stretch: float) -> list[Primitive]:
    """A screwdriver lying on its thick handle and its tip: the handle towards -x, the shaft towards +x."""
    grip, shaft = 0.098 * s, 0.110 * s * stretch
    thick, thin = 0.0185 * s, 0.0050 * s
    lean = np.arcsin((thick - 0.5 * thin) / (0.5 * grip + shaft))
    lying = turn("y", np.pi / 2 + lean)
    flat_tip = cuboid(0.5 * thin, 2.6 * thin, 0.016 * s).placed(shift(0, 0, shaft)).tinted(STEEL)
    parts = [
        frustum(0.015 * s, thick, -grip, -0.40 * grip).named("handle"),
        frustum(thick, 0.011 * s, -0.40 * grip, 0.0).named("handle"),
        frustum(thin, thin, 0.0, shaft).tinted(STEEL),
        flat_tip,
    ]
    return [part.placed(lying) for part in parts]


def _arm(s: float, stretch: float) -> list[Primitive]:
    """A forearm with a fist, along z: passes before the camera."""
    return [
        frustum(0.040 * s, 0.034 * s, -0.50 * s, 0.10 * s, closed="both").tinted(SLEEVE),
        frustum(0.030 * s, 0.026 * s, 0.10 * s, 0.20 * s, closed="none").tinted(SKIN),
        spheroid(0.045 * s, 0.055 * s).placed(shift(0, 0, 0.235 * s)).tinted(SKIN),
    ]


def _hand(s: float, stretch: float) -> list[Primitive]:
    """A forearm with an open hand, along z; the fingers are spread in the plane of x and z."""
    fingers = [_finger(0.070 * s * stretch * long, 0.0095 * s) for long in (0.86, 1.0, 0.95, 0.76)]
    knuckles = [(shift(x * s, 0, 0.145 * s) @ turn("y", 6.0 * x)) for x in (-0.032, -0.0105, 0.0105, 0.032)]
    thumb = [each.placed(shift(-0.034 * s, 0, 0.080 * s) @ turn("y", -0.8)) for each in _finger(0.058 * s, 0.011 * s)]
    forearm = [
        frustum(0.040 * s, 0.034 * s, -0.40 * s, 0.0).tinted(SLEEVE),
        frustum(0.027 * s, 0.025 * s, 0.0, 0.070 * s, closed="none"),
        cuboid(0.082 * s, 0.028 * s, 0.085 * s).placed(shift(0, 0, 0.105 * s)),
    ]
    spread = [each.placed(at) for at, finger in zip(knuckles, fingers, strict=True) for each in finger]
    return [each if each.tint else each.tinted(SKIN) for each in (*forearm, *spread, *thumb)]


def _finger(length: float, radius: float) -> list[Primitive]:
    """A finger along z from the origin with a round tip."""
    return [
        frustum(radius, 0.85 * radius, 0.0, length, closed="none"),
        spheroid(0.85 * radius, 0.85 * radius, z0=0.0).placed(shift(0, 0, length)),
    ]


def _board(s: float, stretch: float) -> list[Primitive]:
    return [cuboid(0.20 * s, 0.012 * s, 0.26 * s * stretch)]


def build_shape(category: str, *, scale: float = 1.0, stretch: float = 1.0) -> Shape:
    """The body of a category; `stretch` changes its proportions a little. Raises KeyError for an unknown category."""
    builders = {
        "mug": _mug,
        "cup": _cup,
        "bottle": _bottle,
        "bowl": _bowl,
        "can": _can,
        "box": _box,
        "block": _block,
        "ball": _ball,
        "plate": _plate,
        "banana": _banana,
        "teapot": _teapot,
        "jar": _jar,
        "pan": _pan,
        "hammer": _hammer,
        "screwdriver": _screwdriver,
        "arm": _arm,
        "hand": _hand,
        "board": _board,
    }
    return centred(builders[category](scale, stretch))
