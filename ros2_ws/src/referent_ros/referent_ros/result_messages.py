"""Results as ROS messages: pure functions, no node."""

from __future__ import annotations

import array
from collections.abc import Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Pose, PoseStamped, PoseWithCovariance, TransformStamped, Vector3
from referent_msgs.msg import Candidate as CandidateMessage
from referent_msgs.msg import GroundingEvent as GroundingEventMessage
from referent_msgs.msg import PoseQuality as PoseQualityMessage
from referent_msgs.msg import Provenance as ProvenanceMessage
from referent_msgs.msg import TrackedObject as TrackedObjectMessage
from referent_msgs.msg import TrackedObjectArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import (
    BoundingBox2D,
    BoundingBox3D,
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    LabelInfo,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    Point2D,
    Pose2D,
    VisionClass,
)

from referent.evaluation.lines import bbox_of
from referent.geometry.poses import quaternion_xyzw, transform_pose
from referent.types import (
    Array,
    Candidate,
    FrameResult,
    GroundingEvent,
    ObjectPose,
    Provenance,
    TrackedObject,
    TrackState,
)
from referent_ros.label_values import LARGEST_8_BIT

STATES = {state: getattr(TrackedObjectMessage, state.name) for state in TrackState}

_ENCODINGS = {("uint8", 2): "mono8", ("uint16", 2): "16UC1", ("uint8", 3): "rgb8"}


