"""Bags of cameras that do not register depth to color, or do not rectify: read through what else was recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import COLOR, DEPTH, FRAME_NS, INFO, START_NS, Recorded, a_bag, a_camera_info, a_tf, an_image

from referent.config import InputConfig
from referent.errors import BadMessage
from referent.sources.rosbag import read_bag

DEPTH_FRAME, DEPTH_INFO = "camera_depth_optical_frame", "/camera/depth/camera_info"
COLOR_FRAME = "camera_color_optical_frame"


def a_recording_of_two_cameras(frames: int = 3) -> list[Recorded]:
    """Color 80x60; depth 40x30 from 10 cm to the right of it, of a wall 2 m away with a block 1 m away."""
    recorded: list[Recorded] = []
    counts = np.full((30, 40), 2000, np.uint16)
    counts[10:20, 10:20] = 1000
    for number in range(frames):
        now_ns = START_NS + number * FRAME_NS
        rgb = np.full((60, 80, 3), number, np.uint8)
        recorded += [
            (COLOR, now_ns, an_image(rgb, "rgb8", stamp_ns=now_ns)),
            (INFO, now_ns, a_camera_info(80, 60, f=80, stamp_ns=now_ns)),
            (DEPTH, now_ns, an_image(counts, "16UC1", stamp_ns=now_ns, frame=DEPTH_FRAME)),
            (DEPTH_INFO, now_ns, a_camera_info(40, 30, f=40, stamp_ns=now_ns, frame=DEPTH_FRAME)),
        ]
    return recorded


def the_way_between(topic: str = "/tf_static") -> Recorded:
    return topic, START_NS, a_tf(COLOR_FRAME, DEPTH_FRAME, xyz=(0.1, 0.0, 0.0))


def test_depth_is_registered_by_its_own_camera_info_and_the_static_transform(tmp_path: Path) -> None:
    source = read_bag(a_bag(tmp_path / "bag", [*a_recording_of_two_cameras(), the_way_between()]), InputConfig())
    assert source.topics.depth_info == DEPTH_INFO
    frames = list(source)
    assert len(frames) == 3
    for frame in frames:
        assert frame.depth_m is not None
        block = frame.depth_m[25:35]
        assert (block[:, 29:47] == 1.0).all()  # 20..40 moved by 0.1 m at 1 m: 8 px
        assert not (block[:, :27] == 1.0).any()
        assert (frame.depth_m[5, 10:70] == 2.0).all()
    assert not source.drop_reasons


def test_so_it_is_when_the_topics_are_named(tmp_path: Path) -> None:
    recorded = [
        ("/other/info" if topic == DEPTH_INFO else topic, when, message)
        for topic, when, message in [*a_recording_of_two_cameras(), the_way_between()]
    ]
    bag = a_bag(tmp_path / "bag", recorded)
    with pytest.raises(BadMessage, match="depth/camera_info"):
        read_bag(bag, InputConfig())
    assert len(list(read_bag(bag, InputConfig(), depth_info_topic="/other/info"))) == 3


def test_without_the_transform_the_bag_is_refused_in_a_line_that_says_what_is_missing(tmp_path: Path) -> None:
    bag = a_bag(tmp_path / "bag", a_recording_of_two_cameras())
    with pytest.raises(BadMessage, match=f"{DEPTH}: depth cannot be registered .* '{DEPTH_FRAME}' to '{COLOR_FRAME}'"):
        read_bag(bag, InputConfig())


def test_a_transform_that_is_sent_again_and_again_will_do(tmp_path: Path) -> None:
    tf = a_tf(COLOR_FRAME, DEPTH_FRAME, stamp_ns=START_NS - 10, xyz=(0.1, 0.0, 0.0))
    ahead = a_tf(COLOR_FRAME, DEPTH_FRAME, stamp_ns=START_NS + 10 * FRAME_NS, xyz=(0.1, 0.0, 0.0))
    bag = a_bag(
        tmp_path / "bag", [("/tf", START_NS - 10, tf), ("/tf", START_NS - 5, ahead), *a_recording_of_two_cameras()]
    )
    assert len(list(read_bag(bag, InputConfig()))) == 3


def test_raw_pictures_are_rectified_when_the_setting_says_so(tmp_path: Path) -> None:
    recorded = []
    for topic, when_ns, message in [*a_recording_of_two_cameras(), the_way_between()]:
        if topic == INFO:
            message = replace(message, d=np.array([-0.3, 0.0, 0.0, 0.0, 0.0]))
        elif topic == COLOR:
            pixels = np.zeros((60, 80, 3), np.uint8)
            pixels[:, 38:42] = 255
            pixels[4] = 255
            message = an_image(pixels, "rgb8", stamp_ns=when_ns)
        recorded.append((topic, when_ns, message))
    bag = a_bag(tmp_path / "bag", recorded)
    as_is, undone = (next(iter(read_bag(bag, InputConfig(rectified=flag)))) for flag in (True, False))
    assert as_is.rgb[4].all()
    assert not undone.rgb[4].all()  # a straight line of the raw picture is a bent one of the world
    assert undone.rgb[30, 40].all()
    np.testing.assert_array_equal(as_is.depth_m, undone.depth_m)  # depth's own camera does not distort
