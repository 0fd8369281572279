"""What a scene is made of: bodies on paths, a camera on a path, light, a room. World z is up, the table z = 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.sources.simulation.shapes import Shape, turn
from referent.types import Array

Rgb = tuple[float, float, float]
Grain = tuple[float, ...]  # (8,) two rows of an affine map from the object's frame to the plane of growth rings, metres
NO_GRAIN: Grain = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Path:
    """A closed way through waypoints, round and round with `period_s`; slowed down at each unless it is `steady`."""

    times_s: Array  # (K,) rising, first 0
    positions_m: Array  # (K, 3) world
    yaws: Array  # (K,) radians about world z
    period_s: float  # the way from the last waypoint back to the first ends here
    steady: bool = False
    rolling_radius_m: float | None = None  # rolls without slipping; all waypoints then lie on one straight line

    def at(self, time_s: float) -> tuple[Array, float]:
        """Position (3,) and yaw at a time."""
        time = time_s % self.period_s
        index = int(np.searchsorted(self.times_s, time, side="right")) - 1
        following = (index + 1) % len(self.times_s)
        end = self.period_s if following == 0 else self.times_s[following]
        share = (time - self.times_s[index]) / max(end - self.times_s[index], 1e-9)
        ease = share if self.steady else smoothstep(share)
        position = self.positions_m[index] + ease * (self.positions_m[following] - self.positions_m[index])
        return position, float(self.yaws[index] + ease * (self.yaws[following] - self.yaws[index]))

    def rolled(self, position_m: Array) -> Array:
        """Rotation (4, 4) in the world by which what rolls has turned where it is at `position_m`."""
        way = (position_m - self.positions_m[0])[:2]
        distance = float(np.hypot(*way))
        if self.rolling_radius_m is None or distance == 0.0:
            return np.eye(4)
        heading = float(np.arctan2(way[1], way[0]))
        return turn("z", heading) @ turn("y", distance / self.rolling_radius_m) @ turn("z", -heading)


def smoothstep(share: float) -> float:
    """From 0 to 1 with rest at both ends."""
    return share * share * (3.0 - 2.0 * share)


def standstill(position_m: Array, yaw: float) -> Path:
    """A path that stays in one place."""
    return Path(np.zeros(1), np.asarray(position_m, dtype=np.float64)[None], np.array([yaw]), 1.0)


@dataclass(frozen=True, eq=False)
class Body:
    """A shape with its look and its way through the world."""

    shape: Shape
    path: Path
    rest: Array  # (4, 4) rotation that lays it down before the yaw turns it
    base: Rgb
    second: Rgb
    material: str
    pattern_m: float  # width of one stripe, check or growth ring
    gloss: float  # strength of the lamp's mirror image; above 0.5 the room is mirrored too
    grain: Grain = NO_GRAIN

    def world_from_object(self, time_s: float) -> Array:
        """Pose (4, 4) of the centre of its box."""
        position, yaw = self.path.at(time_s)
        pose = self.path.rolled(position) @ turn("z", yaw) @ self.rest
        pose[:3, 3] = position
        return pose


@dataclass(frozen=True, eq=False)
class SceneObject:
    """A body with the words for it."""

    instance_id: int  # 1..254
    category: str
    color: str
    material: str
    size_word: str
    body: Body


@dataclass(frozen=True)
class Swing:
    """A sine: amplitude, period in seconds, phase in radians."""

    amplitude: float = 0.0
    period_s: float = 1.0
    phase: float = 0.0

    def at(self, time_s: float) -> float:
        """Its value at a time."""
        return self.amplitude * float(np.sin(2 * np.pi * time_s / self.period_s + self.phase))


@dataclass(frozen=True, eq=False)
class CameraPath:
    """A camera that looks at a point of the table while it swings about; angles in radians."""

    look_at_m: Array  # (3,) world
    distance_m: float
    azimuth: float
    elevation: float
    focal_ratio: float  # focal length / picture width
    azimuth_swing: Swing = Swing()
    elevation_swing: Swing = Swing()
    distance_swing: Swing = Swing()
    roll_swing: Swing = Swing()
    pan_swing: Swing = Swing()  # looks aside by this many metres
    shakes: tuple[Swing, Swing] = (Swing(), Swing())  # metres, sideways and up

    def world_from_camera(self, time_s: float) -> Array:
        """Pose (4, 4) of the optical frame (z forward, x right, y down)."""
        azimuth = self.azimuth + self.azimuth_swing.at(time_s)
        elevation = self.elevation + self.elevation_swing.at(time_s)
        distance = self.distance_m + self.distance_swing.at(time_s)
        flat = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
        away = flat * np.cos(elevation) + np.array([0.0, 0.0, np.sin(elevation)])
        side = np.array([-flat[1], flat[0], 0.0])
        eye = self.look_at_m + distance * away + side * self.shakes[0].at(time_s)
        eye = eye + np.array([0.0, 0.0, self.shakes[1].at(time_s)])
        return look(eye, self.look_at_m + side * self.pan_swing.at(time_s), roll=self.roll_swing.at(time_s))


def look(eye: Array, target: Array, *, roll: float = 0.0) -> Array:
    """world_from_camera (4, 4) of an optical frame at `eye` that sees `target` in its centre, world z up."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    fx, fy, fz = forward
    right = np.array([fy, -fx, 0.0]) / np.hypot(fx, fy)
    down = np.array([-fz * right[1], fz * right[0], fx * right[1] - fy * right[0]])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, down, forward], axis=1)
    pose[:3, 3] = eye
    return pose @ turn("z", roll)


@dataclass(frozen=True, eq=False)
class Ground:
    """A textured surface: two colors and the pattern that mixes them."""

    low: Rgb
    high: Rgb
    tile: int  # which texture of the bank
    tile_m: float  # side length of one tile
    turned: float  # radians


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The table top and the room around it."""

    table: Ground
    room: Ground
    table_half_m: tuple[float, float]
    room_half_m: tuple[float, float]
    floor_m: float  # height of the floor, below 0
    ceiling_m: float


@dataclass(frozen=True, eq=False)
class Light:
    """One far lamp and light from everywhere."""

    to_light: Array  # (3,) unit, world
    lamp: Rgb
    ambient: Rgb


@dataclass(frozen=True)
class Lens:
    """How the picture is taken."""

    gain: float
    gamma: float
    blur: float  # share of the neighbours in each pixel, 0..1
    noise: float  # standard deviation at full brightness, in units of full scale
    exposure_s: float = 0.0  # how long the shutter is open
    drift: Swing = Swing()  # relative change of the gain over time: automatic exposure that is never quite right


@dataclass(frozen=True, eq=False)
class Scene:
    """A small world in motion. `noise_seed` drives the sensors."""

    name: str
    seed: int
    objects: tuple[SceneObject, ...]
    occluders: tuple[Body, ...]
    camera: CameraPath
    light: Light
    surroundings: Surroundings
    lens: Lens
    noise_seed: int
