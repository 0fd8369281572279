"""Which surface point is near a place, answered from a grid that is filled once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from referent.types import Array

_CELLS = 48  # along the longest side: 3 mm for an object of a hand's size; what is near is found exactly later


@dataclass(frozen=True, eq=False)
class NearestGrid:
    """The index of the surface point nearest to each cell's middle."""

    corner_m: Array  # (3,) float32
    cell_m: float
    shape: tuple[int, int, int]
    index: Array  # (prod(shape),) int32

    @classmethod
    def around(cls, points_m: Array, *, margin_m: float) -> NearestGrid:
        """A grid around `points_m` (N, 3), wider by `margin_m` on every side."""
        low, high = points_m.min(axis=0) - margin_m, points_m.max(axis=0) + margin_m
        cell_m = float((high - low).max()) / _CELLS
        x, y, z = (int(count) for count in np.ceil((high - low) / cell_m))
        middles = np.stack(np.meshgrid(np.arange(x), np.arange(y), np.arange(z), indexing="ij"), axis=-1) + 0.5
        index = np.asarray(cKDTree(points_m).query(low + middles.reshape(-1, 3) * cell_m, workers=1)[1], np.int32)
        return cls(low.astype(np.float32), cell_m, (x, y, z), index)

    def at(self, places_m: Array) -> Array:
        """(...,) indices for (..., 3) places; those outside the grid get what its border has."""
        cell = ((places_m - self.corner_m) * np.float32(1 / self.cell_m)).astype(np.int32)
        np.clip(cell, 0, np.asarray(self.shape, np.int32) - 1, out=cell)
        flat = (cell[..., 0] * self.shape[1] + cell[..., 1]) * self.shape[2] + cell[..., 2]
        return np.asarray(self.index[flat])
