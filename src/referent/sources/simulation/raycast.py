"""Where rays meet the analytic surfaces. Each surface is tried only in the pixels its own projected box covers.

Works on flat lists of (surface, pixel) pairs, so that many pictures go through the same few operations on any device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Vector = tuple[Tensor, Tensor, Tensor]
NEVER = float("inf")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Surfaces and the pixels to try them in."""

    row: Tensor  # (N,) int64, which surface
    pixel: Tensor  # (N,) int64, flat over (picture, y, x)
    x_px: Tensor  # (N,) float32
    y_px: Tensor  # (N,) float32


def pairs_in_boxes(rows: Tensor, frames: Tensor, boxes: Tensor, *, width: int, height: int) -> Pairs:
    """All pixels of `boxes` (K, 4) int64 x0 y0 x1 y1 (exclusive, inside the picture) of pictures `frames` (K,)."""
    wide = (boxes[:, 2] - boxes[:, 0]).clamp(min=0)
    area = wide * (boxes[:, 3] - boxes[:, 1]).clamp(min=0)
    first = torch.cumsum(area, 0) - area
    which = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), area)
    within = torch.arange(len(which), device=rows.device) - first[which]
    down = torch.div(within, wide[which], rounding_mode="floor")
    x = within - down * wide[which] + boxes[:, 0][which]
    y = down + boxes[:, 1][which]
    pixel = (frames[which] * height + y) * width + x
    return Pairs(rows[which], pixel, x.float(), y.float())


def keep_pairs(pairs: Pairs, keep: Tensor) -> Pairs:
    """The pairs at the indices `keep`."""
    return Pairs(pairs.row[keep], pairs.pixel[keep], pairs.x_px[keep], pairs.y_px[keep])


def take(table: Tensor, rows: Tensor) -> Tensor:
    """Columns of a (K, C) table as (C, N), so that each is one contiguous run."""
    return table.t().contiguous().index_select(1, rows)


def meet_revolved(origin: Vector, toward: Vector, geometry: Tensor, *, nearest: float) -> tuple[Tensor, Tensor]:
    """First meeting of rays with surfaces of revolution: distance (N,), and whether on a cap (N,).

    The distance is infinite where there is no meeting.
    `geometry` (10, N): a, b, c, z0, z1, bottom cap's inner and outer radius squared, top cap's, min x.
    """
    (ox, oy, oz), (dx, dy, dz) = origin, toward
    a, b, c, z0, z1, in0, out0, in1, out1, min_x = geometry
    square = dx * dx + dy * dy - c * dz * dz
    square = torch.where(square.abs() < 1e-9, 1e-9, square)
    middle = ox * dx + oy * dy - dz * (0.5 * b + c * oz)
    constant = ox * ox + oy * oy - a - oz * (b + c * oz)
    under = middle * middle - square * constant
    root = torch.sqrt(under.clamp(min=0.0))
    one, other = (-middle - root) / square, (-middle + root) / square
    near, far = torch.minimum(one, other), torch.maximum(one, other)

    def on_side(t: Tensor) -> Tensor:
        z = oz + t * dz
        return (under >= 0) & (t > nearest) & (z >= z0) & (z <= z1) & (ox + t * dx >= min_x)

    side = torch.where(on_side(near), near, torch.where(on_side(far), far, NEVER))
    slope = 1.0 / torch.where(dz.abs() < 1e-12, 1e-12, dz)

    def on_cap(z: Tensor, inner: Tensor, outer: Tensor) -> Tensor:
        t = (z - oz) * slope
        x, y = ox + t * dx, oy + t * dy
        radius = x * x + y * y
        return torch.where((t > nearest) & (radius >= inner) & (radius <= outer) & (x >= min_x), t, NEVER)

    cap = torch.minimum(on_cap(z0, in0, out0), on_cap(z1, in1, out1))
    return torch.minimum(side, cap), cap < side


def meet_box(origin: Vector, toward: Vector, half: Tensor, *, nearest: float) -> Tensor:
    """First meeting of rays with boxes of half sizes `half` (3, N): distance (N,), infinite where there is none."""
    enter, leave = torch.full_like(half[0], -NEVER), torch.full_like(half[0], NEVER)
    for o, d, h in zip(origin, toward, half, strict=True):
        inverse = 1.0 / torch.where(d.abs() < 1e-12, 1e-12, d)
        reach, centre = (h * inverse).abs(), -o * inverse
        enter = torch.maximum(enter, centre - reach)
        leave = torch.minimum(leave, centre + reach)
    return torch.where((enter <= leave) & (leave > nearest), torch.where(enter > nearest, enter, leave), NEVER)


def nearest_per_pixel(distance: Tensor, pixel: Tensor, pixel_count: int) -> tuple[Tensor, Tensor]:
    """Of many meetings, the first in each pixel: (pixels hit (M,), index of the winning meeting (M,)).

    Equal distances are settled by list order: distance bits and index are packed into one integer.
    """
    order = torch.arange(len(pixel), device=pixel.device)
    key = (distance.view(torch.int32).long() << 32) | order
    best = torch.full((pixel_count,), torch.iinfo(torch.int64).max, device=pixel.device)
    best.scatter_reduce_(0, pixel, key, "amin")
    hit = torch.nonzero(best != torch.iinfo(torch.int64).max)[:, 0]
    return hit, best[hit] & 0xFFFFFFFF
