"""The lines of results.jsonl and truth.jsonl: plain JSON values made from the library's types, and masks read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from pycocotools import mask as coco

from referent.geometry.poses import quaternion_xyzw, transform_pose
from referent.grounding.boxes import mask_box_xyxy
from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.types import Array, FrameResult, GroundingEvent, ObjectPose, OrientedBox, TrackedObject, TrackHealth

Line = dict[str, Any]

DECIMALS = 6  # micrometres, microradians: below every sensor, above float noise


def mask_to_rle(mask: Array) -> Line:
    """An (H, W) bool mask as COCO compressed run-length encoding: {"size": [H, W], "counts": str}."""
    encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def mask_from_rle(rle: Mapping[str, Any]) -> Array:
    """The (H, W) bool mask of a COCO run-length encoding."""
    return coco.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")}).astype(bool)


def bbox_of(mask: Array) -> list[int] | None:
    """Tight box [x1, y1, x2, y2] of an (H, W) bool mask, x2/y2 exclusive; None when it is empty."""
    box = mask_box_xyxy(mask)
    return None if box is None else [int(value) for value in box]


def rounded(values: Array) -> list[Any]:
    """An array as nested lists of floats with a fixed number of decimals and no negative zero."""
    exact: list[Any] = (np.round(np.asarray(values, np.float64), DECIMALS) + 0.0).tolist()
    return exact


def result_line(result: FrameResult) -> Line:
    """One line of results.jsonl. Poses are given in `result.output_frame` where the transform is known."""
    return {
        "stamp_ns": result.stamp_ns,
        "camera_frame": result.camera_frame,
        "objects": [_object_line(tracked, result) for tracked in result.objects],
        "timings_s": {name: round(float(value), DECIMALS) for name, value in result.timings_s.items()},
        "drops": {name: int(count) for name, count in result.drops.items()},
    }


def _object_line(tracked: TrackedObject, result: FrameResult) -> Line:
    mask = None if tracked.mask is None or not tracked.mask.mask.any() else tracked.mask.mask
    health = None if tracked.mask is None else tracked.mask.health
    line = {
        "id": tracked.target.id,
        "expression": tracked.target.expression,
        "label": tracked.label,
        "role": tracked.target.role,
        "state": tracked.state.value,
        "score": None if tracked.mask is None else round(float(tracked.mask.score), DECIMALS),
        "bbox_xyxy": None if mask is None else bbox_of(mask),
        "mask_rle": None if mask is None else mask_to_rle(mask),
        "pose": _pose_of(tracked, result),
        "grounded_stamp_ns": tracked.grounded_stamp_ns,
        "verified_stamp_ns": tracked.verified_stamp_ns,
        "reason": tracked.reason,
    }
    if health is not None:
        line["health"] = _health_line(health)
    return line | _history_line(tracked)


def _history_line(tracked: TrackedObject) -> Line:
    """Where a track comes from and whether it is clear that it is meant, as far as that is known."""
    known: Line = {}
    if tracked.grounding_score is not None:
        known["grounding_score"] = round(float(tracked.grounding_score), DECIMALS)
    if tracked.created is not None and tracked.changed is not None:
        known["provenance"] = {"created": asdict(tracked.created), "changed": asdict(tracked.changed)}
    if tracked.candidates:
        known["candidates"] = [{"id": one.object_id, "words": one.words} for one in tracked.candidates]
    return known


def _health_line(health: TrackHealth) -> Line:
    return {name: round(float(value), DECIMALS) for name, value in asdict(health).items()}


def _pose_of(tracked: TrackedObject, result: FrameResult) -> Line | None:
    """The object's pose in the frame poses are to be given in; None when either is not known."""
    if tracked.pose is None:
        return None
    box, covariance = tracked.pose.box, tracked.pose.covariance
    quality = {"quality": quality_line(tracked.pose, result.stamp_ns)}
    if not result.output_frame or result.output_frame == result.camera_frame:
        return pose_line(result.camera_frame, box.camera_from_object, covariance, box) | quality
    if result.output_from_camera is None:
        return None
    moved, moved_covariance = transform_pose(
        result.output_from_camera, box.camera_from_object, covariance, a_from_b_covariance=result.output_covariance
    )
    return pose_line(result.output_frame, moved, moved_covariance, box) | quality


def pose_line(frame: str, frame_from_object: Array, covariance: Array, box: OrientedBox) -> Line:
    """A pose: (4, 4) transform, (6, 6) covariance in ROS order (x, y, z, rotations about the frame's axes)."""
    return {
        "frame": frame,
        "position_m": rounded(frame_from_object[:3, 3]),
        "quaternion_xyzw": rounded(quaternion_xyzw(frame_from_object[:3, :3])),
        "size_m": rounded(box.size_m),
        # A variance may be far below a rounded micrometre: keep digits instead of decimals.
        "covariance": [float(f"{value:.6g}") + 0.0 for value in np.asarray(covariance).ravel()],
        "orientation_known": bool(box.orientation_known),
    }


def quality_line(pose: ObjectPose, stamp_ns: int) -> Line:
    """What stands behind a pose of the frame at `stamp_ns`; `unobserved` is along the box's x, y, z."""
    quality = pose.quality
    born_ns = quality.born_stamp_ns
    return {
        "source": quality.source,
        "motion": quality.motion,
        "residual_m": None if quality.residual_m is None else round(float(quality.residual_m), DECIMALS),
        "points": int(pose.box.point_count),
        "unobserved": [bool(side) for side in quality.unobserved],
        "born_stamp_ns": born_ns,
        "age_s": None if born_ns is None else round((stamp_ns - born_ns) * 1e-9, DECIMALS),
        "measured_stamp_ns": quality.measured_stamp_ns,
    }


def truth_line(stamp_ns: int, truth: FrameTruth) -> Line:
    """One line of truth.jsonl: every object of the scene, in the camera's optical frame, seen or not."""
    return {
        "stamp_ns": stamp_ns,
        "world_from_camera": rounded(truth.world_from_camera),
        "objects": [_object_truth_line(known, truth.instance_ids) for known in truth.objects],
    }


def _object_truth_line(known: ObjectTruth, instance_ids: Array) -> Line:
    seen = known.visible_px > 0
    return {
        "instance_id": known.instance_id,
        "description": f"{known.color} {known.category}".strip(),
        "category": known.category,
        "color": known.color,
        "material": known.material,
        "size_word": known.size_word,
        "visible_fraction": round(known.visible_px / known.amodal_px, DECIMALS) if known.amodal_px else 0.0,
        "in_view_fraction": round(known.in_view_fraction, DECIMALS),
        "bbox_xyxy": rounded(known.box_xyxy) if known.box_xyxy is not None else None,
        "parts_xyxy": {name: rounded(box) for name, box in known.parts_xyxy.items()},
        "mask_rle": mask_to_rle(instance_ids == known.instance_id) if seen else None,
        "position_m": rounded(known.camera_from_object[:3, 3]),
        "quaternion_xyzw": rounded(quaternion_xyzw(known.camera_from_object[:3, :3])),
        "size_m": rounded(known.size_m),
    }


def grounding_line(event: GroundingEvent) -> Line:
    """One entry of `groundings` in summary.json."""
    return {
        "stamp_ns": event.stamp_ns,
        "answered_stamp_ns": event.answered_stamp_ns,
        "expression": event.expression,
        "reason": event.reason.value,
        "latency_s": round(event.latency_s, DECIMALS),
        "outcome": event.outcome,
        "detail": event.detail,
        "boxes_xyxy": [rounded(np.asarray(box)) for box in event.boxes_xyxy],
    }
