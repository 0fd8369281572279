"""Draws staged scenes: color, exact depth and instance ids, by casting one ray through each pixel.

Runs on any torch device; one call draws many pictures. Lambert and specular light, hard shadows, textured ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from referent.sources.simulation import raycast, stage
from referent.sources.simulation.raycast import NEVER, Pairs, Vector
from referent.sources.simulation.stage import Stage
from referent.sources.simulation.textures import TILE_PX, bank
from referent.types import Array

SHADOW_OFFSET_M = 0.0006


@dataclass(frozen=True, eq=False)
class Pictures:
    """B pictures; `amodal_px[b, i]` are the pixels instance i would cover alone."""

    rgb: Tensor  # (B, 3, H, W) float32 in [0, 1]
    depth_m: Tensor  # (B, H, W) float32, along the optical axis
    ids: Tensor  # (B, H, W) uint8
    amodal_px: Tensor  # (B, I) int64


@dataclass(frozen=True, eq=False)
class Frames:
    """Per-picture numbers, each (B, 1) or a tuple of such."""

    eye: Vector
    table: tuple[Tensor, ...]  # low rgb, high rgb, cos and sin of the turn by tile size, tile
    room: tuple[Tensor, ...]
    halves: tuple[Tensor, ...]  # table x y, room x y, floor, ceiling
    to_light: Vector
    lamp: Vector
    ambient: Vector
    lens: Vector  # gain, gamma, blur


@dataclass(eq=False)
class Surface:
    """What each pixel sees; flat over (picture, y, x). Bodies are painted over the ground in place."""

    toward: Tensor  # (3, N) world ray, one unit along the optical axis
    depth: Tensor  # (N,)
    normal: Tensor  # (3, N)
    albedo: Tensor  # (3, N)
    ambient: Tensor  # (N,) share of the ambient light that arrives
    gloss: Tensor  # (N,)
    shaded: Tensor  # (N,) bool, can lie in a shadow
    ids: Tensor  # (N,) uint8


def render(shots: Stage, *, device: str = "cpu") -> Pictures:
    """Draw all pictures of a stage."""
    with torch.no_grad():
        frames = _frames(shots, device)
        surface = _ground(shots, frames, device)
        amodal = _paint_bodies(shots, surface, device)
        lit = _lamp_arrives(shots, surface, frames, device)
        rgb = _light(surface, frames, lit, len(shots.scenes))
        size = (len(shots.scenes), shots.height, shots.width)
        picture = _expose(rgb.view(3, *size).transpose(0, 1), frames)
        return Pictures(picture, surface.depth.view(size), surface.ids.view(size), amodal)


def _tensor(array: Array, device: str) -> Tensor:
    kind = np.float32 if array.dtype.kind == "f" else array.dtype
    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind)).to(device)


def _vector(table: Tensor) -> Vector:
    return table[0], table[1], table[2]


def _frames(shots: Stage, device: str) -> Frames:
    rows = _tensor(stage.frame_table(shots).T.copy(), device)[:, :, None]
    eye = _tensor(shots.world_from_camera[:, :3, 3].T.copy(), device)[:, :, None]
    return Frames(
        eye=_vector(eye),
        table=tuple(rows[0:9]),
        room=tuple(rows[9:18]),
        halves=tuple(rows[18:24]),
        to_light=_vector(rows[24:27]),
        lamp=_vector(rows[27:30]),
        ambient=_vector(rows[30:33]),
        lens=_vector(rows[33:36]),
    )


def _rays(shots: Stage, device: str) -> Tensor:
    """World directions (3, B, H*W) through the pixel centres, one unit along the optical axis."""
    x = torch.arange(shots.width, device=device) - (shots.width - 1) / 2
    y = torch.arange(shots.height, device=device) - (shots.height - 1) / 2
    right, down, forward = _tensor(shots.world_from_camera[:, :3, :3].transpose(2, 1, 0).copy(), device)[
        ..., None, None
    ]
    focal = _tensor(shots.focal_px, device)[:, None, None]
    rays = forward + right * (x[None, None, None, :] / focal) + down * (y[None, None, :, None] / focal)
    return rays.reshape(3, len(shots.scenes), -1)


def _ground(shots: Stage, frames: Frames, device: str) -> Surface:
    """Table and room, as if there were nothing on it."""
    toward = _rays(shots, device)
    (ex, ey, ez), (dx, dy, dz) = frames.eye, toward
    table_x, table_y, room_x, room_y, floor, ceiling = frames.halves
    reach = -ez / torch.where(dz > -1e-6, -1e-6, dz)
    on_table = ((ex + reach * dx).abs() < table_x) & ((ey + reach * dy).abs() < table_y) & (dz < -1e-6)
    to_x = (torch.copysign(room_x, dx) - ex) / torch.where(dx.abs() < 1e-9, 1e-9, dx)
    to_y = (torch.copysign(room_y, dy) - ey) / torch.where(dy.abs() < 1e-9, 1e-9, dy)
    to_z = (torch.where(dz < 0, floor, ceiling) - ez) / torch.where(dz.abs() < 1e-9, 1e-9, dz)
    depth = torch.where(on_table, reach, torch.minimum(torch.minimum(to_x, to_y), to_z))
    x, y, z = ex + depth * dx, ey + depth * dy, ez + depth * dz
    grey = _texture(frames, on_table, x + 0.7 * z, y - 0.7 * z)
    albedo = [
        torch.where(on_table, low + grey * (high - low), far_low + grey * (far_high - far_low))
        for low, high, far_low, far_high in zip(
            frames.table[:3], frames.table[3:6], frames.room[:3], frames.room[3:6], strict=True
        )
    ]
    wall = torch.where(to_x < to_y, 0.75, 0.9)
    ambient = torch.where(on_table, 1.0, torch.where(to_z <= torch.minimum(to_x, to_y), 1.0, wall))
    normal = torch.zeros_like(toward)
    normal[2] = 1.0
    count = depth.numel()
    return Surface(
        toward=toward.view(3, count),
        depth=depth.reshape(count),
        normal=normal.view(3, count),
        albedo=torch.stack(albedo).view(3, count),
        ambient=ambient.reshape(count),
        gloss=torch.zeros(count, device=device),
        shaded=on_table.reshape(count),
        ids=torch.zeros(count, dtype=torch.uint8, device=device),
    )


def _texture(frames: Frames, on_table: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The ground's grey (B, N) in [0, 1] at metric coordinates, interpolated between texels."""
    cosine, sine, tile = (torch.where(on_table, a, b) for a, b in zip(frames.table[6:9], frames.room[6:9], strict=True))
    u, v = (x * cosine - y * sine) * TILE_PX, (x * sine + y * cosine) * TILE_PX
    u0, v0 = torch.floor(u), torch.floor(v)
    fu, fv = u - u0, v - v0
    mask = TILE_PX - 1
    left, top = u0.int() & mask, v0.int() & mask
    right, bottom = (left + 1) & mask, (top + 1) & mask
    base = tile.int() * (TILE_PX * TILE_PX)
    upper, lower = base + top * TILE_PX, base + bottom * TILE_PX
    texels = bank().to(x.device).view(-1)

    def at(index: Tensor) -> Tensor:
        return texels.index_select(0, index.reshape(-1)).view_as(x)

    above = torch.lerp(at(upper + left), at(upper + right), fu)
    below = torch.lerp(at(lower + left), at(lower + right), fu)
    return torch.lerp(above, below, fv)


