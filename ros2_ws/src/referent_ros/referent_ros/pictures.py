"""What people look at: the overlay of one picture, and markers for RViz."""

from __future__ import annotations

from geometry_msgs.msg import Point, Pose, Vector3
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from referent.evaluation.drawing import color_of, draw_overlay
from referent.evaluation.lines import result_line
from referent.geometry.poses import rigid_inverse
from referent.types import FrameResult, RgbdFrame, TrackedObject
from referent_ros.result_messages import header_of, image_message, located, output_frame, size_message

BOX_ALPHA, TEXT_HEIGHT_M, GAP_M = 0.35, 0.035, 0.03


def overlay_message(frame: RgbdFrame, result: FrameResult) -> Image:
    """The picture with masks, boxes and names drawn into it."""
    way = None if result.output_from_camera is None else rigid_inverse(result.output_from_camera)
    picture = draw_overlay(frame.rgb, result_line(result), camera=frame.intrinsics, camera_from_pose=way)
    return image_message(header_of(result), picture)


def markers_message(result: FrameResult) -> MarkerArray:
    """A box and a name for each located object, in place of all markers before."""
    header = header_of(result, output_frame(result))
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for number, tracked in enumerate(result.objects):
        pose = located(tracked, result)
        if pose is not None:
            markers += [_box(tracked, pose.pose, header, number), _name(tracked, pose.pose, header, number)]
    return MarkerArray(markers=markers)


def _box(tracked: TrackedObject, pose: Pose, header: Header, number: int) -> Marker:
    return Marker(
        header=header,
        ns="boxes",
        id=number,
        type=Marker.CUBE,
        pose=pose,
        scale=size_message(tracked),
        color=_color(tracked, BOX_ALPHA),
    )


def _name(tracked: TrackedObject, pose: Pose, header: Header, number: int) -> Marker:
    size = size_message(tracked)
    above = pose.position.z + max(size.x, size.y, size.z) / 2 + GAP_M
    return Marker(
        header=header,
        ns="names",
        id=number,
        type=Marker.TEXT_VIEW_FACING,
        pose=Pose(position=Point(x=pose.position.x, y=pose.position.y, z=above)),
        scale=Vector3(z=TEXT_HEIGHT_M),
        color=_color(tracked, 1.0),
        text=f"{tracked.target.id} {tracked.target.expression}: {tracked.state.value}",
    )


def _color(tracked: TrackedObject, alpha: float) -> ColorRGBA:
    red, green, blue = (channel / 255 for channel in color_of(tracked.target.id))
    return ColorRGBA(r=red, g=green, b=blue, a=alpha)
