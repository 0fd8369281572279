"""Puts objects on the table and sends them along paths so that nothing runs into anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from referent.sources.simulation.shapes import turn
from referent.sources.simulation.world import CameraPath, Path, SceneObject, smoothstep, standstill
from referent.types import Array

Rng = np.random.Generator
GAP_M = 0.008  # clearance between the circles around two objects
REST_M = 0.0004  # objects rest this far above the table, so that the two surfaces are told apart
TRIES = 60
ARC_STEPS = 16


@dataclass(frozen=True)
class Disc:
    """A circle on the table that is taken."""

    x: float
    y: float
    radius: float


def footprint_radius(item: SceneObject) -> float:
    """Radius of the circle around the object's centre that it never leaves, whatever its yaw."""
    points = item.body.shape.points_m @ item.body.rest[:3, :3].T
    return float(np.hypot(points[:, 0], points[:, 1]).max())


def rest_height(item: SceneObject) -> float:
    """Height of the centre of its box when it rests on the table."""
    points = item.body.shape.points_m @ item.body.rest[:3, :3].T
    return REST_M - float(points[:, 2].min())


def on_path(item: SceneObject, path: Path) -> SceneObject:
    """The object sent along a path."""
    return replace(item, body=replace(item.body, path=path))


def is_free(x: float, y: float, radius: float, taken: list[Disc]) -> bool:
    """Whether a circle keeps clear of all taken ones."""
    return all(np.hypot(x - disc.x, y - disc.y) > radius + disc.radius + GAP_M for disc in taken)


def sweep(path: Path, radius: float) -> list[Disc]:
    """The circles an object on a path takes, one every few centimetres."""
    corners = np.vstack([path.positions_m, path.positions_m[:1]])
    discs = [Disc(float(x), float(y), radius) for x, y, _ in corners[:1]]
    for start, end in pairwise(corners):
        steps = int(np.linalg.norm(end - start) / 0.015) + 1
        discs += [Disc(float(p[0]), float(p[1]), radius) for p in np.linspace(start, end, steps + 1)[1:]]
    return discs


def in_picture(camera: CameraPath, item: SceneObject, position: Array, *, margin: float, aspect: float = 1.43) -> bool:
    """Whether the ball around an object at a world position lies within the picture at time 0.

    `margin` is in picture widths, positive = further inside; `aspect` is width / height.
    """
    pose = camera.world_from_camera(0.0)
    x, y, z = pose[:3, :3].T @ (position - pose[:3, 3])
    radius = 0.5 * float(np.linalg.norm(item.body.shape.size_m)) * camera.focal_ratio / z
    across, down = abs(x / z * camera.focal_ratio), abs(y / z * camera.focal_ratio)
    return bool(across + radius < 0.5 - margin and down + radius < 0.5 / aspect - margin)


def find_place(
    rng: Rng, camera: CameraPath, item: SceneObject, taken: list[Disc], *, margin: float, near: Array | None = None
) -> Array | None:
    """A free resting position (3,) inside the picture, `near` a point if given; None when none was found."""
    radius, height = footprint_radius(item), rest_height(item)
    centre = camera.look_at_m if near is None else near
    spread = 0.32 if near is None else 0.16
    for _ in range(TRIES):
        x, y = centre[:2] + rng.uniform(-spread, spread, 2)
        position = np.array([x, y, height])
        if is_free(x, y, radius, taken) and in_picture(camera, item, position, margin=margin):
            return position
    return None


def _draw_yaw(rng: Rng, camera: CameraPath, item: SceneObject) -> float:
    """Any direction, but a mug mostly shows its handle (+x) and a teapot that and its spout (-x).

    What is not seen cannot be named.
    """
    if item.category == "mug" and rng.random() < 0.85:
        return camera.azimuth + float(rng.uniform(-2.1, 2.1))
    if item.category == "teapot" and rng.random() < 0.85:
        return camera.azimuth + float(rng.choice([-1.0, 1.0]) * np.pi / 2 + rng.uniform(-0.9, 0.9))
    return float(rng.uniform(0, 2 * np.pi))


def place_all(
    rng: Rng, camera: CameraPath, items: list[SceneObject], *, margin: float, must: int
) -> tuple[list[SceneObject], list[Disc]] | None:
    """Stand objects on the table with random yaw; those that find no place are left out.

    Returns them and the circles they take, or None when one of the first `must` found no place.
    """
    placed: list[SceneObject] = []
    taken: list[Disc] = []
    for index, item in enumerate(items):
        position = find_place(rng, camera, item, taken, margin=margin)
        if position is None:
            if index < must:
                return None
            continue
        placed.append(on_path(item, standstill(position, _draw_yaw(rng, camera, item))))
        taken.append(Disc(float(position[0]), float(position[1]), footprint_radius(item)))
    return placed, taken


def _there_and_back(start: Array, end: Array, yaw: float, turned: float, *, wait_s: float, move_s: float) -> Path:
    times = np.array([0.0, wait_s, wait_s + move_s, 2 * wait_s + move_s])
    return Path(
        times, np.array([start, start, end, end]), np.array([yaw, yaw, yaw + turned, yaw + turned]), times[-1] + move_s
    )


