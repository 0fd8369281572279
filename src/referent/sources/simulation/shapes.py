"""The analytic surfaces that bodies are made of: surfaces of revolution and boxes.

A surface of revolution satisfies x² + y² = a + b z + c z² between two heights: with the right numbers that is a
cylinder, a cone frustum or a spheroid. It has no thickness, so an open one (a mug) shows its inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from referent.types import Array

NO_CAP = (0.0, -1.0)  # no radius lies in it


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
    part: str = ""  # which of vocabulary.PARTS it belongs to, if any

    def placed(self, object_from_primitive: Array) -> Primitive:
        """The same surface moved by a rigid (4, 4) transform."""
        return replace(self, object_from_primitive=object_from_primitive @ self.object_from_primitive)

    def tinted(self, tint: tuple[float, float, float]) -> Primitive:
        """The same surface in its own plain color."""
        return replace(self, tint=tint)

    def named(self, part: str) -> Primitive:
        """The same surface as belonging to this part of the object."""
        return replace(self, part=part)

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest corner (3,), (3,) of the upright box around it in its own frame."""
        if self.is_box:
            return -np.array(self.surface), np.array(self.surface)
        radius = float(np.sqrt(radius_squared(self, np.linspace(*self.z_range, 65)).max()))
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


def radius_squared(primitive: Primitive, z: Array) -> Array:
    """Squared radius of a surface of revolution at heights z, 0 where there is none."""
    a, b, c = primitive.surface
    return np.maximum(a + b * z + c * z * z, 0.0)


def _revolved_points(primitive: Primitive) -> Array:
    z = np.linspace(*primitive.z_range, 25)
    angle = np.linspace(0.0, 2 * np.pi, 49)
    radius = np.sqrt(radius_squared(primitive, z))
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


def centred(primitives: list[Primitive]) -> Shape:
    """The body of these surfaces, moved so that the middle of its box is the origin."""
    points = np.concatenate([primitive.surface_points() for primitive in primitives])
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    parts = tuple(primitive.placed(shift(*-middle)) for primitive in primitives)
    return Shape(parts, high - low, points - middle)
