"""Clouds as planners read them: colors in a float's bits, an object index per point, the camera as the viewpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from painted import CAMERA, painted
from robot import a_robot
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from referent.geometry.camera import project
from referent.types import Array, ObjectCloud
from referent_ros.clouds import cloud_message, scene_cloud_message

HEADER = Header(frame_id="camera_color_optical_frame")
RED = {"red": (10, 10, 24, 24)}
SCENE = np.dtype([("xyz", np.float32, 3), ("rgb", np.uint32), ("object", np.uint32)])


def points_of(message: PointCloud2) -> Array:
    """The scene cloud's points by its own description of them."""
    assert [(each.name, each.offset, each.datatype) for each in message.fields] == [
        ("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("rgb", 12, 7), ("object", 16, 6),
    ]  # fmt: skip
    assert (message.point_step, message.row_step, message.height) == (20, 20 * message.width, 1)
    return np.frombuffer(message.data, SCENE)


def test_cloud_points_hold_their_color_in_the_bits_of_a_float() -> None:
    cloud = ObjectCloud(np.array([[1, 2, 3]], np.float32), np.array([[10, 20, 30]], np.uint8))
    message = cloud_message(cloud, HEADER)
    assert np.frombuffer(message.data, np.float32)[:3].tolist() == [1, 2, 3]
    assert bytes(message.data[12:16]) == bytes([30, 20, 10, 0])  # PCL: blue, green, red on little-endian machines
    assert [field.name for field in message.fields] == ["x", "y", "z", "rgb"]


def test_the_scene_is_every_known_pixel_with_the_value_of_its_object() -> None:
    frame = painted(0, RED)
    assert frame.depth_m is not None
    frame.depth_m[0, :5] = np.nan
    frame.depth_m[12, 12] = np.nan
    labels = np.zeros(frame.depth_m.shape, np.uint8)
    labels[10:24, 10:24] = 7
    points = points_of(scene_cloud_message(frame, labels, HEADER))
    assert len(points) == frame.depth_m.size - 6
    assert np.count_nonzero(points["object"] == 7) == 14 * 14 - 1
    assert np.isfinite(points["xyz"]).all()
    u, v = np.rint(project(points["xyz"], CAMERA)).astype(int).T  # seen from the origin every point is its own pixel
    np.testing.assert_array_equal(labels[v, u], points["object"])
    np.testing.assert_allclose(points["xyz"][:, 2], frame.depth_m[v, u])
    packed = frame.rgb[v, u].astype(np.uint32)
    np.testing.assert_array_equal(points["rgb"], packed[:, 0] << 16 | packed[:, 1] << 8 | packed[:, 2])


def test_values_above_255_keep_their_value() -> None:
    frame = painted(0, RED)
    labels = np.full(frame.rgb.shape[:2], 40_000, np.uint16)
    assert set(points_of(scene_cloud_message(frame, labels, HEADER))["object"]) == {40_000}


def test_a_scene_of_which_nothing_is_known_has_no_points() -> None:
    frame = painted(0, RED)
    blind = replace(frame, depth_m=np.full_like(frame.depth_m, np.nan))
    labels = np.zeros(frame.rgb.shape[:2], np.uint8)
    assert scene_cloud_message(blind, labels, HEADER).width == 0
    assert scene_cloud_message(replace(frame, depth_m=None), labels, HEADER).width == 0


def test_the_node_sends_the_scene_to_who_listens_with_the_values_of_its_masks() -> None:
    frame = painted(1, RED)
    with a_robot() as robot:
        robot.listen(PointCloud2, "referent/scene_cloud")
        robot.say("the red block")
        robot.show(painted(0, RED))
        (track,) = robot.show(frame).objects
        robot.wait_for(lambda: robot.about(frame, "scene_cloud"))
        (cloud,) = robot.about(frame, "scene_cloud")
        assert cloud.header.frame_id == frame.camera_frame
        of_object = points_of(cloud)["object"] == track.mask_value
        assert np.count_nonzero(of_object) == 14 * 14
        np.testing.assert_allclose(points_of(cloud)["xyz"][of_object][:, 2], 1.0, atol=0.001)
