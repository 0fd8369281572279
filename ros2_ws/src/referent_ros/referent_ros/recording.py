"""What the client heard, put together by stamp and written down as a recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Pose
from referent_msgs.msg import GroundingEvent as GroundingEventMessage
from referent_msgs.msg import PoseQuality as PoseQualityMessage
from referent_msgs.msg import Provenance as ProvenanceMessage
from referent_msgs.msg import TrackedObject as TrackedObjectMessage
from referent_msgs.msg import TrackedObjectArray
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection3D, Detection3DArray

from referent.evaluation.lines import DECIMALS, Line, bbox_of, mask_to_rle, rounded
from referent.evaluation.recorder import Recorder
from referent.evaluation.report import write_report
from referent.geometry.poses import rigid, rotation_from_quaternion
from referent.messages import rgb_from_image, stamp_ns
from referent.types import Array, GroundingEvent, Intrinsics, Provenance, RegroundReason
from referent_ros.result_messages import STATES

STATE_NAMES = {constant: state.value for state, constant in STATES.items()}
RESULT = frozenset({"tracks", "masks"})
TRUTH = frozenset({"true_ids", "true_objects", "true_camera"})
PENDING = 64  # stamps of which something was heard and something is missing
MAX_PICTURES = 1200  # about 1 GB of 640x480 color


@dataclass(frozen=True, eq=False)
class Heard:
    """Everything heard about one processed frame."""

    line: Line
    groundings: tuple[GroundingEvent, ...]
    picture: Image | None
    truth: Line | None


class Gathering:
    """Collects messages by stamp; a frame is complete when the node's result, picture and truth are there."""

    def __init__(self, *, with_truth: bool) -> None:
        self._wanted = RESULT | {"color"} | (TRUTH if with_truth else frozenset())
        self._pending: dict[int, dict[str, Any]] = {}
        self._pictures = 0
        self.frames: dict[int, Heard] = {}
        self.counts: Counter[str] = Counter()

    def add(self, stamp: int, kind: str, item: Any) -> None:
        """Take one message of a kind about the frame at `stamp`."""
        parts = self._pending.setdefault(stamp, {})
        parts[kind] = item
        if self._wanted <= parts.keys():
            self._finish(stamp)
        while len(self._pending) > PENDING:
            self._finish(min(self._pending))

    def finish(self) -> None:
        """Nothing more will come: keep what can be used of the incomplete."""
        for stamp in sorted(self._pending):
            self._finish(stamp)

    def _finish(self, stamp: int) -> None:
        parts = self._pending.pop(stamp)
        if not parts.keys() >= RESULT:
            self.counts["not_answered" if "color" in parts else "incomplete"] += 1
            return
        picture = parts.get("color") if self._pictures < MAX_PICTURES else None
        self._pictures += picture is not None
        labels = label_array(parts["masks"])
        tracks = parts["tracks"]
        groundings = tuple(_grounding(event) for event in tracks.groundings)
        self.frames[stamp] = Heard(result_line(tracks, labels), groundings, picture, _truth(parts))


def label_array(message: Image) -> Array:
    """The label image as (H, W) integers."""
    kind = np.uint8 if message.encoding == "mono8" else np.uint16
    return np.frombuffer(message.data, kind).reshape(message.height, message.width)


def result_line(tracks: TrackedObjectArray, labels: Array) -> Line:
    """One line of results.jsonl."""
    return {
        "stamp_ns": stamp_ns(tracks.header),
        "camera_frame": tracks.header.frame_id,
        "objects": [_object_line(each, labels) for each in tracks.objects],
        "timings_s": dict(zip(tracks.timing_names, rounded(np.array(tracks.timings_s)), strict=True)),
        "drops": dict(zip(tracks.drop_names, (int(count) for count in tracks.drop_counts), strict=True)),
    }


def _object_line(tracked: TrackedObjectMessage, labels: Array) -> Line:
    mask = labels == tracked.mask_value
    line = {
        "id": tracked.id,
        "expression": tracked.expression,
        "label": tracked.label,
        "role": tracked.role,
        "state": STATE_NAMES[tracked.state],
        "score": round(tracked.score, DECIMALS) if tracked.has_score else None,
        "bbox_xyxy": bbox_of(mask),
        "mask_rle": mask_to_rle(mask) if mask.any() else None,
        "pose": _pose_line(tracked) if tracked.has_pose else None,
        "grounded_stamp_ns": _time_ns(tracked.grounded_stamp) if tracked.has_grounded_stamp else None,
        "verified_stamp_ns": _time_ns(tracked.verified_stamp) if tracked.has_verified_stamp else None,
        "reason": tracked.reason,
    }
    return line | _history_line(tracked)


def _history_line(tracked: TrackedObjectMessage) -> Line:
    known: Line = {}
    if tracked.has_grounding_score:
        known["grounding_score"] = round(tracked.grounding_score, DECIMALS)
    if tracked.has_created and tracked.has_changed:
        sources = {"created": tracked.created, "changed": tracked.changed}
        known["provenance"] = {name: asdict(_provenance(source)) for name, source in sources.items()}
    if tracked.candidates:
        known["candidates"] = [{"id": one.id, "words": one.words} for one in tracked.candidates]
    return known


