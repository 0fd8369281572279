"""Axial rotary position encoding (RoPE) in real numbers: `compute_axial_cis` and `apply_rotary_enc` of SAM 2.

The official code rotates neighbouring channel pairs as complex numbers. Here the projections are permuted once so that
the two halves of a vector hold the real and the imaginary parts: attention scores are the same, and no complex type is
needed (compilers cannot fuse those).
"""

from __future__ import annotations

import torch
from torch import Tensor


def rotation_table(dim: int, side: int, theta: float) -> Tensor:
    """cos and sin (2, side * side, dim / 2) float32 of every token of a square map, x first, row by row."""
    frequencies = 1.0 / theta ** (torch.arange(0, dim, 4)[: dim // 4].float() / dim)
    at = torch.arange(side * side, dtype=torch.float32)
    column, row = at % side, torch.div(at, side, rounding_mode="floor")
    angles = torch.cat([torch.outer(column, frequencies), torch.outer(row, frequencies)], dim=-1)
    return torch.stack([angles.cos(), angles.sin()])


def halves_first(weight: Tensor) -> Tensor:
    """Rows (channels) of a projection reordered from pairs to halves: 0, 2, 4, ... then 1, 3, 5, ..."""
    return torch.cat([weight[0::2], weight[1::2]])


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """(..., tokens, dim), halves first, rotated by `rotation_table`."""
    cos, sin = table
    real, imaginary = x.chunk(2, dim=-1)
    rotated = torch.empty_like(x, memory_format=torch.contiguous_format)
    first, second = rotated.chunk(2, dim=-1)
    torch.mul(real, cos, out=first).addcmul_(imaginary, sin, value=-1)
    torch.mul(real, sin, out=second).addcmul_(imaginary, cos)
    return rotated
