"""Painted pictures: colored rectangles before a grey wall, with depth. A scene a test can write in one line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from referent.types import Intrinsics, RgbdFrame

WIDTH, HEIGHT = 64, 48
CAMERA = Intrinsics(width=WIDTH, height=HEIGHT, fx=60.0, fy=60.0, cx=31.5, cy=23.5)
COLORS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}
FRAME_NS = 100_000_000


def painted(
    number: int, boxes: Mapping[str, tuple[int, int, int, int]], *, depth: bool = True, wall_m: float = 1.5
) -> RgbdFrame:
    """Frame `number` with a rectangle (x1, y1, x2, y2) of each named color, 1 m away; names may end in digits."""
    rgb = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    depth_m = np.full((HEIGHT, WIDTH), wall_m, np.float32)
    for name, (x1, y1, x2, y2) in boxes.items():
        rgb[y1:y2, x1:x2] = COLORS[name.rstrip("0123456789")]
        depth_m[y1:y2, x1:x2] = 1.0
    stamp_ns = 1_000_000_000 + number * FRAME_NS
    return RgbdFrame(stamp_ns, "camera_color_optical_frame", rgb, depth_m if depth else None, CAMERA)
