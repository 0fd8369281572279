"""Draws the table and the room behind it."""

from __future__ import annotations

import torch
from torch import Tensor

from referent.sources.simulation.canvas import Frames, Surface, tensor
from referent.sources.simulation.stage import Stage
from referent.sources.simulation.textures import TILE_PX, bank


def _rays(shots: Stage, device: str) -> Tensor:
    """World directions (3, B, H*W) through the pixel centres, one unit along the optical axis."""
    x = torch.arange(shots.width, device=device) - (shots.width - 1) / 2
    y = torch.arange(shots.height, device=device) - (shots.height - 1) / 2
    right, down, forward = tensor(shots.world_from_camera[:, :3, :3].transpose(2, 1, 0).copy(), device)[..., None, None]
    focal = tensor(shots.focal_px, device)[:, None, None]
    rays = forward + right * (x[None, None, None, :] / focal) + down * (y[None, None, :, None] / focal)
    return rays.reshape(3, len(shots.scenes), -1)


def ground(shots: Stage, frames: Frames, device: str) -> Surface:
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
        row=torch.full((count,), -1, device=device),
        ids=torch.zeros(count, dtype=torch.uint8, device=device),
        parts=torch.zeros(count, dtype=torch.uint8, device=device),
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
    texels = bank(x.device).view(-1)

    def at(index: Tensor) -> Tensor:
        return texels.index_select(0, index.reshape(-1)).view_as(x)

    above = torch.lerp(at(upper + left), at(upper + right), fu)
    below = torch.lerp(at(lower + left), at(lower + right), fu)
    return torch.lerp(above, below, fv)
