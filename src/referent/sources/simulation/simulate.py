"""Plays a scene: RGB-D frames as a camera would give them, with the truth behind each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from torch import Tensor

from referent.sources.simulation import sensors, stage
from referent.sources.simulation.render import Pictures, render
from referent.sources.simulation.silhouettes import in_view_fractions
from referent.sources.simulation.truth import FrameTruth, ObjectTruth, SimulatedFrame
from referent.sources.simulation.vocabulary import PARTS
from referent.sources.simulation.world import Scene, SceneObject
from referent.types import Array, RgbdFrame

CAMERA_FRAME = "camera_color_optical_frame"
START_NS = 1_000_000_000


def simulate(
    scene: Scene,
    *,
    frames: int,
    fps: float = 30,
    width: int = 640,
    height: int = 480,
    start_ns: int = START_NS,
    noise: bool = True,
    device: str = "cpu",
) -> Iterator[SimulatedFrame]:
    """Yield `frames` frames of a scene from its beginning; on one device the same bits every time."""
    for index in range(frames):
        yield from simulate_many(
            [(scene, index)], fps=fps, width=width, height=height, start_ns=start_ns, noise=noise, device=device
        )


def simulate_many(
    shots: Sequence[tuple[Scene, int]],
    *,
    fps: float = 30,
    width: int = 640,
    height: int = 480,
    start_ns: int = START_NS,
    noise: bool = True,
    device: str = "cpu",
) -> list[SimulatedFrame]:
    """Frames of any scenes, each given as a scene and a frame number, drawn in one go on a torch device.

    Each frame is the one that `simulate` yields, up to rounding.
    """
    if not shots:
        return []
    staged = stage.set_stage([(scene, [index / fps]) for scene, index in shots], width=width, height=height)
    pictures = render(staged, device=device).cpu()
    seen = []
    for place, (scene, index) in enumerate(shots):
        picture, alone = _one(pictures, place), stage.one_of(staged, place)
        stamp_ns = start_ns + round(index * 1e9 / fps)
        frame = _sensed(scene, alone, picture, index, stamp_ns, noise=noise)
        seen.append(SimulatedFrame(frame, _truth(scene, alone, picture, index / fps)))
    return seen


def _one(pictures: Pictures, place: int) -> Pictures:
    """One of the pictures, alone."""
    return Pictures(**{name: value[place : place + 1] for name, value in vars(pictures).items()})


def render_clip(
    scene: Scene, *, frames: int, width: int, height: int, fps: float = 30, noise: bool = True, device: str = "cpu"
) -> tuple[Array, Array]:
    """Only rgb (T, H, W, 3) uint8 and instance ids (T, H, W) uint8, equal to those of `simulate`."""
    colors, ids = [], []
    for index in range(frames):
        staged = stage.set_stage([(scene, [index / fps])], width=width, height=height)
        pictures = render(staged, device=device).cpu()
        rgb = pictures.rgb[0]
        if noise:
            generator = sensors.noise_generator(scene, index)
            rgb = sensors.noisy_rgb(rgb, strength=scene.lens.noise, generator=generator)
        colors.append(_bytes(rgb))
        ids.append(pictures.ids[0].numpy())
    return np.stack(colors), np.stack(ids)


def _bytes(rgb: Tensor) -> Array:
    """(3, H, W) in [0, 1] -> (H, W, 3) uint8."""
    return np.ascontiguousarray((rgb * 255.0 + 0.5).clamp(0, 255).byte().permute(1, 2, 0).numpy())


def _sensed(
    scene: Scene, shots: stage.Stage, pictures: Pictures, index: int, stamp_ns: int, *, noise: bool
) -> RgbdFrame:
    rgb, depth = pictures.rgb[0], pictures.depth_m[0]
    if noise:
        generator = sensors.noise_generator(scene, index)
        rgb = sensors.noisy_rgb(rgb, strength=scene.lens.noise, generator=generator)
        focal_px = float(shots.focal_px[0])
        depth = sensors.noisy_depth(depth, glare=pictures.glare[0], focal_px=focal_px, generator=generator)
    view = stage.intrinsics(scene, shots.width, shots.height)
    return RgbdFrame(stamp_ns, CAMERA_FRAME, _bytes(rgb), depth.numpy().copy(), view)


def _truth(scene: Scene, shots: stage.Stage, pictures: Pictures, time_s: float) -> FrameTruth:
    ids, parts = pictures.ids[0].numpy(), pictures.parts[0].numpy()
    amodal = pictures.amodal_px[0].tolist()
    visible = np.bincount(ids.ravel(), minlength=len(amodal)).tolist()
    fractions = in_view_fractions(shots, [item.instance_id for item in scene.objects])
    world_from_camera = shots.world_from_camera[0]
    camera_from_world = np.linalg.inv(world_from_camera)
    objects = tuple(
        ObjectTruth(
            instance_id=item.instance_id,
            category=item.category,
            color=item.color,
            material=item.material,
            size_word=item.size_word,
            camera_from_object=camera_from_world @ item.body.world_from_object(time_s),
            size_m=item.body.shape.size_m,
            visible_px=visible[item.instance_id],
            amodal_px=amodal[item.instance_id],
            in_view_fraction=fraction,
            box_xyxy=_box(ids == item.instance_id),
            parts_xyxy=_part_boxes(item, ids, parts),
        )
        for item, fraction in zip(scene.objects, fractions, strict=True)
    )
    return FrameTruth(ids, world_from_camera, pictures.depth_m[0].numpy(), objects, parts)


def _part_boxes(item: SceneObject, ids: Array, parts: Array) -> Mapping[str, Array]:
    names = {primitive.part for primitive in item.body.shape.primitives} - {""}
    mine = ids == item.instance_id
    boxes = {name: _box(mine & (parts == PARTS.index(name) + 1)) for name in sorted(names)}
    return MappingProxyType({name: box for name, box in boxes.items() if box is not None})


def _box(mask: Array) -> Array | None:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return None
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)
