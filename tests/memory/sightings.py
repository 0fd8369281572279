"""Builders of what the pipeline hands the memory: results with things seen at places of the fixed frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from referent.config import MemoryConfig
from referent.memory import ObjectMemory, Remembered
from referent.types import (
    Array,
    FrameResult,
    Intrinsics,
    ObjectCloud,
    ObjectPose,
    OrientedBox,
    PoseQuality,
    Provenance,
    RgbdFrame,
    Target,
    TrackedMask,
    TrackedObject,
    TrackState,
)

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS
CAMERA = Intrinsics(160, 120, 150.0, 150.0, 80.0, 60.0)
# A camera at the origin, 1 m up, that looks along the fixed frame's x: its z is x, its x is -y, its y is -z.
FIXED_FROM_CAMERA = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]])
CONFIG = MemoryConfig(frame_sigma_deg=0.0)
MUG_M = (0.1, 0.1, 0.1)


@dataclass(frozen=True, eq=False)
class Thing:
    """A thing as one track sees it; positions are in the fixed frame."""

    id: str
    at_m: tuple[float, float, float]
    expression: str = "the red mug"
    label: str = "red mug"
    size_m: tuple[float, float, float] = MUG_M
    sigma_m: float = 0.01
    turned_rad: float = 0.0
    angle_sigma_rad: float = 0.05
    state: TrackState = TrackState.TRACKING
    score: float = 0.9
    source: str = "registered"
    motion: str = "static"
    generation: int = 0
    changed: Provenance | None = None
    column: int = 0  # where in the picture: things in the same column have the same mask
    covariance: Array | None = None


def a_frame(stamp_ns: int = START_NS, *, depth_m: float | None = 9.0, shade: int = 100) -> RgbdFrame:
    """A picture whose columns of 20 pixels have the reds 0, 30, 60 ..., everything as far away."""
    rgb = np.full((CAMERA.height, CAMERA.width, 3), shade, np.uint8)
    rgb[..., 0] = np.arange(CAMERA.width) // 20 * 30
    depth = None if depth_m is None else np.full(rgb.shape[:2], depth_m, np.float32)
    return RgbdFrame(stamp_ns, "camera", rgb, depth, CAMERA)


def a_result(
    things: Sequence[Thing], stamp_ns: int = START_NS, fixed_from_camera: Array = FIXED_FROM_CAMERA
) -> FrameResult:
    return FrameResult(stamp_ns, "camera", tuple(tracked(thing, fixed_from_camera) for thing in things))


def tracked(thing: Thing, fixed_from_camera: Array = FIXED_FROM_CAMERA) -> TrackedObject:
    mask = np.zeros((CAMERA.height, CAMERA.width), bool)
    mask[50:70, 20 * thing.column : 20 * thing.column + 16] = True
    cosine, sine = np.cos(thing.turned_rad), np.sin(thing.turned_rad)
    fixed_from_object = np.eye(4)
    fixed_from_object[:2, :2] = [[cosine, -sine], [sine, cosine]]
    fixed_from_object[:3, 3] = thing.at_m
    camera_from_fixed = np.linalg.inv(fixed_from_camera)
    covariance = np.diag(np.repeat([thing.sigma_m**2, thing.angle_sigma_rad**2], 3))
    if thing.covariance is not None:  # given in the fixed frame
        turn = np.kron(np.eye(2), camera_from_fixed[:3, :3])
        covariance = turn @ thing.covariance @ turn.T
    pose = ObjectPose(
        OrientedBox(camera_from_fixed @ fixed_from_object, np.array(thing.size_m), 500),
        covariance,
        ObjectCloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)),
        PoseQuality(thing.source, thing.motion),
    )
    return TrackedObject(
        Target(thing.id, thing.expression, generation=thing.generation),
        thing.label,
        thing.state,
        mask=TrackedMask(thing.id, mask, 0.95, 0.97, 5.0),
        pose=pose,
        created=Provenance("grounder", "new", START_NS, 1),
        changed=thing.changed,
        grounding_score=thing.score,
    )


def see(memory: ObjectMemory, things: Sequence[Thing], at_s: float = 0.0) -> int:
    """Hand over one frame `at_s` after the start; its stamp."""
    stamp_ns = START_NS + round(at_s * SECOND_NS)
    memory.remember(a_result(things, stamp_ns), a_frame(stamp_ns), FIXED_FROM_CAMERA)
    return stamp_ns


def places(found: Sequence[Remembered]) -> np.ndarray:
    return np.array([known.fixed_from_object[:3, 3] for known in found]).round(3)


def sigmas(known: Remembered) -> np.ndarray:
    return np.sqrt(np.diag(known.covariance))
