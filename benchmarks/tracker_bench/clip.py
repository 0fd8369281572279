"""An endless clip that costs next to nothing: blocks that sway over a textured, swaying background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from referent.types import Array, Intrinsics, Prompt, RgbdFrame

STEP_NS = 33_000_000
TILE_PX = 16
SWAY_PX = 64  # how far the background drifts before it comes back
COLORS = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (200, 30, 200))


@dataclass(frozen=True)
class Clip:
    """Frames and prompts of one size; a frame depends on its number alone."""

    size_wh: tuple[int, int]

    def frame(self, index: int) -> RgbdFrame:
        """Frame `index` of the clip, index times 33 ms after its start."""
        width, height = self.size_wh
        drift = _sway(index, SWAY_PX)
        rgb = self._background[drift // 2 : drift // 2 + height, drift : drift + width].copy()
        for number, color in enumerate(COLORS):
            left, top, right, bottom = self._block(number, index)
            rgb[top:bottom, left:right] = color
        camera = Intrinsics(width, height, float(width), float(width), width / 2, height / 2)
        return RgbdFrame(index * STEP_NS, "camera", rgb, None, camera)

    def prompt(self, number: int, *, index: int = 0) -> Prompt:
        """A tight box around block `number` (more than five: the same blocks again) in frame `index`."""
        return Prompt(str(number), index * STEP_NS, box_xyxy=np.array(self._block(number, index), np.float32))

    @cached_property
    def _background(self) -> Array:
        width, height = self.size_wh
        tiles = ((height + SWAY_PX) // TILE_PX + 1, (width + SWAY_PX) // TILE_PX + 1, 3)
        return np.random.default_rng(0).integers(0, 255, tiles, np.uint8).repeat(TILE_PX, 0).repeat(TILE_PX, 1)

    def _block(self, number: int, index: int) -> tuple[int, int, int, int]:
        """xyxy of a block: they stand on a diagonal and sway along x, each from another phase."""
        width, height = self.size_wh
        lane = number % len(COLORS)
        side_x, side_y = width // 6, height // 6
        left = width // 12 + lane * width // 8 + _sway(2 * index + 11 * lane, width // 8)
        top = height // 12 + lane * height // 7
        return left, top, left + side_x, top + side_y


def _sway(index: int, reach: int) -> int:
    """0, 1, ... reach, reach - 1, ... 0 and again."""
    return reach - abs(index % (2 * reach) - reach)