@dataclass(frozen=True, eq=False)
class _Hits:
    """Where rays met surfaces: H meetings."""

    row: Tensor
    pixel: Tensor
    distance: Tensor
    place: Tensor  # (3, H) in the surface's frame
    toward: Tensor  # (3, H) in the surface's frame
    on_cap: Tensor  # (H,) bool; for boxes unused
    box: bool


def _split(shots: Stage) -> tuple[tuple[slice, bool], tuple[slice, bool]]:
    return (slice(0, shots.revolved_count), False), (slice(shots.revolved_count, len(shots.frame)), True)


def _pairs(shots: Stage, part: slice, boxes: Array, device: str) -> Pairs:
    rows = torch.arange(part.start, part.stop, device=device)
    return raycast.pairs_in_boxes(
        rows, _tensor(shots.frame[part], device), _tensor(boxes[part], device), width=shots.width, height=shots.height
    )


def _camera_hits(shots: Stage, part: slice, is_box: bool, boxes: Array, device: str) -> _Hits:
    pairs = _pairs(shots, part, boxes, device)
    rays, origin = stage.surface_rays(shots)
    table = raycast.take(_tensor(np.concatenate([rays, origin, shots.geometry], axis=1), device), pairs.row)
    toward = table[0:3] * pairs.x_px + table[3:6] * pairs.y_px + table[6:9]
    start = table[9:12]
    if is_box:
        distance = raycast.meet_box(_vector(start), _vector(toward), table[12:15], nearest=0.0)
        on_cap = torch.zeros_like(distance, dtype=torch.bool)
    else:
        distance, on_cap = raycast.meet_revolved(_vector(start), _vector(toward), table[12:22], nearest=0.0)
    hit = torch.nonzero(distance < NEVER)[:, 0]
    distance, toward = distance[hit], toward.index_select(1, hit)
    place = start.index_select(1, hit) + distance * toward
    return _Hits(pairs.row[hit], pairs.pixel[hit], distance, place, toward, on_cap[hit], is_box)


