"""What the rooms of Referent hand each other. Frozen; arrays are checked at construction, once.

Pixels are (x right, y down); boxes are `xyxy` in pixels of the original image. Coordinate frames are ROS optical
frames (REP-103: z forward, x right, y down); `a_from_b` maps points of b into a; quaternions are xyzw. Times are
integer nanoseconds, taken from the frames and never from a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def _check(name: str, array: Array, *, shape: tuple[int | None, ...], dtype: type) -> None:
    """Raise ValueError unless `array` has `dtype` and `shape` (None = any length)."""
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits or array.dtype != dtype:
        raise ValueError(f"{name}: expected {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole model of a rectified image, in pixels: u = fx * x / z + cx, v = fy * y / z + cy."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"intrinsics: image size {self.width}x{self.height} is not positive")
        if not all(np.isfinite([self.fx, self.fy, self.cx, self.cy])) or self.fx <= 0 or self.fy <= 0:
            raise ValueError(f"intrinsics: fx={self.fx}, fy={self.fy}, cx={self.cx}, cy={self.cy} is no camera")


@dataclass(frozen=True, eq=False)
class RgbdFrame:
    """One picture of the world, color and depth registered to each other."""

    stamp_ns: int
    camera_frame: str
    rgb: Array  # (H, W, 3) uint8
    depth_m: Array | None  # (H, W) float32, NaN = unknown; None = no depth for this frame
    intrinsics: Intrinsics

    def __post_init__(self) -> None:
        size = (self.intrinsics.height, self.intrinsics.width)
        _check("rgb", self.rgb, shape=(*size, 3), dtype=np.uint8)
        if self.depth_m is not None:
            _check("depth_m", self.depth_m, shape=size, dtype=np.float32)


@dataclass(frozen=True)
class Target:
    """Something an instruction asks for. `generation` counts how often its meaning was replaced."""

    id: str
    expression: str
    role: str = "target"
    generation: int = 0


class RegroundReason(Enum):
    """Why the grounder is asked."""

    NEW = "new"
    LOST = "lost"
    UNCERTAIN = "uncertain"
    AMBIGUOUS = "ambiguous"
    SCENE_CUT = "scene_cut"
    STALE = "stale"
    CORRECTED = "corrected"


class TrackState(Enum):
    """What is known about a target in the present frame."""

    SEARCHING = "searching"
    TRACKING = "tracking"
    UNCERTAIN = "uncertain"
    OCCLUDED = "occluded"
    LOST = "lost"


@dataclass(frozen=True, eq=False)
class LiveTrack:
    """A track as the grounder is told of it."""

    id: str
    label: str
    box_xyxy: Array  # (4,) float32 pixels

    def __post_init__(self) -> None:
        _check("box_xyxy", self.box_xyxy, shape=(4,), dtype=np.float32)


@dataclass(frozen=True)
class Turn:
    """One earlier question of a dialogue and the answer given to it, in the grounder's own words."""

    question: str
    answer: str


@dataclass(frozen=True, eq=False)
class GroundingRequest:
    """The question: where in `frame` is what `targets` mean? All targets share one expression's dialogue."""

    targets: tuple[Target, ...]
    frame: RgbdFrame
    reason: RegroundReason
    history: tuple[Turn, ...] = ()
    tracks: tuple[LiveTrack, ...] = ()
    kind: str = "ground"  # or "verify": the frame is cut out around what an earlier answer named

    @property
    def expression(self) -> str:
        """The phrase to ground: that of the first target."""
        return self.targets[0].expression