def _provenance(message: ProvenanceMessage) -> Provenance:
    return Provenance(message.by, message.why, _time_ns(message.stamp), message.instruction_id)


def _pose_line(tracked: TrackedObjectMessage) -> Line:
    position, turn, size = tracked.pose.pose.position, tracked.pose.pose.orientation, tracked.size
    return {
        "frame": tracked.pose_frame,
        "position_m": rounded(np.array([position.x, position.y, position.z])),
        "quaternion_xyzw": rounded(np.array([turn.x, turn.y, turn.z, turn.w])),
        "size_m": rounded(np.array([size.x, size.y, size.z])),
        "covariance": [float(f"{value:.6g}") for value in tracked.pose.covariance],
        "orientation_known": tracked.orientation_known,
        "quality": _quality_line(tracked.pose_quality),
    }


def _quality_line(quality: PoseQualityMessage) -> Line:
    return {
        "source": quality.source,
        "motion": quality.motion,
        "residual_m": round(quality.residual_m, DECIMALS) if quality.has_residual else None,
        "points": quality.points,
        "unobserved": [bool(side) for side in quality.unobserved],
        "born_stamp_ns": _time_ns(quality.born_stamp) if quality.has_born_stamp else None,
        "age_s": round(_time_ns(quality.age) * 1e-9, DECIMALS) if quality.has_born_stamp else None,
        "measured_stamp_ns": _time_ns(quality.measured_stamp) if quality.has_measured_stamp else None,
    }


def _time_ns(time: Time | Duration) -> int:
    return time.sec * 1_000_000_000 + time.nanosec


def _grounding(message: GroundingEventMessage) -> GroundingEvent:
    boxes = np.array(message.boxes_xyxy, np.float64).reshape(-1, 4)
    return GroundingEvent(
        stamp_ns=_time_ns(message.stamp),
        answered_stamp_ns=_time_ns(message.answered_stamp),
        expression=message.expression,
        reason=RegroundReason(message.reason),
        latency_s=message.latency_s,
        outcome=message.outcome,
        detail=message.detail,
        boxes_xyxy=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in boxes),
    )


def _truth(parts: Mapping[str, Any]) -> Line | None:
    if not parts.keys() >= TRUTH:
        return None
    return truth_line(parts["true_objects"], label_array(parts["true_ids"]), parts["true_camera"].pose)


def truth_line(objects: Detection3DArray, instance_ids: Array, camera: Pose) -> Line:
    """One line of truth.jsonl; `camera` is the optical frame's pose in the world."""
    position, turn = camera.position, camera.orientation
    rotation = rotation_from_quaternion(np.array([turn.x, turn.y, turn.z, turn.w]))
    return {
        "stamp_ns": stamp_ns(objects.header),
        "world_from_camera": rounded(rigid(rotation, np.array([position.x, position.y, position.z]))),
        "objects": [_true_object_line(each, instance_ids) for each in objects.detections],
    }


def _true_object_line(known: Detection3D, instance_ids: Array) -> Line:
    hypothesis, box = known.results[0].hypothesis, known.bbox
    position, turn = box.center.position, box.center.orientation
    color, _, category = hypothesis.class_id.partition(" ")
    mask = instance_ids == int(known.id)
    return {
        "instance_id": int(known.id),
        "description": hypothesis.class_id,
        "category": category,
        "color": color,
        "visible_fraction": round(hypothesis.score, 6),
        "bbox_xyxy": bbox_of(mask),
        "mask_rle": mask_to_rle(mask) if mask.any() else None,
        "position_m": rounded(np.array([position.x, position.y, position.z])),
        "quaternion_xyzw": rounded(np.array([turn.x, turn.y, turn.z, turn.w])),
        "size_m": rounded(np.array([box.size.x, box.size.y, box.size.z])),
    }


def write_recording(
    directory: Path, frames: Mapping[int, Heard], camera: Intrinsics | None, *, fields: Mapping[str, Any]
) -> Line:
    """Write the folder that `referent demo` promises, in order of time; returns the summary."""
    stamps = sorted(frames)
    seconds = max((stamps[-1] - stamps[0]) / 1e9, 1e-3)
    fps = max((len(stamps) - 1) / seconds, 1.0)
    with Recorder(directory, fps=fps) as recorder:
        for stamp in stamps:
            _write_frame(recorder, frames[stamp], camera)
        summary = recorder.close(wall_s=round(seconds, 3), fps=round(fps, 3), **fields)
    write_report(directory)
    return summary


def _write_frame(recorder: Recorder, heard: Heard, camera: Intrinsics | None) -> None:
    in_camera = all(
        each["pose"] is None or each["pose"]["frame"] == heard.line["camera_frame"] for each in heard.line["objects"]
    )
    rgb = None if heard.picture is None else rgb_from_image(heard.picture)
    recorder.write(heard.line, rgb, heard.groundings, camera=camera if in_camera else None)
    if heard.truth is not None:
        recorder.write_truth(heard.truth)
