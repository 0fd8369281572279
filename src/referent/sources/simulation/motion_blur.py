"""Smears light along the way that things and the camera go while the shutter is open.

Gathers along the strongest motion nearby, as McGuire et al., A Reconstruction Filter for Plausible Motion Blur, 2012.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from referent.sources.simulation.canvas import Surface, tensor
from referent.sources.simulation.stage import Stage

STILL_PX = 0.5  # less motion than this leaves a picture as it is
MOST_SAMPLES = 15
FRONT = 0.99  # a surface nearer than this share of another's depth lies before it


@dataclass(frozen=True, eq=False)
class _View:
    """One picture: flat pixels, row after row."""

    light: Tensor  # (3, P)
    depth: Tensor  # (P,)
    flow: Tensor  # (2, P) pixels right and down while the shutter is open
    width: int
    height: int


def smear(light: Tensor, surface: Surface, shots: Stage, device: str) -> Tensor:
    """Reflected light (3, N) as it adds up over each picture's exposure; the same tensor where nothing moves."""
    per_picture = shots.width * shots.height
    for index in shots.stirred():
        part = slice(index * per_picture, (index + 1) * per_picture)
        view = _View(
            light[:, part], surface.depth[part], flow(shots, surface, index, device), shots.width, shots.height
        )
        light[:, part] = _smeared(view)
    return light


def flow(shots: Stage, surface: Surface, index: int, device: str) -> Tensor:
    """How far (2, P) in pixels right and down what picture `index` shows moves while its shutter is open."""
    per_picture = shots.width * shots.height
    part = slice(index * per_picture, (index + 1) * per_picture)
    depth, row = surface.depth[part], surface.row[part]
    y, x = torch.meshgrid(
        torch.arange(shots.height, device=device) - (shots.height - 1) / 2,
        torch.arange(shots.width, device=device) - (shots.width - 1) / 2,
        indexing="ij",
    )
    place = torch.stack([x.reshape(-1), y.reshape(-1)])
    focal = float(shots.focal_px[index])
    moved = _moved(place, depth, tensor(shots.camera_motion[index, :3].reshape(12, 1), device), focal)
    own = tensor(shots.moves_alone(), device)
    bodies = torch.nonzero((row >= 0) & own[row.clamp(min=0)])[:, 0]
    if len(bodies):
        motions = tensor(shots.motion[:, :3].reshape(-1, 12).T.copy(), device).index_select(1, row[bodies])
        moved[:, bodies] = _moved(place[:, bodies], depth[bodies], motions, focal)
    return moved - place


def _moved(place: Tensor, depth: Tensor, motion: Tensor, focal: float) -> Tensor:
    """Where picture points (2, P) from the middle go under rigid motions (12, P or 1) of camera coordinates."""
    x, y = place / focal
    inverse = 1.0 / depth
    across, down, away = (
        motion[k] * x + motion[k + 1] * y + motion[k + 2] + motion[k + 3] * inverse for k in (0, 4, 8)
    )
    return torch.stack([across, down]) * (focal / away.clamp(min=0.05))


def _smeared(view: _View) -> Tensor:
    speed = view.flow.square().sum(0).sqrt()
    fastest = float(speed.max())
    if fastest <= STILL_PX:
        return view.light
    along = _strongest_nearby(view, speed, reach_px=math.ceil(fastest / 2) + 1)
    stirred = torch.nonzero(along.square().sum(0) > STILL_PX**2)[:, 0]
    count = min(MOST_SAMPLES, 2 * math.ceil(fastest / 2) + 1)
    smeared = view.light.clone()
    smeared[:, stirred] = _gathered(view, speed, along[:, stirred], stirred, count)
    return smeared


def _strongest_nearby(view: _View, speed: Tensor, *, reach_px: int) -> Tensor:
    """The fastest motion (2, P) within about `reach_px` of each pixel, found tile by tile."""
    size = max(4, reach_px)
    picture = speed.view(1, 1, view.height, view.width)
    best, where = functional.max_pool2d(picture, size, ceil_mode=True, return_indices=True)
    rows, columns = best.shape[2:]
    _, tile = functional.max_pool2d(best, 3, stride=1, padding=1, return_indices=True)
    motion = view.flow[:, where.view(-1)[tile.view(-1)]].view(2, rows, columns)
    wide = motion.repeat_interleave(size, dim=1).repeat_interleave(size, dim=2)
    return wide[:, : view.height, : view.width].reshape(2, -1)


def _gathered(view: _View, speed: Tensor, along: Tensor, pixel: Tensor, count: int) -> Tensor:
    """Mean light (3, M) that reaches the pixels: what lies along the motion, as far as it or the pixel itself moves."""
    x, y = pixel % view.width, torch.div(pixel, view.width, rounding_mode="floor")
    own, limit, own_reach = view.light.index_select(1, pixel), FRONT * view.depth[pixel], 0.55 * speed[pixel]
    length = along.square().sum(0).sqrt()
    total = torch.zeros_like(own)
    for step in range(count):
        share = (step + 0.5) / count - 0.5
        there_x = (x + (share * along[0]).round().long()).clamp(0, view.width - 1)
        there_y = (y + (share * along[1]).round().long()).clamp(0, view.height - 1)
        there = there_y * view.width + there_x
        before = view.depth.index_select(0, there) < limit
        reach = torch.where(before, 0.55 * speed.index_select(0, there), own_reach)
        total += torch.where(abs(share) * length <= reach, view.light.index_select(1, there), own)
    return total / count
