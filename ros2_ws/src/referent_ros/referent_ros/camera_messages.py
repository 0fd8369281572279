"""Frames and their ground truth as the messages a camera driver sends."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseWithCovariance, TransformStamped, Vector3
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import (
    BoundingBox3D,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)

from referent.geometry.poses import quaternion_xyzw
from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.types import Array, Intrinsics
from referent_ros.result_messages import pose_message

# REP-103: the link looks along x with z up, the optical frame along z with y down.
LINK_FROM_OPTICAL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def rgb_message(header: Header, rgb: Array) -> Image:
    """An (H, W, 3) uint8 picture."""
    height, width, channels = rgb.shape
    return Image(
        header=header, height=height, width=width, encoding="rgb8", step=width * channels, data=_bytes(rgb)
    )  # fmt: skip


def depth_message(header: Header, depth_m: Array) -> Image:
    """(H, W) metres as the millimetres of REP-118, 0 = unknown."""
    height, width = depth_m.shape
    counts = np.nan_to_num(np.round(depth_m * 1000)).clip(0, 65534).astype("<u2")
    return Image(header=header, height=height, width=width, encoding="16UC1", step=width * 2, data=_bytes(counts))


def camera_info_message(header: Header, camera: Intrinsics) -> CameraInfo:
    """A rectified camera without distortion."""
    k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=k,
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[*k[0:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0],
    )


def transform_message(stamp: Time, parent: str, child: str, parent_from_child: Array) -> TFMessage:
    """One (4, 4) transform."""
    message = TransformStamped(header=Header(stamp=stamp, frame_id=parent), child_frame_id=child)
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = parent_from_child[:3, 3].tolist()
    rotation.x, rotation.y, rotation.z, rotation.w = quaternion_xyzw(parent_from_child).tolist()
    return TFMessage(transforms=[message])


def truth_message(header: Header, truth: FrameTruth) -> Detection3DArray:
    """Every object of the scene, seen or not: id = instance id, class_id = "red mug", score = visible share."""
    return Detection3DArray(header=header, detections=[_known(header, each) for each in truth.objects])


def _known(header: Header, known: ObjectTruth) -> Detection3D:
    pose = pose_message(known.camera_from_object)
    visible = known.visible_px / known.amodal_px if known.amodal_px else 0.0
    hypothesis = ObjectHypothesis(class_id=f"{known.color} {known.category}", score=visible)
    x, y, z = known.size_m.tolist()
    return Detection3D(
        header=header,
        results=[ObjectHypothesisWithPose(hypothesis=hypothesis, pose=PoseWithCovariance(pose=pose))],
        bbox=BoundingBox3D(center=pose, size=Vector3(x=x, y=y, z=z)),
        id=str(known.instance_id),
    )


def _bytes(pixels: Array) -> array.array[int]:
    return array.array("B", np.ascontiguousarray(pixels).tobytes())