def push(
    rng: Rng,
    camera: CameraPath,
    item: SceneObject,
    others: list[Disc],
    *,
    reach_m: tuple[float, float],
    margin: float,
    wait_s: float,
    move_s: float,
) -> Path | None:
    """Slide an object over the table to a free place and back; None when there is no free way."""

    def draw() -> tuple[float, float, float]:
        return rng.uniform(0, 2 * np.pi), rng.uniform(*reach_m), rng.uniform(-0.9, 0.9)

    return _free_way(draw, camera, item, others, margin=margin, wait_s=wait_s, move_s=move_s)


def _free_way(
    draw: Callable[[], tuple[float, float, float]],
    camera: CameraPath,
    item: SceneObject,
    others: list[Disc],
    *,
    margin: float,
    wait_s: float,
    move_s: float,
) -> Path | None:
    """There and back along the first of some drawn ways (angle, reach in metres, turn) that nothing stands in."""
    start, yaw = item.body.path.at(0.0)
    radius = footprint_radius(item)
    for _ in range(TRIES):
        angle, reach, turned = draw()
        end = start + reach * np.array([np.cos(angle), np.sin(angle), 0.0])
        path = _there_and_back(start, end, yaw, turned, wait_s=wait_s, move_s=move_s)
        clear = all(is_free(disc.x, disc.y, radius, others) for disc in sweep(path, radius))
        if clear and in_picture(camera, item, end, margin=margin):
            return path
    return None


def rolls(item: SceneObject) -> bool:
    """Whether the object rolls when it is pushed: a ball, and a can that lies."""
    return item.category == "ball" or (item.category == "can" and not np.allclose(item.body.rest, np.eye(4)))


def roll(
    rng: Rng,
    camera: CameraPath,
    item: SceneObject,
    others: list[Disc],
    *,
    reach_m: tuple[float, float],
    margin: float,
    wait_s: float,
    move_s: float,
) -> Path | None:
    """Roll an object over the table without slipping, and back; None when there is no free way or it cannot roll."""
    if not rolls(item):
        return None
    _, yaw = item.body.path.at(0.0)

    def draw() -> tuple[float, float, float]:
        # A can's axis lies across its yaw, so it rolls along it.
        angle = rng.uniform(0, 2 * np.pi) if item.category == "ball" else yaw + rng.choice([0.0, np.pi])
        return angle, rng.uniform(*reach_m), 0.0

    path = _free_way(draw, camera, item, others, margin=margin, wait_s=wait_s, move_s=move_s)
    return None if path is None else replace(path, rolling_radius_m=rest_height(item) - REST_M)


def swap(
    one: SceneObject, other: SceneObject, others: list[Disc], *, wait_s: float, move_s: float
) -> tuple[Path, Path] | None:
    """Slide two objects around each other to each other's place, and back; None when something is in the way.

    Both go around the point midway between them, on opposite sides, so they never come closer than they were.
    """
    for turned in (np.pi, -np.pi):
        paths = tuple(_half_round(a, b, turned, wait_s=wait_s, move_s=move_s) for a, b in ((one, other), (other, one)))
        radii = footprint_radius(one), footprint_radius(other)
        ways = [disc for path, radius in zip(paths, radii, strict=True) for disc in sweep(path, radius)]
        if all(is_free(disc.x, disc.y, disc.radius, others) for disc in ways):
            return paths[0], paths[1]
    return None


def _half_round(item: SceneObject, other: SceneObject, turned: float, *, wait_s: float, move_s: float) -> Path:
    start, yaw = item.body.path.at(0.0)
    middle = 0.5 * (start + other.body.path.at(0.0)[0])
    shares = np.linspace(0.0, 1.0, ARC_STEPS + 1)
    angles = turned * np.array([smoothstep(share) for share in shares])
    there = np.array([middle + turn("z", angle)[:3, :3] @ (start - middle) for angle in angles])
    there[:, 2] = start[2]
    times = np.concatenate([[0.0], wait_s + shares * move_s, 2 * wait_s + move_s + shares * move_s])
    ways = np.concatenate([start[None], there, there[::-1]])
    return Path(times, ways, np.full(len(ways), yaw), float(times[-1] + 1e-3), steady=True)


def lift(rng: Rng, item: SceneObject, *, height_m: float, wait_s: float, move_s: float) -> Path:
    """Raise an object straight up and put it back."""
    start, yaw = item.body.path.at(0.0)
    return _there_and_back(
        start, start + np.array([0.0, 0.0, height_m]), yaw, rng.uniform(-1.5, 1.5), wait_s=wait_s, move_s=move_s
    )


def carry(start: Array, end: Array, yaw: float, *, height_m: float, times_s: tuple[float, float, float, float]) -> Path:
    """Wait, carry an object over the others at `height_m`, put it down, wait, and carry it back; `times_s` are the
    durations of waiting, rising, crossing and lowering."""
    wait, rise, cross, lower = times_s
    up = np.array([0.0, 0.0, height_m])
    ways = [start, start, start + up, end + up, end, end, end + up, start + up]
    durations = [wait, rise, cross, lower, wait, rise, cross]
    times = np.concatenate([[0.0], np.cumsum(durations)])
    return Path(times, np.array(ways), np.full(len(ways), yaw), float(times[-1] + lower))
