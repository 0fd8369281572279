"""Inputs as robots have them: what does not fit together is told, what changes is followed, nothing fails silently."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from painted import CAMERA, painted
from referent_msgs.msg import TrackedObject
from robot import Robot, a_robot
from rvl_encoder import rvl_from_counts
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from referent.types import Intrinsics, RgbdFrame
from referent_ros import camera_messages

RED = {"red": (10, 10, 24, 24)}


def send_color(robot: Robot, frame: RgbdFrame) -> None:
    robot.color.publish(camera_messages.rgb_message(robot.header(frame), frame.rgb))
    robot.spin(0.03)


def send_depth(robot: Robot, frame: RgbdFrame) -> None:
    assert frame.depth_m is not None
    robot.depth.publish(camera_messages.depth_message(robot.header(frame), frame.depth_m))
    robot.spin(0.03)


def values(robot: Robot) -> dict[str, str]:
    return {pair.key: pair.value for pair in robot.wait_for_diagnosis("input", "").values}


def test_duplicated_and_late_images_are_counted_told_and_not_processed() -> None:
    with a_robot() as robot:
        frames = [painted(number, RED) for number in range(4)]
        for frame in frames:
            robot.show(frame)
        heard = len(robot.heard["tracks"])
        send_color(robot, frames[3])
        send_depth(robot, frames[3])
        robot.wait_for_diagnosis("input", "2 images came with a stamp that an image of their topic had before")
        send_color(robot, frames[1])
        send_depth(robot, frames[1])
        robot.wait_for_diagnosis("input", "2 images came later than newer ones that were used already")
        found = values(robot)
        assert (found["duplicates"], found["out_of_order"]) == ("2", "2")
        assert len(robot.heard["tracks"]) == heard
        robot.show(painted(5, RED))


def test_color_faster_than_depth_gives_the_frames_that_have_both() -> None:
    with a_robot() as robot:
        robot.say("the red block")
        robot.show(painted(0, RED))
        for number in range(1, 13):
            send_color(robot, painted(number, RED))
            if number % 3 == 0:
                send_depth(robot, painted(number, RED))
        stamps = [painted(number, RED).stamp_ns for number in (0, 3, 6, 9, 12)]
        robot.wait_for(lambda: len(robot.heard["tracks"]) >= len(stamps))
        heard = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in robot.heard["tracks"]]
        assert heard == stamps


def resized(number: int) -> RgbdFrame:
    """The same scene by the same camera with half the resolution."""
    whole = painted(number, RED)
    assert whole.depth_m is not None
    rgb, depth_m = np.ascontiguousarray(whole.rgb[::2, ::2]), np.ascontiguousarray(whole.depth_m[::2, ::2])
    camera = Intrinsics(CAMERA.width // 2, CAMERA.height // 2, CAMERA.fx / 2, CAMERA.fy / 2, 15.5, 11.5)
    return RgbdFrame(whole.stamp_ns, whole.camera_frame, rgb, depth_m, camera)


def test_a_camera_that_comes_back_with_another_resolution_is_followed_on() -> None:
    with a_robot(geometry__min_points=10) as robot:
        robot.say("the red block")
        before = robot.show(painted(0, RED)).objects[0]
        robot.show(painted(1, RED))
        after = robot.show(resized(20)).objects[0]
        assert (after.id, after.state) == (before.id, TrackedObject.TRACKING)
        assert after.bbox_xyxy.tolist() == [5, 5, 12, 12]
        assert robot.about(resized(20), "masks")[0].width == CAMERA.width // 2
        assert after.pose.pose.position.z == pytest.approx(1.0, abs=0.05)


def test_a_new_calibration_moves_the_pose_at_once() -> None:
    with a_robot() as robot:
        robot.say("the red block")
        robot.show(painted(0, RED))
        x_before = robot.show(painted(1, RED)).objects[0].pose.pose.position.x
        moved = replace(CAMERA, cx=CAMERA.cx - 12.0)  # 12 px of 60 px at 1 m
        tracks = [robot.show(replace(painted(number, RED), intrinsics=moved)) for number in range(2, 14)]
        assert tracks[-1].objects[0].pose.pose.position.x - x_before == pytest.approx(0.2, abs=0.03)


def test_a_bag_that_loops_begins_again_and_is_counted() -> None:
    with a_robot() as robot:
        robot.say("the red block")
        for number in (100, 101, 102):
            robot.show(painted(number, RED))
        for number in (0, 1, 2):
            tracks = robot.show(painted(number, RED))
        assert tracks.objects[0].state == TrackedObject.TRACKING
        counts = dict(zip(tracks.drop_names, tracks.drop_counts, strict=True))
        assert counts["time_jumps"] == 1
        assert values(robot)["resets"] == "1"


@pytest.mark.parametrize("depth_format", ["png", "rvl"])
def test_compressed_pictures_are_followed_alike(depth_format: str) -> None:
    frame = painted(0, RED)
    assert frame.depth_m is not None
    with a_robot(start=False, input__image_transport="compressed") as robot:
        color = robot.publisher(CompressedImage, "color/image_rect/compressed")
        depth = robot.publisher(CompressedImage, "depth/image_rect/compressedDepth")
        robot.node.start()
        robot.wait_for(lambda: color.get_subscription_count() and depth.get_subscription_count())
        robot.wait_for(lambda: robot.voice.get_subscription_count() and robot.info.get_subscription_count())
        robot.spin(0.2)
        robot.say("the red block")
        header = robot.header(frame)
        robot.info.publish(camera_messages.camera_info_message(header, frame.intrinsics))
        robot.spin(0.1)
        picture = png_of(frame.rgb[..., ::-1])
        color.publish(CompressedImage(header=header, format="rgb8; png compressed bgr8", data=picture))
        depth_mm = (frame.depth_m * 1000).astype(np.uint16)
        packed = bytes(12) + (png_of(depth_mm) if depth_format == "png" else rvl_from_counts(depth_mm))
        depth.publish(CompressedImage(header=header, format=f"16UC1; compressedDepth {depth_format}", data=packed))
        robot.wait_for(lambda: robot.about(frame, "tracks"))
        (track,) = robot.about(frame, "tracks")[0].objects
        assert track.state == TrackedObject.TRACKING
        assert track.has_pose


@pytest.mark.parametrize(
    ("remapped", "color", "depth"),
    [
        (("color/image_rect:=/front/rgb", "depth/image_rect:=/front/depth"),
         "/front/rgb/compressed", "/front/depth/compressedDepth"),
        (("color/image_rect:=/front/rgb", "color/image_rect/compressed:=/jpeg"),
         "/jpeg", "/depth/image_rect/compressedDepth"),
        ((), "/color/image_rect/compressed", "/depth/image_rect/compressedDepth"),
    ],
)  # fmt: skip
def test_compressed_topics_go_where_their_base_topics_go(remapped: tuple[str, ...], color: str, depth: str) -> None:
    arguments = [part for each in remapped for part in ("-r", each)]
    with a_robot(start=False, cli_args=["--ros-args", *arguments], input__image_transport="compressed") as robot:
        robot.node.start()
        heard = {each.topic_name for each in robot.node.subscriptions}
        assert {color, depth} <= heard


def png_of(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1].tobytes())


def test_a_driver_that_does_not_fill_stamps_or_calibration_is_told() -> None:
    with a_robot() as robot:
        info = camera_messages.camera_info_message(Header(), CAMERA)
        info.k = np.zeros(9)
        robot.info.publish(info)
        robot.wait_for_diagnosis("input", "uncalibrated")


@pytest.mark.parametrize("changes", [{"width": 2**31, "height": 2**31}, {"width": 0}])
def test_a_calibration_of_no_camera_takes_no_memory(changes: dict[str, Any]) -> None:
    with a_robot() as robot:
        info = camera_messages.camera_info_message(Header(), CAMERA)
        for name, value in changes.items():
            setattr(info, name, value)
        robot.info.publish(info)
        robot.wait_for_diagnosis("input", "camera_info")
        robot.show(painted(1, RED))
