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
            optical = header.frame_id == result.camera_frame  # z looks away from the camera and y down (REP 103)
            name = _name(tracked, pose.pose, header, number, optical=optical)
            markers += [_box(tracked, pose.pose, header, number), name]
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


def _name(tracked: TrackedObject, pose: Pose, header: Header, number: int, *, optical: bool) -> Marker:
    size, at = size_message(tracked), pose.position
    above = max(size.x, size.y, size.z) / 2 + GAP_M
    place = Point(x=at.x, y=at.y - above, z=at.z) if optical else Point(x=at.x, y=at.y, z=at.z + above)
    return Marker(
        header=header,
        ns="names",
        id=number,
        type=Marker.TEXT_VIEW_FACING,
        pose=Pose(position=place),
        scale=Vector3(z=TEXT_HEIGHT_M),
        color=_color(tracked, 1.0),
        text=f"{tracked.target.id} {tracked.target.expression}: {tracked.state.value}",
    )


def _color(tracked: TrackedObject, alpha: float) -> ColorRGBA:
    red, green, blue = (channel / 255 for channel in color_of(tracked.target.id))
    return ColorRGBA(r=red, g=green, b=blue, a=alpha)
