"""Paints objects and occluders over the ground: nearest surface, normal, pattern, instance ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from referent.sources.simulation import raycast, stage
from referent.sources.simulation.canvas import Surface, pairs_of, split_surfaces, tensor, vector
from referent.sources.simulation.raycast import NEVER
from referent.sources.simulation.stage import Stage
from referent.types import Array


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


def _camera_hits(shots: Stage, part: slice, is_box: bool, boxes: Array, device: str) -> _Hits:
    pairs = pairs_of(shots, part, boxes, device)
    rays, origin = stage.surface_rays(shots)
    table = raycast.take(tensor(np.concatenate([rays, origin, shots.geometry], axis=1), device), pairs.row)
    toward = table[0:3] * pairs.x_px + table[3:6] * pairs.y_px + table[6:9]
    start = table[9:12]
    if is_box:
        distance = raycast.meet_box(vector(start), vector(toward), table[12:15], nearest=0.0)
        on_cap = torch.zeros_like(distance, dtype=torch.bool)
    else:
        distance, on_cap = raycast.meet_revolved(vector(start), vector(toward), table[12:22], nearest=0.0)
    hit = torch.nonzero(distance < NEVER)[:, 0]
    distance, toward = distance[hit], toward.index_select(1, hit)
    place = start.index_select(1, hit) + distance * toward
    return _Hits(pairs.row[hit], pairs.pixel[hit], distance, place, toward, on_cap[hit], is_box)


def paint_bodies(shots: Stage, surface: Surface, device: str) -> Tensor:
    """Paint all bodies over the ground; returns the amodal pixel counts (B, I)."""
    boxes = stage.pixel_boxes(shots, stage.corners(shots))
    groups = [_camera_hits(shots, part, is_box, boxes, device) for part, is_box in split_surfaces(shots)]
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
    instance, frame = tensor(shots.instance, device), tensor(shots.frame, device)
    for hits in groups:
        which = frame[hits.row]
        covered[which * instances + instance[hits.row], hits.pixel - which * pixels] = True
    return covered.sum(1).view(len(shots.scenes), instances)


def _paint(shots: Stage, surface: Surface, hits: _Hits, pixel: Tensor, index: Tensor, device: str) -> None:
    row = hits.row[index]
    place, toward = hits.place.index_select(1, index), hits.toward.index_select(1, index)
    geometry = raycast.take(tensor(shots.geometry, device), row)
    on_cap = hits.on_cap[index]
    normal = _box_normal(place, geometry) if hits.box else _revolved_normal(place, geometry, on_cap)
    inside = (normal * toward).sum(0) > 0
    normal = torch.where(inside, -normal, normal)
    look = raycast.take(tensor(shots.look, device), row)
    turn = raycast.take(tensor(shots.world_from_surface[:, :3, :3].reshape(-1, 9), device), row).view(3, 3, -1)
    surface.normal[:, pixel] = (turn * normal).sum(1)
    surface.albedo[:, pixel] = _albedo(look, _pattern_place(place, normal, on_cap, hits.box), place)
    surface.ambient[pixel] = torch.where(inside, 0.72, 1.0)
    surface.gloss[pixel] = look[8]
    surface.depth[pixel] = hits.distance[index]
    surface.shaded[pixel] = True
    surface.row[pixel] = row
    surface.ids[pixel] = tensor(shots.instance, device)[row].to(torch.uint8)
    surface.parts[pixel] = tensor(shots.part, device)[row].to(torch.uint8)


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


def _albedo(look: Tensor, along: tuple[Tensor, Tensor], place: Tensor) -> Tensor:
    pattern, width = look[6], look[7]
    column, line = torch.floor(along[0] / width), torch.floor(along[1] / width)
    odd = torch.remainder(torch.where(pattern > 1.5, column + line, line), 2.0)
    share = torch.where(pattern > 0.5, odd, 0.0)
    wooden = torch.nonzero(pattern > 2.5)[:, 0]
    share[wooden] = _rings(look.index_select(1, wooden), place.index_select(1, wooden))
    color = look[0:3] + share * (look[3:6] - look[0:3])
    return color + torch.where(place[2] > look[9], 0.25, 0.0) * (1.0 - color)


def _rings(look: Tensor, place: Tensor) -> Tensor:
    """Share in [0, 1] of the darker tone where wood is cut: uneven growth rings around a pith, fine streaks."""
    across, up = ((look[k : k + 3] * place).sum(0) + look[k + 3] for k in (10, 14))
    from_pith = torch.sqrt(across * across + up * up)
    angle = torch.atan2(up, across)
    turns = from_pith / look[7] + 0.22 * torch.sin(3.0 * angle + 40.0 * from_pith) + 0.3 * torch.sin(55.0 * across)
    rings = 0.5 + 0.5 * torch.sin(2 * torch.pi * turns)
    streaks = 0.5 + 0.5 * torch.sin(2 * torch.pi * (3.7 * turns + 0.5 * torch.sin(130.0 * up)))
    return (0.85 * rings * rings + 0.25 * streaks).clamp(max=1.0)