def _paint_bodies(shots: Stage, surface: Surface, device: str) -> Tensor:
    """Paint all bodies over the ground; returns the amodal pixel counts (B, I)."""
    boxes = stage.pixel_boxes(shots, stage.corners(shots))
    groups = [_camera_hits(shots, part, is_box, boxes, device) for part, is_box in _split(shots)]
    pixel = torch.cat([hits.pixel for hits in groups])
    distance = torch.cat([hits.distance for hits in groups])
    won, winner = raycast.nearest_per_pixel(distance, pixel, surface.depth.numel())
    nearer = distance[winner] < surface.depth[won]
    won, winner = won[nearer], winner[nearer]
    first = 0
    for hits in groups:
        mine = (winner >= first) & (winner < first + len(hits.row))
        _paint(shots, surface, hits, won[mine], winner[mine] - first, device)
        first += len(hits.row)
    return _amodal(shots, groups, device)


def _amodal(shots: Stage, groups: list[_Hits], device: str) -> Tensor:
    pixels, instances = shots.width * shots.height, int(shots.instance.max()) + 1
    covered = torch.zeros((len(shots.scenes) * instances, pixels), dtype=torch.bool, device=device)
    instance, frame = _tensor(shots.instance, device), _tensor(shots.frame, device)
    for hits in groups:
        which = frame[hits.row]
        covered[which * instances + instance[hits.row], hits.pixel - which * pixels] = True
    return covered.sum(1).view(len(shots.scenes), instances)


def _paint(shots: Stage, surface: Surface, hits: _Hits, pixel: Tensor, index: Tensor, device: str) -> None:
    row = hits.row[index]
    place, toward = hits.place.index_select(1, index), hits.toward.index_select(1, index)
    geometry = raycast.take(_tensor(shots.geometry, device), row)
    on_cap = hits.on_cap[index]
    normal = _box_normal(place, geometry) if hits.box else _revolved_normal(place, geometry, on_cap)
    inside = (normal * toward).sum(0) > 0
    normal = torch.where(inside, -normal, normal)
    look = raycast.take(_tensor(shots.look, device), row)
    turn = raycast.take(_tensor(shots.world_from_surface[:, :3, :3].reshape(-1, 9), device), row).view(3, 3, -1)
    surface.normal[:, pixel] = (turn * normal).sum(1)
    surface.albedo[:, pixel] = _albedo(look, _pattern_place(place, normal, on_cap, hits.box), place[2])
    surface.ambient[pixel] = torch.where(inside, 0.72, 1.0)
    surface.gloss[pixel] = look[8]
    surface.depth[pixel] = hits.distance[index]
    surface.shaded[pixel] = True
    surface.ids[pixel] = _tensor(shots.instance, device)[row].to(torch.uint8)


def _revolved_normal(place: Tensor, geometry: Tensor, on_cap: Tensor) -> Tensor:
    x, y, z = place
    steep = torch.where(on_cap, 1.0, -(0.5 * geometry[1] + geometry[2] * z))
    flat = torch.where(on_cap, 0.0, 1.0)
    normal = torch.stack([x * flat, y * flat, steep])
    upright = torch.where(on_cap & (2 * z < geometry[3] + geometry[4]), -1.0, 1.0)
    normal[2] *= upright
    return functional.normalize(normal, dim=0)


def _box_normal(place: Tensor, geometry: Tensor) -> Tensor:
    share = place / geometry[:3]
    axis = share.abs().argmax(0)
    return functional.one_hot(axis, 3).T * torch.sign(share)


def _pattern_place(place: Tensor, normal: Tensor, on_cap: Tensor, box: bool) -> tuple[Tensor, Tensor]:
    """Metric coordinates along the surface, in which stripes and checks are drawn."""
    x, y, z = place
    if box:
        side = normal.abs()
        return torch.where(side[0] > 0.5, y, x), torch.where(side[2] > 0.5, y, z)
    around = torch.sqrt(x * x + y * y)
    return torch.atan2(y, x) * 0.04, torch.where(on_cap, around, z)


def _albedo(look: Tensor, along: tuple[Tensor, Tensor], z: Tensor) -> Tensor:
    pattern, width = look[6], look[7]
    column, line = torch.floor(along[0] / width), torch.floor(along[1] / width)
    odd = torch.remainder(torch.where(pattern > 1.5, column + line, line), 2.0)
    share = torch.where(pattern > 0.5, odd, 0.0)
    color = look[0:3] + share * (look[3:6] - look[0:3])
    return color + torch.where(z > look[9], 0.25, 0.0) * (1.0 - color)


