"""A bag of any kind is a source of frames: found by itself, paired, in time order, the same every time."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import (
    COLOR,
    DEPTH,
    FRAME_NS,
    INFO,
    NOETIC,
    OPTICAL,
    START_NS,
    Recorded,
    a_bag,
    a_camera_info,
    a_compressed,
    a_recording,
    a_text,
    a_tf,
    an_image,
)

from referent.config import InputConfig
from referent.errors import TransformUnavailable
from referent.sources.rosbag import BagSource, read_bag
from referent.types import RgbdFrame

MS = 1_000_000
CONFIG = InputConfig()


def when(number: int) -> int:
    return START_NS + number * FRAME_NS


def numbers(frames: list[RgbdFrame]) -> list[int]:
    """Which of `a_recording`'s frames these are, by what is painted on them; depth must say the same."""
    for frame in frames:
        assert frame.depth_m is not None
        np.testing.assert_allclose(frame.depth_m, 1 + frame.rgb[0, 0, 0] * 1e-3, rtol=1e-6)
    return [int(frame.rgb[0, 0, 0]) for frame in frames]


def source_of(path: Path, recorded: list[Recorded], **options: str) -> BagSource:
    return read_bag(a_bag(path / "bag", recorded), CONFIG, **options)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3", "ros1"])
def test_every_kind_of_bag_gives_the_same_frames(tmp_path: Path, storage: str) -> None:
    store = {"store": NOETIC} if storage == "ros1" else {}
    name = "recorded.bag" if storage == "ros1" else "recorded"
    source = read_bag(a_bag(tmp_path / name, a_recording(5, **store), storage=storage), CONFIG)
    frames = list(source)
    assert numbers(frames) == [0, 1, 2, 3, 4]
    assert [frame.stamp_ns for frame in frames] == [when(n) for n in range(5)]
    assert {frame.camera_frame for frame in frames} == {OPTICAL}
    assert frames[0].intrinsics.fx == 10.0
    assert len(source) == 5
    assert source.duration_s == pytest.approx(4 * FRAME_NS * 1e-9)


@pytest.mark.parametrize(("storage", "ending"), [("mcap", "mcap"), ("sqlite3", "db3")])
def test_the_file_inside_a_bag_folder_is_a_bag_too(tmp_path: Path, storage: str, ending: str) -> None:
    [file] = a_bag(tmp_path / "bag", a_recording(3), storage=storage).glob(f"*.{ending}")
    assert numbers(list(read_bag(file, CONFIG))) == [0, 1, 2]


def test_two_readings_are_identical(tmp_path: Path) -> None:
    source = source_of(tmp_path, a_recording(6, depth_late_ns=4 * MS))
    first, second = list(source), list(source)
    assert numbers(first) == numbers(second) == [0, 1, 2, 3, 4, 5]
    for one, other in zip(first, second, strict=True):
        assert one.stamp_ns == other.stamp_ns
        np.testing.assert_array_equal(one.rgb, other.rgb)
        np.testing.assert_array_equal(one.depth_m, other.depth_m)


def test_reading_is_lazy(tmp_path: Path) -> None:
    source = source_of(tmp_path, a_recording(40))
    assert numbers(list(islice(source, 3))) == [0, 1, 2]
    assert source.drops["unmatched_color"] == 0


def test_images_recorded_before_the_first_camera_info_are_frames_too(tmp_path: Path) -> None:
    recorded = [item for item in a_recording(4) if item[0] != INFO or item[1] > when(2)]
    assert numbers(list(source_of(tmp_path, recorded))) == [0, 1, 2, 3]


def test_compressed_color_and_depth(tmp_path: Path) -> None:
    recorded: list[Recorded] = []
    for number in range(3):
        color = cv2.imencode(".png", np.full((6, 8, 3), number, np.uint8))[1].tobytes()
        depth = bytes(12) + cv2.imencode(".png", np.full((6, 8), 1000 + number, np.uint16))[1].tobytes()
        stamp = {"stamp_ns": when(number)}
        recorded += [
            (f"{COLOR}/compressed", when(number), a_compressed(color, "rgb8; png compressed bgr8", **stamp)),
            (f"{DEPTH}/compressedDepth", when(number), a_compressed(depth, "16UC1; compressedDepth png", **stamp)),
            (INFO, when(number), a_camera_info(**stamp)),
        ]
    source = source_of(tmp_path, recorded)
    assert numbers(list(source)) == [0, 1, 2]
    assert source.topics.color == f"{COLOR}/compressed"


# transforms and instructions


def test_transforms_are_there_when_a_frame_needs_them(tmp_path: Path) -> None:
    """tf is recorded 40 ms after the frame it is about, as robots do; static ones once, even at the very end."""
    recorded = a_recording(20)
    for number in range(-1, 21):
        moved = a_tf("world", "camera_link", stamp_ns=when(number), xyz=(number, 0, 0))
        recorded.append(("/tf", when(number) + 40 * MS, moved))
    recorded.append(("/tf_static", when(20), a_tf("camera_link", OPTICAL, stamp_ns=0, xyz=(0, 1, 0))))
    source = source_of(tmp_path, sorted(recorded, key=lambda item: item[1]))
    seen = 0
    for frame in source:
        world_from_camera = source.transforms.lookup("world", frame.camera_frame, frame.stamp_ns)
        np.testing.assert_allclose(world_from_camera[:3, 3], [seen, 1, 0])
        seen += 1
    assert seen == 20


