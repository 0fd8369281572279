"""The node over real topics: pictures and words in, masks, tracks, poses and diagnostics out."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from painted import CAMERA, HEIGHT, WIDTH, painted
from referent_msgs.msg import TrackedObject
from robot import a_robot
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from referent.messages import rgb_from_image
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.types import RgbdFrame
from referent_ros import camera_messages

RED = {"red": (10, 10, 24, 24)}
BOTH = {**RED, "green": (40, 20, 56, 40)}
BASE_FROM_CAMERA = np.array([[0.0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, 1.2], [0, 0, 0, 1]])


def labels(message: Image) -> np.ndarray:
    kind = {"mono8": np.uint8, "16UC1": np.uint16}[message.encoding]
    return np.frombuffer(message.data, kind).reshape(message.height, message.width)


def test_an_instruction_and_a_picture_give_mask_track_pose_and_transform_under_the_pictures_stamp() -> None:
    frame = painted(1, RED)
    with a_robot() as robot:
        robot.show(painted(0, RED))
        robot.say("the red block")
        tracks = robot.show(frame)
        robot.wait_for(lambda: robot.transforms() and robot.about(frame, "target_cloud"))
        (track,) = tracks.objects
        assert (track.expression, track.state) == ("the red block", TrackedObject.TRACKING)
        assert track.has_score
        assert track.score == pytest.approx(0.9)
        assert track.has_bbox
        assert track.bbox_xyxy.tolist() == [10, 10, 24, 24]
        assert [event.outcome for event in tracks.groundings] == ["found"]

        (masks,) = robot.about(frame, "masks")
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        expected[10:24, 10:24] = track.mask_value
        np.testing.assert_array_equal(labels(masks), expected)
        assert {each.header.frame_id for each in (tracks, masks)} == {frame.camera_frame}
        (detection,) = robot.about(frame, "detections")[0].detections
        assert (detection.id, detection.results[0].hypothesis.score) == (track.id, pytest.approx(0.9))
        assert (detection.bbox.center.position.x, detection.bbox.size_x) == (17.0, 14.0)

        (target_mask,) = robot.about(frame, "target_mask")
        np.testing.assert_array_equal(labels(target_mask), (expected > 0) * np.uint8(255))
        (pose,) = robot.about(frame, "target_pose")
        assert pose.pose.position.z == pytest.approx(1.0, abs=0.05)
        assert track.has_pose
        assert track.pose.pose == pose.pose
        (transform,) = robot.transforms()
        assert (transform.header.frame_id, transform.child_frame_id) == (frame.camera_frame, f"object_{track.id}")
        assert transform.header.stamp == tracks.header.stamp
        (cloud,) = robot.about(frame, "target_cloud")
        assert cloud.width > 30
        assert cloud.point_step == 16


def test_people_see_an_overlay_and_markers_while_they_look() -> None:
    with a_robot() as robot:
        robot.listen(Image, "referent/overlay")
        robot.listen(MarkerArray, "referent/markers")
        robot.say("the red block")
        robot.show(painted(0, RED))
        frame = painted(1, RED)
        (track,) = robot.show(frame).objects
        robot.wait_for(lambda: robot.about(frame, "overlay") and len(robot.heard["markers"]) >= 2)
        (overlay,) = robot.about(frame, "overlay")
        assert (overlay.encoding, overlay.width, overlay.height) == ("rgb8", WIDTH, HEIGHT)
        pixels = rgb_from_image(overlay)
        assert not np.array_equal(pixels[10:24, 10:24], frame.rgb[10:24, 10:24])
        clear, box, name = robot.heard["markers"][-1].markers
        assert clear.action == Marker.DELETEALL
        assert (box.type, box.pose, box.scale) == (Marker.CUBE, track.pose.pose, track.size)
        assert name.text == "1 the red block: tracking"
        assert name.pose.position.y < box.pose.position.y - box.scale.y / 2, "above, where y points down"
        assert name.pose.position.z == box.pose.position.z


def test_a_label_value_belongs_to_one_track_for_life_and_label_info_says_whose() -> None:
    with a_robot() as robot:
        robot.say("the red block")
        first = robot.show(painted(0, BOTH)).objects[0]
        again = robot.show(painted(1, BOTH)).objects[0]
        robot.say("the green block")
        other = robot.show(painted(2, BOTH)).objects[0]
        assert again.mask_value == first.mask_value
        assert other.id != first.id
        assert other.mask_value != first.mask_value
        robot.wait_for(lambda: robot.heard["label_info"][-1].class_map[0].class_id == other.mask_value)
        assert "green" in robot.heard["label_info"][-1].class_map[0].class_name


def test_the_target_topics_fall_silent_when_the_target_is_gone() -> None:
    gone = painted(9, {})
    with a_robot() as robot:
        robot.say("the red block")
        for number in range(2):
            robot.show(painted(number, RED))
        for number in range(2, 9):
            robot.show(painted(number, {}))
        tracks = robot.show(gone)
        robot.spin(0.3)
        assert tracks.objects[0].state == TrackedObject.LOST
        assert not tracks.objects[0].has_bbox
        assert not tracks.objects[0].has_pose
        assert [robot.about(gone, f"target_{what}") for what in ("pose", "mask", "cloud")] == [[], [], []]
        assert robot.about(gone, "objects")[0].detections == []
        assert robot.wait_for_diagnosis("objects", "lost: the red block").level == b"\x01"


def test_a_bad_image_is_told_in_diagnostics_and_the_next_frame_carries_on() -> None:
    with a_robot() as robot:
        robot.say("the red block")
        robot.show(painted(0, RED))
        bad = camera_messages.rgb_message(robot.header(painted(1, RED)), painted(1, RED).rgb)
        bad.encoding = "yuv422"
        robot.color.publish(bad)
        status = robot.wait_for_diagnosis("input", "'yuv422'")
        values = {pair.key: pair.value for pair in status.values}
        assert values["/color/image_rect bad"] == "1"
        assert robot.show(painted(2, RED)).objects[0].state == TrackedObject.TRACKING


def test_depth_that_is_unknown_everywhere_is_told_and_masks_still_come() -> None:
    blind = painted(0, RED)
    blind = RgbdFrame(
        blind.stamp_ns, blind.camera_frame, blind.rgb, np.full_like(blind.depth_m, np.nan), blind.intrinsics
    )
    with a_robot() as robot:
        robot.say("the red block")
        tracks = robot.show(blind)
        assert tracks.objects[0].has_bbox
        assert not tracks.objects[0].has_pose
        robot.wait_for_diagnosis("input", "no pixel of the image has a known depth")


def test_unregistered_depth_is_registered_by_its_own_camera_info_and_tf_static() -> None:
    """The depth camera sits 10 cm to the right of color's: without registration the block's depth lies beside it."""
    seen, depth_frame = painted(0, RED), "camera_depth_optical_frame"
    shifted = painted(0, {"red": (4, 10, 18, 24)})  # 0.1 m at 1 m are 6 px
    assert shifted.depth_m is not None
    color_from_depth = np.eye(4)
    color_from_depth[0, 3] = 0.1
    with a_robot() as robot:
        infos = robot.publisher(CameraInfo, "depth/camera_info")
        static = robot.latched(TFMessage, "/tf_static")
        robot.wait_for(lambda: infos.get_subscription_count() and static.get_subscription_count())
        header = robot.header(seen)
        own = Header(stamp=header.stamp, frame_id=depth_frame)
        robot.say("the red block")
        robot.info.publish(camera_messages.camera_info_message(header, seen.intrinsics))
        robot.spin(0.1)
        robot.depth.publish(camera_messages.depth_message(own, shifted.depth_m))
        robot.color.publish(camera_messages.rgb_message(header, seen.rgb))
        robot.wait_for(lambda: robot.about(seen, "tracks"))
        assert not robot.about(seen, "tracks")[0].objects[0].has_pose  # masks come all the same
        robot.wait_for_diagnosis("input", "own camera_info (depth/camera_info")

        infos.publish(camera_messages.camera_info_message(own, seen.intrinsics))
        static.publish(
            camera_messages.transform_message(header.stamp, seen.camera_frame, depth_frame, color_from_depth)
        )
        robot.spin(0.2)
        later = painted(1, RED)
        own.stamp = robot.header(later).stamp
        robot.depth.publish(camera_messages.depth_message(own, shifted.depth_m))
        robot.color.publish(camera_messages.rgb_message(robot.header(later), later.rgb))
        robot.wait_for(lambda: robot.about(later, "tracks"))
        (track,) = robot.about(later, "tracks")[0].objects
        assert track.has_pose
        assert track.pose.pose.position.z == pytest.approx(1.0, abs=0.05)
        values = {pair.key: pair.value for pair in robot.wait_for_diagnosis("input", "").values}
        assert values["depth_registered_here"] == "True"


def test_depth_that_does_not_fit_color_is_told_though_its_frame_says_it_does() -> None:
    (shot,) = simulate(named_scene("tabletop", 5), frames=1)
    depth_m = cv2.resize(shot.frame.depth_m, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_NEAREST)
    depth_m = cv2.copyMakeBorder(depth_m, 48, 48, 64, 64, cv2.BORDER_CONSTANT, value=(0.0,))
    with a_robot(input__registration_check_s=0.1) as robot:
        for number in range(4):
            frame = replace(shot.frame, stamp_ns=1_000_000_000 + number * 200_000_000, depth_m=depth_m)
            robot.show(frame)
        status = robot.wait_for_diagnosis("input", "depth does not fit color")
        assert "scaled by 1.2" in status.message


def test_a_raw_topic_of_a_bending_lens_is_told_with_the_setting_that_mends_it() -> None:
    arguments = ["--ros-args", "-r", "color/image_rect:=color/image_raw"]
    with a_robot(start=False, cli_args=arguments) as robot:
        robot.node.start()
        robot.wait_for(robot.info.get_subscription_count)
        info = camera_messages.camera_info_message(robot.header(painted(0, RED)), CAMERA)
        info.d = [-0.4, 0.1, 0.0, 0.0, 0.0]
        robot.info.publish(info)
        robot.wait_for_diagnosis("input", "/color/image_raw is raw by its name")
        assert "input.rectified" in robot.diagnosis("input").message


def test_a_picture_whose_size_differs_from_camera_info_is_told_and_costs_itself_only() -> None:
    with a_robot() as robot:
        robot.show(painted(0, RED))
        robot.color.publish(camera_messages.rgb_message(robot.header(painted(1, RED)), np.zeros((20, 30, 3), np.uint8)))
        robot.wait_for_diagnosis("input", "30x20")
        assert robot.show(painted(2, RED)).objects == []


def test_an_empty_instruction_is_told_in_diagnostics() -> None:
    with a_robot() as robot:
        robot.say("  ")
        robot.send(painted(0, RED))
        robot.wait_for_diagnosis("pipeline", "is empty")


def test_a_missing_topic_is_named() -> None:
    with a_robot() as robot:
        frame = painted(0, RED)
        for _ in range(3):
            robot.info.publish(camera_messages.camera_info_message(robot.header(frame), frame.intrinsics))
            robot.spin(0.05)
        status = robot.wait_for_diagnosis("input", "/depth/image_rect: no message")
        assert status.level == b"\x02"


def test_a_publisher_whose_qos_does_not_fit_is_named() -> None:
    with a_robot(input__reliable=True, start=False, best_effort=True) as robot:
        robot.node.start()
        robot.wait_for_diagnosis("input", "/color/image_rect: the publisher's QoS does not fit")


def test_the_qos_of_one_topic_can_be_overridden() -> None:
    override = {"qos_overrides./color/image_rect.subscription.reliability": "reliable"}
    with a_robot(start=False, best_effort=True, **override) as robot:
        robot.node.start()
        robot.wait_for_diagnosis("input", "/color/image_rect: the publisher's QoS does not fit")
        assert "/depth/image_rect: the publisher's QoS" not in robot.diagnosis("input").message


def test_poses_are_given_in_the_output_frame_through_tf_at_the_pictures_stamp() -> None:
    with a_robot(output__frame="base_link") as robot:
        robot.say("the red block")
        frames = [painted(number, RED) for number in range(2)]
        without = robot.show(frames[0])
        assert not without.objects[0].has_pose
        robot.wait_for_diagnosis("pipeline", "no transform from camera_color_optical_frame to base_link")
        stamp = robot.header(frames[1]).stamp
        camera = frames[1].camera_frame
        robot.tf.publish(camera_messages.transform_message(stamp, "base_link", camera, BASE_FROM_CAMERA))
        track = robot.show(frames[1]).objects[0]
        (objects,) = robot.about(frames[1], "objects")
        assert track.has_pose
        assert (track.pose_frame, objects.header.frame_id) == ("base_link", "base_link")
        # 1 m before the camera is 1 m along base_link's x, beyond the camera's own 0.5 m.
        assert objects.detections[0].bbox.center.position.x == pytest.approx(1.5, abs=0.05)
        assert objects.detections[0].results[0].pose.pose == track.pose.pose


def test_best_effort_cameras_are_heard_by_default() -> None:
    with a_robot(best_effort=True) as robot:
        robot.show(painted(0, RED))


def test_a_camera_that_loses_large_images_is_told_what_to_set() -> None:
    with a_robot() as robot:
        frame = painted(0, RED)
        for _ in range(12):
            robot.info.publish(camera_messages.camera_info_message(robot.header(frame), frame.intrinsics))
        status = robot.wait_for_diagnosis("input", "FASTRTPS_DEFAULT_PROFILES_FILE")
        assert "fastdds_large_images.xml" in status.message


def test_the_pictures_of_the_robots_camera_are_what_was_painted() -> None:
    frame = painted(0, BOTH)
    with a_robot() as robot:
        message = camera_messages.rgb_message(robot.header(frame), frame.rgb)
    np.testing.assert_array_equal(rgb_from_image(message), frame.rgb)