@dataclass(frozen=True, eq=False)
class GroundingItem:
    """One region the grounder names, in pixels of the original image; exactly one kind of geometry is set."""

    label: str
    score: float | None = None  # in [0, 1]; None = the grounder gives none
    box_xyxy: Array | None = None  # (4,) float32
    points_xy: Array | None = None  # (N, 2) float32, all inside the object
    mask: Array | None = None  # (H, W) bool
    embedding: Array | None = None  # (N, C) float32 prompt tokens for SAM 2's mask decoder

    def __post_init__(self) -> None:
        kinds = [g for g in (self.box_xyxy, self.points_xy, self.mask, self.embedding) if g is not None]
        if len(kinds) != 1:
            raise ValueError(f"grounding item {self.label!r}: {len(kinds)} geometries, exactly one is needed")
        if self.box_xyxy is not None:
            _check("box_xyxy", self.box_xyxy, shape=(4,), dtype=np.float32)
        if self.points_xy is not None:
            _check("points_xy", self.points_xy, shape=(None, 2), dtype=np.float32)
        if self.mask is not None:
            _check("mask", self.mask, shape=(None, None), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Grounding:
    """The answer: regions, or nothing matches (`items` empty and `nothing_reason` set)."""

    request: GroundingRequest
    items: tuple[GroundingItem, ...]
    nothing_reason: str | None = None
    raw: str = ""  # the grounder's own words
    notes: tuple[str, ...] = ()  # what the reply parser had to repair
    nothing_score: float | None = None  # in [0, 1], how sure it is that nothing matches; None = it does not say
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        if bool(self.items) == (self.nothing_reason is not None):
            raise ValueError("a grounding has items or a reason why nothing matches, not both and not neither")


@dataclass(frozen=True, eq=False)
class Prompt:
    """A region given to the tracker for one object on one (present or past) frame. Exactly one geometry is set.

    A prompt replaces what the tracker remembers of the object; with `refine` it corrects it: the memory of the frames
    before, and the mask the object had in this one, are taken into account. With `overrules` whoever prompts is sure
    that the track followed something else there: then it wins even when its own object is hidden by now.
    """

    object_id: str
    stamp_ns: int
    box_xyxy: Array | None = None  # (4,) float32
    points_xy: Array | None = None  # (N, 2) float32
    point_labels: Array | None = None  # (N,) int32, 1 = inside, 0 = outside
    mask: Array | None = None  # (H, W) bool
    embedding: Array | None = None  # (N, C) float32, tokens for the mask decoder (what a [SEG] token is projected to)
    refine: bool = False
    overrules: bool = False

    def __post_init__(self) -> None:
        kinds = [g for g in (self.box_xyxy, self.points_xy, self.mask, self.embedding) if g is not None]
        if len(kinds) != 1:
            raise ValueError(f"prompt for {self.object_id!r}: {len(kinds)} geometries, exactly one is needed")
        if (self.points_xy is None) != (self.point_labels is None):
            raise ValueError(f"prompt for {self.object_id!r}: points and labels come together")


@dataclass(frozen=True)
class TrackHealth:
    """How one object's track is doing in one frame, beyond its scores. Ratios are 1 where all is well."""

    stability: float  # area with the threshold raised / lowered a little, in [0, 1] (mask_decoder.py)
    area_ratio: float  # area / median area of its last seen frames; 0 when it is not seen
    alternative_iou: float  # IoU of its box with and without the decoder's best other mask; low = look-alike (DAM4SAM)
    overlap: float  # largest IoU of its mask with another object's mask, 0 = alone
    scene_cut: float  # how much the whole picture changed since the last frame, 0 to 1 (color histogram distance)


@dataclass(frozen=True, eq=False)
class TrackedMask:
    """Where one object is in one frame, according to the tracker."""

    object_id: str
    mask: Array  # (H, W) bool, all False when the object is not seen
    score: float  # in [0, 1]: sigmoid(object score) * predicted IoU
    predicted_iou: float  # in [0, 1]
    object_score: float  # logit; <= 0 means "not in view" (sam2_base.py)
    health: TrackHealth | None = None

    def __post_init__(self) -> None:
        _check("mask", self.mask, shape=(None, None), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box around an object, centred on it; its axes are the object's axes."""

    camera_from_object: Array  # (4, 4) float64, rigid, right-handed
    size_m: Array  # (3,) float64, along the object's x, y, z
    point_count: int
    orientation_known: bool = True  # False when the axes are a convention (round objects, one face seen)

    def __post_init__(self) -> None:
        _check("camera_from_object", self.camera_from_object, shape=(4, 4), dtype=np.float64)
        _check("size_m", self.size_m, shape=(3,), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class ObjectCloud:
    """The cleaned points of one object in the camera's optical frame, with their colors."""

    points_m: Array  # (N, 3) float32
    rgb: Array  # (N, 3) uint8

    def __post_init__(self) -> None:
        _check("points_m", self.points_m, shape=(None, 3), dtype=np.float32)
        _check("rgb", self.rgb, shape=(len(self.points_m), 3), dtype=np.uint8)


@dataclass(frozen=True)
class PoseQuality:
    """Where a pose comes from, for planners that want to know before they trust it."""

    source: str  # box: this frame alone | registered: this frame laid on earlier ones | model: a CAD model | predicted
    motion: str = "unknown"  # static | moving | unknown, in the fixed frame where one is known, else to the camera
    residual_m: float | None = None  # RMS distance of the points from the shape they were laid on; None: on nothing
    unobserved: tuple[bool, bool, bool] = (False, False, False)  # along the box's x, y, z: a face was never seen
    born_stamp_ns: int | None = None  # the first frame of this track of poses
    measured_stamp_ns: int | None = None  # the newest frame whose depth counted; older than the frame: predicted


@dataclass(frozen=True, eq=False)
class ObjectPose:
    """What geometry makes of one mask and depth: box, cloud, and how sure it is."""

    box: OrientedBox
    covariance: Array  # (6, 6) float64: x, y, z [m], rotations about the camera's fixed x, y, z [rad] (ROS order)
    cloud: ObjectCloud
    quality: PoseQuality = PoseQuality("box")

    def __post_init__(self) -> None:
        _check("covariance", self.covariance, shape=(6, 6), dtype=np.float64)


@dataclass(frozen=True)
class Provenance:
    """Who or what made a track what it is."""

    by: str  # grounder | box | user
    why: str  # the reason to ask (RegroundReason.value), or what the user did
    stamp_ns: int  # the frame it is about; of the user's words: the newest frame then
    instruction_id: int  # counts the instructions given; 0 = none


@dataclass(frozen=True)
class Candidate:
    """One of several objects that an instruction meant for one may mean."""

    object_id: str
    words: str  # what to call it among them, e.g. "left one"


@dataclass(frozen=True, eq=False)
class TrackedObject:
    """One target, everything known about it in this frame."""

    target: Target
    label: str
    state: TrackState
    mask: TrackedMask | None = None
    pose: ObjectPose | None = None  # None: no depth, too few points, or not seen
    grounded_stamp_ns: int | None = None  # the frame the newest applied grounding is about
    verified_stamp_ns: int | None = None  # the newest frame at which the grounder agreed with the track
    reason: str = ""  # for people: why it is in this state
    candidates: tuple[Candidate, ...] = ()  # itself among them, while it is not clear which one is meant
    created: Provenance | None = None
    changed: Provenance | None = None  # the newest change of where it is or what it means
    grounding_score: float | None = None  # in [0, 1]: how sure the newest applied grounding is, all evidence together


@dataclass(frozen=True)
class GroundingEvent:
    """One question to the grounder and what became of it."""

    stamp_ns: int  # the frame asked about
    answered_stamp_ns: int  # the frame during which the answer was taken
    expression: str
    reason: RegroundReason
    latency_s: float
    outcome: str  # found | corrected | confirmed | ambiguous | conflict | unsure | nothing | failed | discarded
    detail: str = ""  # the grounder's words or the failure
    boxes_xyxy: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True)
class GrounderHealth:
    """How whatever runs the grounder is doing, for people."""

    state: str  # starting | ready | answering | restarting | refused
    note: str = ""  # what it found when it started, or why it is not ready
    restarts: int = 0  # since the start


@dataclass(frozen=True, eq=False)
class FrameResult:
    """The answer for one frame."""

    stamp_ns: int
    camera_frame: str
    objects: tuple[TrackedObject, ...]
    timings_s: Mapping[str, float] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)  # running totals since the start
    groundings: tuple[GroundingEvent, ...] = ()  # finished during this frame
    output_frame: str = ""  # where poses are to be given; "" = the camera's own frame
    output_from_camera: Array | None = None  # (4, 4) float64; None with an output_frame = not available at the stamp
    output_covariance: Array | None = None  # (6, 6) how unsure that is, ROS order, about the camera; None = exact
    grounder: GrounderHealth | None = None  # None in replay, where nothing runs beside the frames
