"""Malformed messages into every input: none ends the node, each is counted, and the next good picture is followed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from painted import CAMERA, painted
from referent_msgs.msg import TrackedObject
from robot import Robot, a_robot
from rvl_encoder import rvl_from_counts
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage

from referent_ros import camera_messages

EACH = 1500
RED = {"red": (10, 10, 24, 24)}
ENCODINGS = ("rgb8", "bgr8", "mono8", "16UC1", "32FC1", "8UC4", "bayer_rggb8", "yuv422", "", "\u00e9\u4e2d", "x" * 300)
FRAMES = ("", "camera_color_optical_frame", "/camera", "nowhere", "\u4e2d" * 50)
NUMBERS = (0.0, 1.0, -1.0, 60.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"))
SIZES = (0, 1, 7, 48, 64, 65535, 2**31, 2**32 - 1)
FORMATS = (
    "jpeg", "png", "rgb8; jpeg compressed bgr8", "16UC1; compressedDepth png", "32FC1; compressedDepth rvl",
    "16UC1; compressedDepth rvl", "16UC1; compressedDepth", "", "compressedDepth", "\u4e2d",
)  # fmt: skip
Make = Callable[[np.random.Generator], Any]


def one_of(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def noise(rng: np.random.Generator, most: int = 200) -> bytes:
    return rng.integers(0, 256, int(rng.integers(0, most)), dtype=np.uint8).tobytes()


def a_header(rng: np.random.Generator) -> Header:
    # Stamps a whole number of seconds early: what follows in order must not look like a loop of the bag.
    seconds = one_of(rng, (0, 1, 1, 1, -1, -(2**31)))
    return Header(
        stamp=Time(sec=seconds, nanosec=one_of(rng, (0, 5, 999_999_999, 2**32 - 1))), frame_id=one_of(rng, FRAMES)
    )


def an_image(rng: np.random.Generator) -> Image:
    size = {name: one_of(rng, SIZES) for name in ("height", "width", "step")}
    return Image(
        header=a_header(rng),
        encoding=one_of(rng, ENCODINGS),
        is_bigendian=int(rng.integers(2)),
        data=noise(rng),
        **size,
    )


def a_whole_image(rng: np.random.Generator) -> Image:
    """Of consistent sizes, but seldom those of the camera."""
    height, width = int(rng.integers(1, 60)), int(rng.integers(1, 70))
    encoding, pixel_bytes = one_of(rng, (("rgb8", 3), ("mono8", 1), ("16UC1", 2), ("32FC1", 4), ("rgba8", 4)))
    data = rng.integers(0, 256, height * width * pixel_bytes, dtype=np.uint8).tobytes()
    return Image(
        header=a_header(rng), encoding=encoding, height=height, width=width, step=width * pixel_bytes, data=data
    )


def a_compressed(rng: np.random.Generator) -> CompressedImage:
    pixels = rng.integers(0, 60000, (48, 64)).astype(np.uint16)
    good = one_of(rng, (
        cv2.imencode(".png", pixels)[1].tobytes(), cv2.imencode(".jpg", (pixels // 256).astype(np.uint8))[1].tobytes(),
        bytes(12) + rvl_from_counts(pixels[:4, :4]), bytes(12) + struct.pack("<II", *rng.integers(0, 2**32, 2)),
    ))  # fmt: skip
    broken = bytearray(good[: int(rng.integers(0, len(good) + 1))])
    for _ in range(int(rng.integers(0, 4))):
        if broken:
            broken[int(rng.integers(len(broken)))] = int(rng.integers(256))
    data = one_of(rng, (bytes(broken), noise(rng)))
    return CompressedImage(header=a_header(rng), format=one_of(rng, FORMATS), data=data)


def a_camera_info(rng: np.random.Generator) -> CameraInfo:
    def numbers(count: int) -> list[float]:
        return [one_of(rng, NUMBERS) for _ in range(count)]

    roi = RegionOfInterest(**{name: one_of(rng, SIZES) for name in ("x_offset", "y_offset", "width", "height")})
    return CameraInfo(
        header=a_header(rng),
        height=one_of(rng, SIZES),
        width=one_of(rng, SIZES),
        distortion_model=one_of(rng, ("plumb_bob", "equidistant", "", "fisheye")),
        d=numbers(one_of(rng, (0, 4, 5, 8, 100))),
        k=numbers(9),
        r=numbers(9),
        p=numbers(12),
        binning_x=one_of(rng, SIZES),
        binning_y=one_of(rng, SIZES),
        roi=roi,
    )


def some_transforms(rng: np.random.Generator) -> TFMessage:
    def a_transform() -> TransformStamped:
        t = Vector3(**{axis: one_of(rng, NUMBERS) for axis in "xyz"})
        q = Quaternion(**{axis: one_of(rng, NUMBERS) for axis in "xyzw"})
        return TransformStamped(
            header=a_header(rng), child_frame_id=one_of(rng, FRAMES), transform=Transform(translation=t, rotation=q)
        )

    return TFMessage(transforms=[a_transform() for _ in range(int(rng.integers(0, 4)))])


def some_words(rng: np.random.Generator) -> String:
    return String(
        data=one_of(rng, ("", " \t\n", "x" * 100_000, "\u4e2d\u0000\u202e", "no", "; rm -rf /", "go back", "{}" * 99))
    )


INPUTS: dict[str, tuple[str, tuple[Make, ...]]] = {
    "color": ("raw", (an_image, a_whole_image)),
    "depth": ("raw", (an_image, a_whole_image)),
    "color info": ("raw", (a_camera_info,)),
    "depth info": ("raw", (a_camera_info,)),
    "tf": ("raw", (some_transforms,)),
    "tf_static": ("raw", (some_transforms,)),
    "words": ("raw", (some_words,)),
    "compressed color": ("compressed", (a_compressed,)),
    "compressed depth": ("compressed", (a_compressed,)),
}
TOPICS = {
    "color": "/color/image_rect",
    "depth": "/depth/image_rect",
    "color info": "/color/camera_info",
    "depth info": "/depth/camera_info",
    "tf": "/tf",
    "tf_static": "/tf_static",
    "words": "/instruction",
    "compressed color": "/color/image_rect/compressed",
    "compressed depth": "/depth/image_rect/compressedDepth",
}


def callback_of(robot: Robot, topic: str) -> Callable[[Any], None]:
    """What the node does with a message of a topic; without the network, whose queues would drop most."""
    found = [each for each in robot.node.subscriptions if each.topic_name == topic]
    assert len(found) == 1, topic
    return lambda message: found[0].callback(message, {"publication_sequence_number": None})


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")  # numpy's, on numbers that mean nothing
@pytest.mark.parametrize("name", INPUTS)
def test_the_node_outlives_malformed_messages_and_works_on(name: str) -> None:
    transport, makes = INPUTS[name]
    rng = np.random.default_rng(7)
    with a_robot(start=False, output__frame="base_link", input__image_transport=transport) as robot:
        robot.node.start()
        info = camera_messages.camera_info_message(robot.header(painted(0, RED)), CAMERA)
        callback_of(robot, "/color/camera_info")(info)
        take = callback_of(robot, TOPICS[name])
        for number in range(EACH):
            take(makes[number % len(makes)](rng))
            if number % 100 == 0:
                robot.spin(0.01)
        status = robot.wait_for_diagnosis("input", "")
        found = {pair.key: pair.value for pair in status.values}
        faults = [value for key, value in found.items() if key.endswith("last fault") and "internal" in value]
        assert faults == []
        assert int(found.get(f"{TOPICS[name]} bad", 0)) > 0 or name in ("words", "tf", "tf_static")
        if transport == "raw":
            callback_of(robot, "/color/camera_info")(info)
            robot.say("the red block")
            robot.wait_for_ears()
            frames = [painted(number, RED) for number in (600, 601, 602)]
            robot.show(frames[0])
            robot.show(frames[1])
            assert robot.show(frames[2]).objects[0].state == TrackedObject.TRACKING
