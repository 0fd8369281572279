"""Builds each category's body out of surfaces of revolution and boxes.

A surface of revolution satisfies x² + y² = a + b z + c z² between two heights: with the right numbers that is a
cylinder, a cone frustum or a spheroid. It has no thickness, so an open one (a mug) shows its inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from referent.types import Array

NO_CAP = (0.0, -1.0)  # no radius lies in it
BANANA_RADII_M = (0.011, 0.0155, 0.0185, 0.0195, 0.0185, 0.0155, 0.011)


@dataclass(frozen=True, eq=False)
class Primitive:
    """One analytic surface in its own frame; metres."""

    is_box: bool
    surface: tuple[float, float, float] = (0.0, 0.0, 0.0)  # a, b, c of x² + y² = a + b z + c z²; half sizes of a box
    z_range: tuple[float, float] = (0.0, 0.0)
    bottom_cap: tuple[float, float] = NO_CAP  # inner and outer radius of the disc that closes it
    top_cap: tuple[float, float] = NO_CAP
    min_x: float = -1e6  # what lies at smaller x is cut away
    object_from_primitive: Array = field(default_factory=lambda: np.eye(4))
    tint: tuple[float, float, float] | None = None  # own color instead of the object's

    def placed(self, object_from_primitive: Array) -> Primitive:
        """The same surface moved by a rigid (4, 4) transform."""
        return replace(self, object_from_primitive=object_from_primitive @ self.object_from_primitive)

    def tinted(self, tint: tuple[float, float, float]) -> Primitive:
        """The same surface in its own plain color."""
        return replace(self, tint=tint)

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest corner (3,), (3,) of the upright box around it in its own frame."""
        if self.is_box:
            return -np.array(self.surface), np.array(self.surface)
        radius = float(np.sqrt(_radius_squared(self, np.linspace(*self.z_range, 65)).max()))
        low = np.array([max(-radius, self.min_x), -radius, self.z_range[0]])
        return low, np.array([radius, radius, self.z_range[1]])

    def surface_points(self) -> Array:
        """Points (N, 3) spread over the surface, in the object's frame."""
        points = _box_points(self) if self.is_box else _revolved_points(self)
        pose = self.object_from_primitive
        return points @ pose[:3, :3].T + pose[:3, 3]


@dataclass(frozen=True, eq=False)
class Shape:
    """A body: its surfaces in a frame at the centre of its box, z up."""

    primitives: tuple[Primitive, ...]
    size_m: Array  # (3,) float64, full extents
    points_m: Array  # (N, 3) float64, spread over all its surfaces


def _radius_squared(primitive: Primitive, z: Array) -> Array:
    a, b, c = primitive.surface
    return np.maximum(a + b * z + c * z * z, 0.0)


def _revolved_points(primitive: Primitive) -> Array:
    z = np.linspace(*primitive.z_range, 25)
    angle = np.linspace(0.0, 2 * np.pi, 49)
    radius = np.sqrt(_radius_squared(primitive, z))
    x = radius[:, None] * np.cos(angle)
    y = radius[:, None] * np.sin(angle)
    points = np.stack([x, y, np.broadcast_to(z[:, None], x.shape)], axis=-1).reshape(-1, 3)
    return points[points[:, 0] >= primitive.min_x - 1e-9]


def _box_points(primitive: Primitive) -> Array:
    steps = np.linspace(-1.0, 1.0, 5)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    return grid[np.abs(grid).max(axis=1) == 1.0] * np.array(primitive.surface)


def cuboid(x: float, y: float, z: float) -> Primitive:
    """A box of these full sizes around the origin."""
    return Primitive(is_box=True, surface=(x / 2, y / 2, z / 2))


def frustum(bottom: float, top: float, z0: float, z1: float, *, closed: str = "both") -> Primitive:
    """A cone's or cylinder's mantle from radius `bottom` at z0 to `top` at z1, closed "both", "bottom" or "none"."""
    slope = (top - bottom) / (z1 - z0)
    offset = bottom - slope * z0
    return Primitive(
        is_box=False,
        surface=(offset * offset, 2 * offset * slope, slope * slope),
        z_range=(z0, z1),
        bottom_cap=NO_CAP if closed == "none" else (0.0, bottom),
        top_cap=(0.0, top) if closed == "both" else NO_CAP,
    )


def spheroid(radius: float, half_height: float, *, z0: float | None = None, z1: float | None = None) -> Primitive:
    """An ellipsoid of revolution about z around the origin, cut open at z0 and z1."""
    ratio = (radius / half_height) ** 2
    low, high = (-half_height if z0 is None else z0), (half_height if z1 is None else z1)
    return Primitive(is_box=False, surface=(radius * radius, 0.0, -ratio), z_range=(low, high))


def handle(inner: float, outer: float, thickness: float) -> tuple[Primitive, Primitive]:
    """Half a flat ring about z, open towards -x."""
    half = thickness / 2
    rim = frustum(outer, outer, -half, half, closed="none")
    hole = frustum(inner, inner, -half, half, closed="none")
    cap = (inner, outer)
    return replace(rim, bottom_cap=cap, top_cap=cap, min_x=0.0), replace(hole, min_x=0.0)


def shift(x: float, y: float, z: float) -> Array:
    """A (4, 4) translation."""
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def turn(axis: str, angle: float) -> Array:
    """A (4, 4) rotation by `angle` radians about "x", "y" or "z"."""
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    pose = np.eye(4)
    pose[i, i] = pose[j, j] = np.cos(angle)
    pose[i, j], pose[j, i] = -np.sin(angle), np.sin(angle)
    return pose


def _centred(primitives: list[Primitive]) -> Shape:
    points = np.concatenate([primitive.surface_points() for primitive in primitives])
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    parts = tuple(primitive.placed(shift(*-middle)) for primitive in primitives)
    return Shape(parts, high - low, points - middle)


def _mug(s: float, stretch: float) -> list[Primitive]:
    radius, height = 0.046 * s, 0.098 * s * stretch
    bent = [
        part.placed(shift(radius, 0, height / 2) @ turn("x", np.pi / 2))
        for part in handle(0.021 * s, 0.034 * s, 0.016 * s)
    ]
    return [frustum(radius, radius, 0, height, closed="bottom"), *bent]


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
        frustum(0.018 * s, 0.018 * s, top, top + lid).tinted((0.80, 0.80, 0.78)),
    ]


def _bowl(s: float, stretch: float) -> list[Primitive]:
    depth = 0.066 * s * stretch
    foot = -0.86 * depth  # cut the round bottom flat so that it stands
    bowl = spheroid(0.086 * s, depth, z0=foot, z1=0.0)
    return [replace(bowl, bottom_cap=(0.0, float(np.sqrt(_radius_squared(bowl, np.array(foot))))))]


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
        "arm": _arm,
        "board": _board,
    }
    return _centred(builders[category](scale, stretch))


def _arm(s: float, stretch: float) -> list[Primitive]:
    """A forearm with a fist, along z: passes before the camera."""
    sleeve, skin = (0.25, 0.28, 0.36), (0.78, 0.57, 0.45)
    return [
        frustum(0.040 * s, 0.034 * s, -0.50 * s, 0.10 * s, closed="both").tinted(sleeve),
        frustum(0.030 * s, 0.026 * s, 0.10 * s, 0.20 * s, closed="none").tinted(skin),
        spheroid(0.045 * s, 0.055 * s).placed(shift(0, 0, 0.235 * s)).tinted(skin),
    ]


def _board(s: float, stretch: float) -> list[Primitive]:
    return [cuboid(0.20 * s, 0.012 * s, 0.26 * s * stretch)]
