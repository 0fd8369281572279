"""Lays scenes at given times out as flat tables of numbers, one row per surface, for the renderer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from referent.sources.simulation.shapes import Primitive
from referent.sources.simulation.textures import TILE_COUNT
from referent.sources.simulation.vocabulary import PARTS
from referent.sources.simulation.world import Body, Scene
from referent.types import Array, Intrinsics

ROW_COLUMNS = ("instance", "part", "world_from_surface", "motion", "geometry", "look", "low", "high")
NEAR_M = 0.05  # nothing closer to the camera's plane is projected
PATTERNS: Mapping[str, float] = MappingProxyType({"striped": 1.0, "checkered": 2.0, "wooden": 3.0})


@dataclass(frozen=True, eq=False)
class Stage:
    """B pictures to take and the K surfaces in all of them; revolved surfaces first, then boxes."""

    width: int
    height: int
    focal_px: Array  # (B,)
    world_from_camera: Array  # (B, 4, 4)
    camera_motion: Array  # (B, 4, 4) from the camera's frame to where the table is there when the shutter closes
    scenes: tuple[Scene, ...]  # (B,)
    times_s: Array  # (B,)
    revolved_count: int
    frame: Array  # (K,) int64, which picture
    instance: Array  # (K,) int64, 0 = occluder
    world_from_surface: Array  # (K, 4, 4)
    motion: Array  # (K, 4, 4) from the camera's frame to where the surface's points are there when the shutter closes
    part: Array  # (K,) int64, 0 = no named part, else 1 + index in vocabulary.PARTS
    geometry: Array  # (K, 10) float32, see raycast.meet_revolved; half sizes of boxes
    look: Array  # (K, 18) float32: base rgb, second rgb, pattern, stripe width, gloss, rim height, grain
    low: Array  # (K, 3) box around the surface in its own frame
    high: Array  # (K, 3)

    def moves_alone(self) -> Array:
        """Which surfaces (K,) move over the table while the shutter is open."""
        return np.abs(self.motion - self.camera_motion[self.frame]).max(axis=(1, 2), initial=0.0) > 1e-9

    def stirred(self) -> list[int]:
        """The pictures in which anything moves while the shutter is open."""
        shaken = np.abs(self.camera_motion - np.eye(4)).max(axis=(1, 2)) > 1e-9
        return sorted({*np.flatnonzero(shaken).tolist(), *self.frame[self.moves_alone()].tolist()})


def intrinsics(scene: Scene, width: int, height: int) -> Intrinsics:
    """The scene's camera at a picture size; pixel centres are whole numbers."""
    focal = scene.camera.focal_ratio * width
    return Intrinsics(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def geometry_row(primitive: Primitive) -> list[float]:
    """The ten numbers of `raycast.meet_revolved`."""
    if primitive.is_box:
        return [*primitive.surface, 0, 0, 0, 0, 0, 0, 0]
    caps = [np.copysign(radius * radius, radius) for radius in (*primitive.bottom_cap, *primitive.top_cap)]
    return [*primitive.surface, *primitive.z_range, *caps, primitive.min_x]


def look_row(primitive: Primitive, body: Body) -> list[float]:
    """Color and pattern of one surface."""
    pattern = 0.0 if primitive.tint else PATTERNS.get(body.material, 0.0)
    base = primitive.tint or body.base
    is_open = (
        not primitive.is_box and primitive.top_cap[1] < 0 and primitive.min_x < -1 and primitive.bottom_cap[1] >= 0
    )
    rim = primitive.z_range[1] - 0.0035 if is_open else 1e6
    grain = np.array(body.grain).reshape(2, 4) @ primitive.object_from_primitive
    return [*base, *(primitive.tint or body.second), pattern, body.pattern_m, body.gloss, rim, *grain.ravel()]


def part_id(primitive: Primitive) -> int:
    """The number that stands for its part in a picture of parts, 0 for none."""
    return PARTS.index(primitive.part) + 1 if primitive.part else 0


def _rows(scene: Scene) -> list[tuple[Body, Primitive, int]]:
    objects = [(item.body, item.instance_id) for item in scene.objects]
    occluders = [(body, 0) for body in scene.occluders]
    return [(body, part, number) for body, number in objects + occluders for part in body.shape.primitives]


@dataclass(frozen=True, eq=False)
class _Surfaces:
    """What of a scene does not change with time."""

    bodies: list[Body]
    is_box: Array
    object_from_surface: Array
    instance: Array
    part: Array
    geometry: Array
    look: Array
    low: Array
    high: Array


def _surfaces(scene: Scene) -> _Surfaces:
    rows = _rows(scene)
    parts = [part for _, part, _ in rows]
    extents = np.array([part.bounds() for part in parts])
    return _Surfaces(
        bodies=[body for body, _, _ in rows],
        is_box=np.array([part.is_box for part in parts], dtype=bool),
        object_from_surface=np.array([part.object_from_primitive for part in parts]),
        instance=np.array([number for *_, number in rows], dtype=np.int64),
        part=np.array([part_id(part) for part in parts], dtype=np.int64),
        geometry=np.array([geometry_row(part) for part in parts], dtype=np.float32),
        look=np.array([look_row(part, body) for body, part, _ in rows], dtype=np.float32),
        low=extents[:, 0],
        high=extents[:, 1],
    )


@dataclass(frozen=True, eq=False)
class _Moment:
    """Where the surfaces and the camera of a scene are at a time, and how they move while the shutter is open."""

    scene: Scene
    time_s: float
    surfaces: _Surfaces
    world_from_surface: Array
    motion: Array
    world_from_camera: Array
    camera_motion: Array


def _moment(scene: Scene, surfaces: _Surfaces, time_s: float) -> _Moment:
    closes_s = time_s + scene.lens.exposure_s
    camera = scene.camera.world_from_camera(time_s)
    to_camera = np.linalg.inv(scene.camera.world_from_camera(closes_s))
    opened = {id(body): body.world_from_object(time_s) for body in surfaces.bodies}
    moved = {
        id(body): to_camera @ (body.world_from_object(closes_s) @ np.linalg.inv(opened[id(body)])) @ camera
        for body in {id(body): body for body in surfaces.bodies}.values()
    }
    return _Moment(
        scene=scene,
        time_s=time_s,
        surfaces=surfaces,
        world_from_surface=np.array([opened[id(body)] for body in surfaces.bodies]) @ surfaces.object_from_surface,
        motion=np.array([moved[id(body)] for body in surfaces.bodies]),
        world_from_camera=camera,
        camera_motion=to_camera @ camera,
    )


def set_stage(shots: Sequence[tuple[Scene, Sequence[float]]], *, width: int, height: int) -> Stage:
    """Lay out pictures of `width` x `height`: for each scene one per time in seconds, in the order given."""
    moments = []
    for scene, times_s in shots:
        surfaces = _surfaces(scene)
        moments += [_moment(scene, surfaces, time_s) for time_s in times_s]
    return _stack(moments, width, height)


def _stack(moments: list[_Moment], width: int, height: int) -> Stage:
    is_box = np.concatenate([moment.surfaces.is_box for moment in moments])
    order = np.argsort(is_box, kind="stable")

    def column(name: str) -> Array:
        return np.concatenate([getattr(moment.surfaces, name) for moment in moments])[order]

    return Stage(
        width=width,
        height=height,
        focal_px=np.array([moment.scene.camera.focal_ratio * width for moment in moments]),
        world_from_camera=np.array([moment.world_from_camera for moment in moments]),
        camera_motion=np.array([moment.camera_motion for moment in moments]),
        scenes=tuple(moment.scene for moment in moments),
        times_s=np.array([moment.time_s for moment in moments]),
        revolved_count=int((~is_box).sum()),
        frame=np.concatenate([np.full(len(moment.motion), index) for index, moment in enumerate(moments)])[order],
        instance=column("instance"),
        part=column("part"),
        world_from_surface=np.concatenate([moment.world_from_surface for moment in moments])[order],
        motion=np.concatenate([moment.motion for moment in moments])[order],
        geometry=column("geometry"),
        look=column("look"),
        low=column("low"),
        high=column("high"),
    )


def one_of(stage: Stage, index: int) -> Stage:
    """The stage of one of its pictures."""
    rows, picture = np.flatnonzero(stage.frame == index), slice(index, index + 1)
    return replace(
        stage,
        focal_px=stage.focal_px[picture],
        world_from_camera=stage.world_from_camera[picture],
        camera_motion=stage.camera_motion[picture],
        scenes=stage.scenes[picture],
        times_s=stage.times_s[picture],
        revolved_count=int((rows < stage.revolved_count).sum()),
        frame=np.zeros(len(rows), dtype=np.int64),
        **{name: getattr(stage, name)[rows] for name in ROW_COLUMNS},
    )


def corners(stage: Stage) -> Array:
    """World positions (K, 8, 3) of the corners of the box around each surface."""
    bits = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)], dtype=np.float64)
    local = stage.low[:, None] + bits * (stage.high - stage.low)[:, None]
    pose = stage.world_from_surface
    return local @ pose[:, :3, :3].transpose(0, 2, 1) + pose[:, None, :3, 3]