def test_slow_transforms_are_interpolated(tmp_path: Path) -> None:
    recorded = a_recording(10) + [
        ("/tf", when(n), a_tf("world", OPTICAL, stamp_ns=when(n), xyz=(n, 0, 0))) for n in (0, 9)
    ]
    source = source_of(tmp_path, sorted(recorded, key=lambda item: item[1]))
    x = [source.transforms.lookup("world", OPTICAL, frame.stamp_ns)[0, 3] for frame in source]
    np.testing.assert_allclose(x, range(10), atol=1e-6)


def test_a_second_reading_has_its_transforms_again(tmp_path: Path) -> None:
    recorded = a_recording(10) + [("/tf", when(n), a_tf("world", OPTICAL, stamp_ns=when(n))) for n in range(10)]
    source = source_of(tmp_path, sorted(recorded, key=lambda item: item[1]))
    for _ in range(2):
        for frame in source:
            source.transforms.lookup("world", OPTICAL, frame.stamp_ns)


def test_a_transform_that_was_never_recorded_is_unavailable(tmp_path: Path) -> None:
    source = source_of(tmp_path, a_recording(2))
    for frame in source:
        with pytest.raises(TransformUnavailable):
            source.transforms.lookup("world", OPTICAL, frame.stamp_ns)


def test_instructions_are_known_with_their_time(tmp_path: Path) -> None:
    recorded = [*a_recording(3), ("/instruction", when(1), a_text("the red mug")), ("/chatter", when(1), a_text("no"))]
    assert source_of(tmp_path, recorded).instructions == ((when(1), "the red mug"),)


def test_instructions_are_timed_by_the_images_clock(tmp_path: Path) -> None:
    """Recorded on a wall clock hours away from the stamps of the images."""
    apart_ns = 7200 * 1_000_000_000
    recorded = [(topic, now_ns + apart_ns, message) for topic, now_ns, message in a_recording(3)]
    recorded.append(("/referent/instruction", when(2) + apart_ns, a_text("the kettle")))
    assert source_of(tmp_path, recorded).instructions == ((when(2), "the kettle"),)


# losses


def test_one_bad_message_is_skipped_counted_and_explained(tmp_path: Path) -> None:
    recorded = a_recording(6)
    cut_off = an_image(np.zeros((6, 8, 3), np.uint8), "rgb8", stamp_ns=when(2))
    cut_off = cut_off.__class__(**{**vars_of(cut_off), "data": cut_off.data[:50]})
    recorded = [(t, at, cut_off if (t, at) == (COLOR, when(2)) else m) for t, at, m in recorded]
    source = source_of(tmp_path, recorded)
    assert numbers(list(source)) == [0, 1, 3, 4, 5]
    assert source.drops["bad_color"] == 1
    assert source.drops["unmatched_depth"] == 1
    assert "50 bytes, 144 expected" in source.drop_reasons["bad_color"]


def test_bad_transforms_and_calibrations_are_counted(tmp_path: Path) -> None:
    recorded = a_recording(4)
    recorded.insert(5, ("/tf", when(1), a_tf("a", "b", xyzw=(0, 0, 0, 0))))
    recorded.insert(6, (INFO, when(1), a_camera_info(k=[0] * 9)))
    recorded.insert(7, ("/tf_static", when(1), a_tf("a", "a")))
    source = source_of(tmp_path, recorded)
    assert numbers(list(source)) == [0, 1, 2, 3]
    assert (source.drops["bad_tf"], source.drops["bad_info"], source.drops["bad_tf_static"]) == (1, 1, 1)


def test_a_lost_depth_image_is_counted(tmp_path: Path) -> None:
    source = source_of(tmp_path, [item for item in a_recording(5) if item[:2] != (DEPTH, when(2))])
    assert numbers(list(source)) == [0, 1, 3, 4]
    assert source.drops["unmatched_color"] == 1


def test_a_looped_recording_begins_again_with_its_transforms(tmp_path: Path) -> None:
    once = a_recording(60)
    once += [("/tf", when(n), a_tf("world", OPTICAL, stamp_ns=when(n), xyz=(n, 0, 0))) for n in range(60)]
    once.sort(key=lambda item: item[1])
    again = [(topic, now_ns + 60 * FRAME_NS, message) for topic, now_ns, message in once]
    source = source_of(tmp_path, once + again)
    got = [
        (int(source.transforms.lookup("world", OPTICAL, frame.stamp_ns)[0, 3]), frame.rgb[0, 0, 0]) for frame in source
    ]
    assert [x for x, _ in got] == [n for _, n in got] == [*range(60), *range(60)]
    assert source.drops["resets"] == 1


def vars_of(message: object) -> dict[str, object]:
    return {name: getattr(message, name) for name in message.__dataclass_fields__ if name != "__msgtype__"}  # type: ignore[attr-defined]
