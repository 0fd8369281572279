"""What is wrong with a bag is one line that names it, the bag's topics and the way out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from builders import (
    COLOR,
    DEPTH,
    INFO,
    NOETIC,
    START_NS,
    Recorded,
    a_bag,
    a_camera_info,
    a_recording,
    a_text,
    an_image,
)

from referent.config import InputConfig
from referent.errors import BadMessage
from referent.sources.rosbag import read_bag

CONFIG = InputConfig()
IMAGE = np.zeros((6, 8, 3), np.uint8)
COUNTS = np.ones((6, 8), np.uint16)


def fault_of(path: Path, **topics: str) -> str:
    with pytest.raises(BadMessage) as caught:
        list(read_bag(path, CONFIG, **topics))
    [line] = str(caught.value).splitlines()
    assert str(path) in line
    return line


def without(recorded: list[Recorded], *topics: str) -> list[Recorded]:
    return [item for item in recorded if item[0] not in topics]


# files


def test_there_is_no_bag(tmp_path: Path) -> None:
    assert "no such bag" in fault_of(tmp_path / "nothing")


def test_a_file_that_is_no_bag(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert "not a bag; give a rosbag2 folder or a file ending in .mcap, .db3, .bag" in fault_of(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["bag.mcap", "bag.db3", "bag.bag"])
@pytest.mark.parametrize("content", [b"", b"rubbish" * 100])
def test_rubbish_with_the_name_of_a_bag(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "not a whole bag" in fault_of(tmp_path / name)


def test_a_folder_without_metadata_names_the_file_inside(tmp_path: Path) -> None:
    bag = a_bag(tmp_path / "bag", a_recording(2))
    (bag / "metadata.yaml").unlink()
    line = fault_of(bag)
    assert "metadata.yaml is missing" in line
    assert str(bag / "bag.mcap") in line


def test_damaged_metadata(tmp_path: Path) -> None:
    bag = a_bag(tmp_path / "bag", a_recording(2))
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: [")
    assert "not a whole bag" in fault_of(bag)


def test_an_empty_bag(tmp_path: Path) -> None:
    assert "the bag is empty" in fault_of(a_bag(tmp_path / "bag", []))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3", "ros1"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_bag(tmp_path: Path, storage: str, kept: float) -> None:
    store = {"store": NOETIC} if storage == "ros1" else {}
    name = "recorded.bag" if storage == "ros1" else "recorded"
    path = a_bag(tmp_path / name, a_recording(10, width=200, height=100, **store), storage=storage)
    file = path if storage == "ros1" else next(item for item in path.iterdir() if item.suffix != ".yaml")
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
    assert "damaged" in (line := fault_of(path)) or "not a whole bag" in line


def test_a_rosbag2_folder_that_looks_like_a_ros_1_file(tmp_path: Path) -> None:
    assert "rename it" in fault_of(a_bag(tmp_path / "recorded.bag", a_recording(2)))


def test_bytes_flipped_anywhere_give_frames_or_bad_message_and_nothing_else(tmp_path: Path) -> None:
    path = a_bag(tmp_path / "bag", a_recording(4))
    [file] = path.glob("*.mcap")
    whole = file.read_bytes()
    rng = np.random.default_rng(3)
    for position in rng.integers(0, len(whole), 40):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with suppress(BadMessage):  # and nothing else
            list(read_bag(file, CONFIG))


# topics


def test_no_color_lists_the_topics(tmp_path: Path) -> None:
    line = fault_of(a_bag(tmp_path / "bag", without(a_recording(2), COLOR)))
    assert "no color image in the bag" in line
    assert f"{DEPTH} (Image 16UC1, 2)" in line
    assert "color_topic" in line


def test_no_depth_lists_the_topics(tmp_path: Path) -> None:
    line = fault_of(a_bag(tmp_path / "bag", a_recording(2, depth=None)))
    assert "no depth image in the bag" in line
    assert f"{COLOR} (Image rgb8, 2)" in line


def test_no_camera_info_says_where_it_belongs(tmp_path: Path) -> None:
    line = fault_of(a_bag(tmp_path / "bag", a_recording(2, info=None)))
    assert f"no camera_info in the bag; record it beside {COLOR}" in line


def test_two_cameras_are_ambiguous_until_one_is_named(tmp_path: Path) -> None:
    left, right = (
        a_recording(2, color=f"/{s}/color", depth=f"/{s}/depth", info=f"/{s}/camera_info") for s in ("left", "right")
    )
    bag = a_bag(tmp_path / "bag", left + right)
    assert "several topics may be color: /left/color, /right/color; choose one with color_topic" in fault_of(bag)
    source = read_bag(bag, CONFIG, color_topic="/right/color")
    assert (source.topics.depth, source.topics.info) == ("/right/depth", "/right/camera_info")


def test_several_calibrations_none_of_them_the_color_cameras(tmp_path: Path) -> None:
    recorded = a_recording(2, info="/one/camera_info") + a_recording(2, info="/two/camera_info")
    assert "several camera_info and none beside" in fault_of(a_bag(tmp_path / "bag", recorded))


def test_a_misspelt_topic_gets_a_suggestion(tmp_path: Path) -> None:
    bag = a_bag(tmp_path / "bag", a_recording(2))
    line = fault_of(bag, color_topic="/camera/color/image_rekt")
    assert f"did you mean {COLOR}?" in line
    assert DEPTH in line


def test_a_topic_of_the_wrong_type(tmp_path: Path) -> None:
    bag = a_bag(tmp_path / "bag", [*a_recording(2), ("/speech", START_NS, a_text("hello"))])
    assert "/speech is std_msgs/msg/String, sensor_msgs/msg/Image or" in fault_of(bag, depth_topic="/speech")


# contents


def test_an_unknown_color_encoding(tmp_path: Path) -> None:
    recorded = [*without(a_recording(2), COLOR), (COLOR, START_NS, an_image(IMAGE[..., 0], "bayer_rggb8"))]
    assert f"{COLOR}: color encoding 'bayer_rggb8' is not one of rgb8" in fault_of(a_bag(tmp_path / "bag", recorded))


def test_an_unknown_depth_encoding(tmp_path: Path) -> None:
    recorded = [*without(a_recording(2), DEPTH), (DEPTH, START_NS, an_image(IMAGE[..., 0], "mono8"))]
    assert f"{DEPTH}: depth encoding 'mono8' is not one of 16UC1" in fault_of(a_bag(tmp_path / "bag", recorded))


def test_color_of_another_size_than_camera_info(tmp_path: Path) -> None:
    recorded = [*without(a_recording(2), INFO), (INFO, START_NS, a_camera_info(640, 480))]
    assert "color image is 8x6 but camera_info says 640x480" in fault_of(a_bag(tmp_path / "bag", recorded))


def test_depth_of_another_size_than_color(tmp_path: Path) -> None:
    recorded = [*without(a_recording(2), DEPTH), (DEPTH, START_NS, an_image(COUNTS[:3], "16UC1"))]
    assert "depth image is 8x3 but camera_info says 8x6" in fault_of(a_bag(tmp_path / "bag", recorded))


def test_depth_that_is_not_registered_to_color(tmp_path: Path) -> None:
    recorded = [*without(a_recording(2), DEPTH), (DEPTH, START_NS, an_image(COUNTS, "16UC1", frame="depth_optical"))]
    assert "depth must be registered to color" in fault_of(a_bag(tmp_path / "bag", recorded))


def test_an_uncalibrated_camera(tmp_path: Path) -> None:
    recorded = [*without(a_recording(2), INFO), (INFO, START_NS, a_camera_info(k=[0] * 9))]
    assert f"{INFO}: camera_info is uncalibrated" in fault_of(a_bag(tmp_path / "bag", recorded))


def test_color_and_depth_that_never_meet_in_time(tmp_path: Path) -> None:
    line = fault_of(a_bag(tmp_path / "bag", a_recording(1, depth_late_ns=100_000_000)))
    assert f"no {COLOR} image has a {DEPTH} image within 0.02 s" in line
    assert "raise input.max_skew_s" in line


def test_depth_that_is_unknown_everywhere(tmp_path: Path) -> None:
    recorded = [
        (topic, when_ns, an_image(np.zeros_like(COUNTS), "16UC1", stamp_ns=when_ns) if topic == DEPTH else message)
        for topic, when_ns, message in a_recording(2)
    ]
    line = fault_of(a_bag(tmp_path / "bag", recorded))
    assert f"{DEPTH}: no pixel of any depth image is known" in line