def pixel_boxes(stage: Stage, points: Array) -> Array:
    """Picture boxes (K, 4) int64, exclusive ends, around world points (K, P, 3); the whole picture if one is behind."""
    pose = stage.world_from_camera[stage.frame]
    seen = (points - pose[:, None, :3, 3]) @ pose[:, :3, :3]
    z = seen[..., 2]
    flat = seen[..., :2] / np.maximum(z, NEAR_M)[..., None] * stage.focal_px[stage.frame][:, None, None]
    flat = flat + np.array([(stage.width - 1) / 2, (stage.height - 1) / 2])
    low, high = np.floor(flat.min(axis=1)), np.ceil(flat.max(axis=1)) + 1
    size = np.array([stage.width, stage.height])
    some_behind, all_behind = z.min(axis=1) < NEAR_M, z.max(axis=1) < NEAR_M
    low = np.where(some_behind[:, None], 0, np.clip(low, 0, size))
    high = np.where(all_behind[:, None], 0, np.where(some_behind[:, None], size, np.clip(high, 0, size)))
    return np.concatenate([low, high], axis=1).astype(np.int64)


def surface_rays(stage: Stage) -> tuple[Array, Array]:
    """Per surface: (K, 9) steps of the ray per pixel right and down and its start, and (K, 3) the eye, in its frame."""
    camera = stage.world_from_camera[stage.frame]
    turn = stage.world_from_surface[:, :3, :3].transpose(0, 2, 1)
    steps = (
        turn
        @ camera[:, :3, :3]
        / np.stack([stage.focal_px, stage.focal_px, np.ones_like(stage.focal_px)], -1)[stage.frame][:, None]
    )
    centre = steps[..., 2] - steps[..., 0] * (stage.width - 1) / 2 - steps[..., 1] * (stage.height - 1) / 2
    origin = turn @ (camera[:, :3, 3] - stage.world_from_surface[:, :3, 3])[..., None]
    return np.concatenate([steps[..., 0], steps[..., 1], centre], axis=1), origin[..., 0]


def frame_table(stage: Stage) -> Array:
    """Numbers (B, 36) float32 of light, surroundings and lens, in the order `canvas.Frames` reads them."""
    rows = [_frame_row(scene, time_s) for scene, time_s in zip(stage.scenes, stage.times_s, strict=True)]
    return np.array(rows, dtype=np.float32)


def _frame_row(scene: Scene, time_s: float) -> list[float]:
    around, rows = scene.surroundings, []
    for ground in (around.table, around.room):
        turned = [np.cos(ground.turned) / ground.tile_m, np.sin(ground.turned) / ground.tile_m]
        rows += [*ground.low, *ground.high, *turned, float(ground.tile % TILE_COUNT)]
    rows += [*around.table_half_m, *around.room_half_m, around.floor_m, around.ceiling_m]
    rows += [*scene.light.to_light, *scene.light.lamp, *scene.light.ambient]
    gain = scene.lens.gain * (1.0 + scene.lens.drift.at(time_s))
    return [*rows, gain, scene.lens.gamma, scene.lens.blur]
