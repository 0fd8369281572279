"""What the simulator knows for certain about one frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from referent.types import Array, RgbdFrame


@dataclass(frozen=True, eq=False)
class ObjectTruth:
    """One object in one frame. `instance_id` (1..254) is its value in `FrameTruth.instance_ids`."""

    instance_id: int
    category: str  # "mug"
    color: str  # "red"
    material: str  # "plain"
    size_word: str  # "small", "large" or "" when the category has one size
    camera_from_object: Array  # (4, 4) float64; the object's frame sits at the centre of its box, z up the object
    size_m: Array  # (3,) float64, full extents of that box
    visible_px: int
    amodal_px: int  # pixels it would cover if nothing stood before it, inside the picture
    in_view_fraction: float  # share of its whole silhouette that lies inside the picture
    box_xyxy: Array | None  # (4,) float32 tight box of the visible pixels, x2/y2 exclusive; None when none is visible
    parts_xyxy: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}))
    """Tight boxes (4,) float32 of the visible pixels of its named parts ("handle"); only those that are seen."""


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """Ground truth of one frame."""

    instance_ids: Array  # (H, W) uint8, 0 = table, walls, occluders
    world_from_camera: Array  # (4, 4) float64; world z is up, the table top is z = 0
    depth_m: Array  # (H, W) float32, noise-free
    objects: tuple[ObjectTruth, ...]  # every object of the scene, seen or not
    part_ids: Array | None = None  # (H, W) uint8, 0 = no named part, else 1 + index in vocabulary.PARTS


@dataclass(frozen=True, eq=False)
class SimulatedFrame:
    """A camera frame (with sensor noise) and the truth behind it."""

    frame: RgbdFrame
    truth: FrameTruth
