"""A bank of seamless grey textures for tables and rooms."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from referent.types import Array

TILE_COUNT = 24
TILE_PX = 256


def _noise(rng: np.random.Generator, *, finest: float, stretch: float) -> Array:
    """Seamless noise (S, S) in [0, 1]: random phases, amplitude falling with frequency to `finest` cycles a tile."""
    cycles = np.fft.fftfreq(TILE_PX, 1.0 / TILE_PX)
    across, along = np.meshgrid(cycles, cycles * stretch, indexing="ij")
    frequency = np.hypot(across, along)
    amplitude = np.where(frequency > 0, 1.0 / np.maximum(frequency, 1.0) ** 1.2, 0.0) * np.exp(
        -((frequency / finest) ** 2)
    )
    phase = rng.uniform(0, 2 * np.pi, amplitude.shape)
    picture = np.fft.ifft2(amplitude * np.exp(1j * phase)).real
    low, high = np.percentile(picture, [2, 98])
    return np.clip((picture - low) / (high - low), 0.0, 1.0)


def _wood(rng: np.random.Generator) -> Array:
    grain = _noise(rng, finest=60, stretch=9.0)
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (_noise(rng, finest=5, stretch=4.0) * rng.uniform(3, 7)))
    return 0.55 * grain + 0.45 * rings


def _cloth(rng: np.random.Generator) -> Array:
    lines = np.sin(2 * np.pi * np.arange(TILE_PX) / TILE_PX * rng.integers(4, 12))
    soft = 0.5 + 0.5 * np.tanh(3.0 * lines)
    both = rng.random() < 0.6
    pattern = 0.5 * (soft[:, None] + soft[None, :]) if both else np.broadcast_to(soft[:, None], (TILE_PX, TILE_PX))
    return 0.8 * pattern + 0.2 * _noise(rng, finest=50, stretch=1.0)


@cache
def bank(device: torch.device) -> Tensor:
    """The tiles (TILE_COUNT, 1, S, S) on a device, float32 in [0, 1]; the same in every run."""
    tiles = []
    for index in range(TILE_COUNT):
        rng = np.random.default_rng(7000 + index)
        kind = index % 4
        if kind == 0:
            tile = _noise(rng, finest=rng.uniform(6, 20), stretch=1.0)
        elif kind == 1:
            tile = _wood(rng)
        elif kind == 2:
            tile = _noise(rng, finest=rng.uniform(25, 60), stretch=rng.uniform(0.5, 2.0))
        else:
            tile = _cloth(rng)
        tiles.append(torch.from_numpy(tile.astype(np.float32)))
    return torch.stack(tiles)[:, None].to(device)