def _lamp_arrives(shots: Stage, surface: Surface, frames: Frames, device: str) -> Tensor:
    """1 where the lamp is seen, 0 in a shadow; (N,) float32."""
    light = np.array([scene.light.to_light for scene in shots.scenes])[shots.frame]
    points = stage.corners(shots)
    fall = np.maximum(points[..., 2:], 0.0) / light[:, None, 2:]
    boxes = stage.pixel_boxes(shots, np.concatenate([points, points - fall * light[:, None]], axis=1))
    lit = torch.ones_like(surface.depth)
    start = _shadow_starts(surface, frames)
    facing = surface.shaded & (_dot_light(surface, frames) > 0)
    for part, is_box in _split(shots):
        pairs = _pairs(shots, part, boxes, device)
        pairs = raycast.keep_pairs(pairs, torch.nonzero(facing[pairs.pixel])[:, 0])
        table = raycast.take(_tensor(_shadow_table(shots, light), device), pairs.row)
        place = start.index_select(1, pairs.pixel) - table[9:12]
        origin = _vector(torch.stack([(table[3 * i : 3 * i + 3] * place).sum(0) for i in range(3)]))
        toward = _vector(table[12:15])
        if is_box:
            distance = raycast.meet_box(origin, toward, table[15:18], nearest=SHADOW_OFFSET_M)
        else:
            distance, _ = raycast.meet_revolved(origin, toward, table[15:25], nearest=SHADOW_OFFSET_M)
        lit[pairs.pixel[distance < NEVER]] = 0.0
    return lit


def _shadow_table(shots: Stage, light: Array) -> Array:
    """Per surface (K, 25): turn from the world, position, light direction in its frame, geometry."""
    turn = shots.world_from_surface[:, :3, :3].transpose(0, 2, 1)
    toward = (turn @ light[..., None])[..., 0]
    return np.concatenate([turn.reshape(-1, 9), shots.world_from_surface[:, :3, 3], toward, shots.geometry], axis=1)


def _shadow_starts(surface: Surface, frames: Frames) -> Tensor:
    """World points (3, N) of all pixels, a hair above the surface."""
    count = frames.eye[0].shape[0]
    eye = torch.stack(frames.eye)
    seen = eye + (surface.depth * surface.toward).view(3, count, -1)
    return (seen + SHADOW_OFFSET_M * surface.normal.view(3, count, -1)).view(3, -1)


def _dot_light(surface: Surface, frames: Frames) -> Tensor:
    count = frames.eye[0].shape[0]
    return (torch.stack(frames.to_light) * surface.normal.view(3, count, -1)).sum(0).view(-1)


def _light(surface: Surface, frames: Frames, lit: Tensor, count: int) -> Tensor:
    """Reflected light (3, N)."""
    facing = _dot_light(surface, frames).clamp(min=0.0) * lit
    around = surface.ambient * (0.72 + 0.28 * surface.normal[2])
    shine = torch.zeros_like(facing)
    glossy = torch.nonzero((surface.gloss > 0) & (facing > 0))[:, 0]
    shine[glossy] = _shine(surface, frames, glossy, count)
    channels = []
    for albedo, lamp, ambient in zip(surface.albedo, frames.lamp, frames.ambient, strict=True):
        shape = (count, -1)
        light = ambient * around.view(shape) + lamp * facing.view(shape)
        channels.append((albedo.view(shape) * light + lamp * shine.view(shape)).view(-1))
    return torch.stack(channels)


def _shine(surface: Surface, frames: Frames, pixel: Tensor, count: int) -> Tensor:
    which = torch.div(pixel, surface.depth.numel() // count, rounding_mode="floor")
    light = torch.stack(frames.to_light)[:, :, 0].index_select(1, which)
    view = functional.normalize(surface.toward.index_select(1, pixel), dim=0)
    half = functional.normalize(light - view, dim=0)
    aligned = (half * surface.normal.index_select(1, pixel)).sum(0).clamp(min=0.0)
    for _ in range(5):  # to the 32nd power
        aligned = aligned * aligned
    return aligned * surface.gloss[pixel]


def _expose(rgb: Tensor, frames: Frames) -> Tensor:
    gain, gamma, blur = (value[:, :, None, None] for value in frames.lens)
    soft = functional.avg_pool2d(rgb, 3, stride=1, padding=1, count_include_pad=False)
    mixed = torch.lerp(rgb, soft, blur.expand_as(rgb))
    return (mixed * gain).clamp(1e-4, 1.0) ** gamma
