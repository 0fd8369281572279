"""Builds the truth of small tabletop pictures by hand, so that what a phrase means is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.types import Array

WIDTH, HEIGHT = 320, 240
FOCAL_PX = 330.0
DOWN = np.radians(40)  # the camera looks down so far
# Columns: the world's x (to the right), y (away from the viewer) and z (up) in the camera's frame.
CAMERA_FROM_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, -np.sin(DOWN), -np.cos(DOWN)], [0.0, np.cos(DOWN), -np.sin(DOWN)]])
MATERIALS = ("striped", "checkered", "wooden", "glossy")
EXTENTS_M = {"plate": (0.21, 0.21, 0.03), "bottle": (0.07, 0.07, 0.2), "pan": (0.25, 0.16, 0.05)}


def a_thing(
    number: int,
    words: str,
    x_m: float = 0.0,
    *,
    away_m: float = 0.0,
    scale: float = 1.0,
    height_m: float | None = None,
    visible_px: int = 900,
    amodal_px: int = 900,
    in_view: float = 1.0,
    parts: Mapping[str, tuple[float, float, float, float]] | None = None,
) -> ObjectTruth:
    """`words`: "[size] [material] color category"; it stands `x_m` to the right and `away_m` from the viewer."""
    *extra, color, category = words.split()
    material = next((word for word in extra if word in MATERIALS), "plain")
    size = next((word for word in extra if word in ("small", "large")), "")
    extents = np.array(EXTENTS_M.get(category, (0.08, 0.08, 0.09))) * scale
    extents[2] = extents[2] if height_m is None else height_m
    pose = np.eye(4)
    pose[:3, :3] = CAMERA_FROM_WORLD
    pose[:3, 3] = CAMERA_FROM_WORLD @ [x_m, away_m, extents[2] / 2] + [0, 0, 0.75]
    box = _box(pose, extents) if visible_px else None
    boxes = {name: np.array(part, np.float32) for name, part in (parts or {}).items()}
    return ObjectTruth(
        number, category, color, material, size, pose, extents, visible_px, amodal_px, in_view, box, boxes
    )


def a_truth(*things: ObjectTruth) -> FrameTruth:
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    return FrameTruth(ids, np.eye(4), np.ones((HEIGHT, WIDTH), np.float32), things)


def _box(pose: Array, extents: Array) -> Array:
    signs = np.array(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5])).reshape(3, -1)
    x, y, z = pose[:3, :3] @ (signs * extents[:, None]) + pose[:3, 3:]
    u, v = FOCAL_PX * x / z + WIDTH / 2, FOCAL_PX * y / z + HEIGHT / 2
    return np.array([u.min(), v.min(), u.max(), v.max()], np.float32)
