"""What is known of each pixel while a picture is drawn, and the staged numbers as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from referent.sources.simulation import raycast, stage
from referent.sources.simulation.raycast import Pairs, Vector
from referent.sources.simulation.stage import Stage
from referent.types import Array


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
    row: Tensor  # (N,) int64, which of the stage's surfaces, -1 = the ground
    ids: Tensor  # (N,) uint8
    parts: Tensor  # (N,) uint8


def tensor(array: Array, device: str) -> Tensor:
    """An array on a device; real numbers as float32."""
    kind = np.float32 if array.dtype.kind == "f" else array.dtype
    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind)).to(device)


def vector(table: Tensor) -> Vector:
    """The three rows of (3, ...)."""
    return table[0], table[1], table[2]


def frames_of(shots: Stage, device: str) -> Frames:
    """The per-picture numbers of a stage."""
    rows = tensor(stage.frame_table(shots).T.copy(), device)[:, :, None]
    eye = tensor(shots.world_from_camera[:, :3, 3].T.copy(), device)[:, :, None]
    return Frames(
        eye=vector(eye),
        table=tuple(rows[0:9]),
        room=tuple(rows[9:18]),
        halves=tuple(rows[18:24]),
        to_light=vector(rows[24:27]),
        lamp=vector(rows[27:30]),
        ambient=vector(rows[30:33]),
        lens=vector(rows[33:36]),
    )


def split_surfaces(shots: Stage) -> tuple[tuple[slice, bool], tuple[slice, bool]]:
    """The revolved surfaces and the boxes: their rows, and whether they are boxes."""
    return (slice(0, shots.revolved_count), False), (slice(shots.revolved_count, len(shots.frame)), True)


def pairs_of(shots: Stage, part: slice, boxes: Array, device: str) -> Pairs:
    """Surfaces `part` with the pixels of their boxes (K, 4)."""
    rows = torch.arange(part.start, part.stop, device=device)
    return raycast.pairs_in_boxes(
        rows, tensor(shots.frame[part], device), tensor(boxes[part], device), width=shots.width, height=shots.height
    )