def time_from_ns(stamp_ns: int) -> Time:
    """Nanoseconds as a ROS time."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def header_of(result: FrameResult, frame: str | None = None) -> Header:
    """The header of the image a result is about, in its own or another coordinate frame."""
    return Header(stamp=time_from_ns(result.stamp_ns), frame_id=result.camera_frame if frame is None else frame)


def output_frame(result: FrameResult) -> str:
    """The coordinate frame poses are given in."""
    return result.output_frame or result.camera_frame


def located(tracked: TrackedObject, result: FrameResult) -> PoseWithCovariance | None:
    """The pose of an object in the output frame; None when it, or the way to that frame, is not known."""
    if tracked.pose is None:
        return None
    frame_from_object, covariance = tracked.pose.box.camera_from_object, tracked.pose.covariance
    if output_frame(result) != result.camera_frame:
        if result.output_from_camera is None:
            return None
        frame_from_object, covariance = transform_pose(
            result.output_from_camera, frame_from_object, covariance, a_from_b_covariance=result.output_covariance
        )
    return PoseWithCovariance(pose=pose_message(frame_from_object), covariance=covariance.ravel())


def pose_message(frame_from_object: Array) -> Pose:
    """A (4, 4) rigid transform as a pose."""
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = frame_from_object[:3, 3].tolist()
    x, y, z, w = quaternion_xyzw(frame_from_object).tolist()
    pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w = x, y, z, w
    return pose


def seen(tracked: TrackedObject) -> bool:
    """Whether any pixel of the object is seen."""
    return tracked.mask is not None and bool(tracked.mask.mask.any())


def label_array(objects: Sequence[TrackedObject], values: Mapping[str, int], shape: tuple[int, int]) -> Array:
    """(H, W) label image, uint8 or uint16, 0 = background; where masks overlap the better score wins."""
    kind = np.uint8 if max(values.values(), default=0) <= LARGEST_8_BIT else np.uint16
    labels = np.zeros(shape, kind)
    for tracked in sorted(objects, key=lambda each: 0.0 if each.mask is None else each.mask.score):
        if tracked.mask is not None:
            labels[tracked.mask.mask] = values[tracked.target.id]
    return labels


def image_message(header: Header, pixels: Array) -> Image:
    """An (H, W) uint8 or uint16 array as a mono8 or 16UC1 image, an (H, W, 3) uint8 one as rgb8."""
    pixels = np.ascontiguousarray(pixels)
    encoding = _ENCODINGS[pixels.dtype.name, pixels.ndim]
    height, width = pixels.shape[:2]
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        step=pixels.strides[0],
        data=array.array("B", pixels.tobytes()),
    )


def label_info_message(result: FrameResult, values: Mapping[str, int]) -> LabelInfo:
    """What each pixel value of the label image is called."""
    classes = [
        VisionClass(class_id=values[each.target.id], class_name=each.label or each.target.expression)
        for each in result.objects
    ]
    return LabelInfo(header=header_of(result), class_map=classes)


def detections_message(result: FrameResult) -> Detection2DArray:
    """The boxes of what is seen, in the picture."""
    return Detection2DArray(
        header=header_of(result), detections=[_detection(each, result) for each in result.objects if seen(each)]
    )


def _detection(tracked: TrackedObject, result: FrameResult) -> Detection2D:
    assert tracked.mask is not None
    x1, y1, x2, y2 = bbox_of(tracked.mask.mask) or (0, 0, 0, 0)
    center = Pose2D(position=Point2D(x=(x1 + x2) / 2, y=(y1 + y2) / 2))
    return Detection2D(
        header=header_of(result),
        results=[ObjectHypothesisWithPose(hypothesis=_hypothesis(tracked))],
        bbox=BoundingBox2D(center=center, size_x=float(x2 - x1), size_y=float(y2 - y1)),
        id=tracked.target.id,
    )


def _hypothesis(tracked: TrackedObject) -> ObjectHypothesis:
    score = 0.0 if tracked.mask is None else float(tracked.mask.score)
    return ObjectHypothesis(class_id=tracked.label or tracked.target.expression, score=score)


def objects_message(result: FrameResult) -> Detection3DArray:
    """The boxes of what is located, in the output frame."""
    header = header_of(result, output_frame(result))
    poses = [(each, located(each, result)) for each in result.objects]
    detections = [_detection_3d(each, pose, header) for each, pose in poses if pose is not None]
    return Detection3DArray(header=header, detections=detections)


def _detection_3d(tracked: TrackedObject, pose: PoseWithCovariance, header: Header) -> Detection3D:
    return Detection3D(
        header=header,
        results=[ObjectHypothesisWithPose(hypothesis=_hypothesis(tracked), pose=pose)],
        bbox=BoundingBox3D(center=pose.pose, size=size_message(tracked)),
        id=tracked.target.id,
    )


def size_message(tracked: TrackedObject) -> Vector3:
    """Full side lengths of a located object, in metres."""
    assert tracked.pose is not None
    x, y, z = tracked.pose.box.size_m.tolist()
    return Vector3(x=x, y=y, z=z)


def tracks_message(result: FrameResult, values: Mapping[str, int]) -> TrackedObjectArray:
    """Everything known about every target."""
    return TrackedObjectArray(
        header=header_of(result),
        objects=[_track(each, result, values[each.target.id]) for each in result.objects],
        groundings=[_grounding(event) for event in result.groundings],
        timing_names=list(result.timings_s),
        timings_s=[float(value) for value in result.timings_s.values()],
        drop_names=list(result.drops),
        drop_counts=list(result.drops.values()),
    )


def _track(tracked: TrackedObject, result: FrameResult, mask_value: int) -> TrackedObjectMessage:
    message = TrackedObjectMessage(
        id=tracked.target.id,
        expression=tracked.target.expression,
        label=tracked.label,
        role=tracked.target.role,
        state=STATES[tracked.state],
        reason=tracked.reason,
        mask_value=mask_value,
    )
    _set_mask(message, tracked)
    _set_pose(message, tracked, result)
    if tracked.grounded_stamp_ns is not None:
        message.has_grounded_stamp, message.grounded_stamp = True, time_from_ns(tracked.grounded_stamp_ns)
    if tracked.verified_stamp_ns is not None:
        message.has_verified_stamp, message.verified_stamp = True, time_from_ns(tracked.verified_stamp_ns)
    if tracked.grounding_score is not None:
        message.has_grounding_score, message.grounding_score = True, float(tracked.grounding_score)
    message.candidates = [_candidate(each, result) for each in tracked.candidates]
    _set_provenance(message, tracked)
    return message


def _candidate(candidate: Candidate, result: FrameResult) -> CandidateMessage:
    message = CandidateMessage(id=candidate.object_id, words=candidate.words)
    masks = [each.mask.mask for each in result.objects if each.target.id == candidate.object_id and each.mask]
    box = bbox_of(masks[0]) if masks else None
    if box is not None:
        message.has_bbox, message.bbox_xyxy = True, np.array(box, np.float64)
    return message


def _set_provenance(message: TrackedObjectMessage, tracked: TrackedObject) -> None:
    if tracked.created is not None:
        message.has_created, message.created = True, _provenance(tracked.created)
    if tracked.changed is not None:
        message.has_changed, message.changed = True, _provenance(tracked.changed)


def _provenance(source: Provenance) -> ProvenanceMessage:
    stamp, instruction_id = time_from_ns(source.stamp_ns), source.instruction_id
    return ProvenanceMessage(by=source.by, why=source.why, stamp=stamp, instruction_id=instruction_id)


def _set_mask(message: TrackedObjectMessage, tracked: TrackedObject) -> None:
    if tracked.mask is None:
        return
    message.has_score, message.score = True, float(tracked.mask.score)
    message.object_score = float(tracked.mask.object_score)
    box = bbox_of(tracked.mask.mask)
    if box is not None:
        message.has_bbox, message.bbox_xyxy = True, np.array(box, np.float64)


def _set_pose(message: TrackedObjectMessage, tracked: TrackedObject, result: FrameResult) -> None:
    pose = located(tracked, result)
    if pose is None or tracked.pose is None:
        return
    message.has_pose, message.pose, message.pose_frame = True, pose, output_frame(result)
    message.size = size_message(tracked)
    message.orientation_known = tracked.pose.box.orientation_known
    message.pose_quality = _pose_quality(tracked.pose, result.stamp_ns)


def _pose_quality(pose: ObjectPose, stamp_ns: int) -> PoseQualityMessage:
    quality = pose.quality
    message = PoseQualityMessage(
        source=quality.source, motion=quality.motion, points=pose.box.point_count, unobserved=quality.unobserved
    )
    if quality.residual_m is not None:
        message.has_residual, message.residual_m = True, float(quality.residual_m)
    if quality.born_stamp_ns is not None:
        message.has_born_stamp, message.born_stamp = True, time_from_ns(quality.born_stamp_ns)
        seconds, nanoseconds = divmod(stamp_ns - quality.born_stamp_ns, 1_000_000_000)
        message.age = Duration(sec=seconds, nanosec=nanoseconds)
    if quality.measured_stamp_ns is not None:
        message.has_measured_stamp, message.measured_stamp = True, time_from_ns(quality.measured_stamp_ns)
    return message


def _grounding(event: GroundingEvent) -> GroundingEventMessage:
    return GroundingEventMessage(
        stamp=time_from_ns(event.stamp_ns),
        answered_stamp=time_from_ns(event.answered_stamp_ns),
        expression=event.expression,
        reason=event.reason.value,
        latency_s=float(event.latency_s),
        outcome=event.outcome,
        detail=event.detail,
        boxes_xyxy=[float(value) for box in event.boxes_xyxy for value in box],
    )


def transforms_message(result: FrameResult) -> TFMessage:
    """One transform `object_<id>` per located object, below the output frame."""
    poses = [(each.target.id, located(each, result)) for each in result.objects]
    return TFMessage(transforms=[_transform(name, pose.pose, result) for name, pose in poses if pose is not None])


def _transform(object_id: str, pose: Pose, result: FrameResult) -> TransformStamped:
    message = TransformStamped(header=header_of(result, output_frame(result)), child_frame_id=f"object_{object_id}")
    position, translation = pose.position, message.transform.translation
    translation.x, translation.y, translation.z = position.x, position.y, position.z
    message.transform.rotation = pose.orientation
    return message


def pose_stamped_message(tracked: TrackedObject, result: FrameResult) -> PoseStamped | None:
    """The pose of one object in the output frame, if it is known."""
    pose = located(tracked, result)
    return None if pose is None else PoseStamped(header=header_of(result, output_frame(result)), pose=pose.pose)
