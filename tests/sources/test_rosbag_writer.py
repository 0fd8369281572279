"""A bag that is written reads back the same, is whole or not there at all, and never destroys what is not a bag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import OPTICAL
from painted import painted
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability

from referent.config import InputConfig
from referent.errors import BadMessage
from referent.sources.bag_writer import LINK_FROM_OPTICAL, BagWriter, counts_from_metres
from referent.sources.rosbag import read_bag, write_bag
from referent.types import RgbdFrame

FRAMES = [painted(n, {"red": (10 + n, 10, 30, 30)}) for n in range(4)]


def a_pose(x: float) -> np.ndarray:
    """A camera at height 1 m that looks along the world's x with its y down."""
    pose = LINK_FROM_OPTICAL.copy()
    pose[:3, 3] = [x, 0, 1]
    return pose


def test_frames_read_back_are_those_written(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", FRAMES)
    for read, written in zip(read_bag(tmp_path / "bag", InputConfig()), FRAMES, strict=True):
        assert (read.stamp_ns, read.camera_frame, read.intrinsics) == (written.stamp_ns, OPTICAL, written.intrinsics)
        np.testing.assert_array_equal(read.rgb, written.rgb)
        np.testing.assert_allclose(read.depth_m, written.depth_m, atol=1e-6)


def test_camera_poses_come_back_through_tf(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", FRAMES, world_from_optical=[a_pose(n) for n in range(4)])
    source = read_bag(tmp_path / "bag", InputConfig())
    for number, frame in enumerate(source):
        found = source.transforms.lookup("world", frame.camera_frame, frame.stamp_ns)
        np.testing.assert_allclose(found, a_pose(number), atol=1e-9)
        level = source.transforms.lookup("world", "camera_link", frame.stamp_ns)
        np.testing.assert_allclose(level[:3, :3], np.eye(3), atol=1e-9)  # REP-103: a level body looks along x, z up


def test_instructions_come_back_with_their_time(tmp_path: Path) -> None:
    spoken = [(FRAMES[2].stamp_ns, "the green one"), (FRAMES[0].stamp_ns, "the red one"), (FRAMES[3].stamp_ns + 9, "x")]
    write_bag(tmp_path / "bag", FRAMES, instructions=spoken)
    assert read_bag(tmp_path / "bag", InputConfig()).instructions == tuple(sorted(spoken))


def test_static_transforms_are_latched_for_bag_players(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", FRAMES, world_from_optical=[a_pose(n) for n in range(4)])
    with AnyReader([tmp_path / "bag"]) as reader:
        durability = {c.topic: c.ext.offered_qos_profiles[0].durability for c in reader.connections}
    assert durability["/tf_static"] is QosDurability.TRANSIENT_LOCAL
    assert durability["/tf"] is QosDurability.VOLATILE


def test_a_name_ending_in_mcap_gives_a_single_file(tmp_path: Path) -> None:
    write_bag(tmp_path / "one.mcap", FRAMES)
    assert [item.name for item in tmp_path.iterdir()] == ["one.mcap"]
    assert (tmp_path / "one.mcap").is_file()
    assert len(list(read_bag(tmp_path / "one.mcap", InputConfig()))) == 4


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    write_bag(tmp_path / "new" / "deep" / "bag", FRAMES)
    assert len(list(read_bag(tmp_path / "new" / "deep" / "bag", InputConfig()))) == 4


@pytest.mark.parametrize("fault", [KeyboardInterrupt, BadMessage])
def test_an_interrupted_bag_is_not_there_at_all(tmp_path: Path, fault: type[BaseException]) -> None:
    def until_interrupted() -> object:
        yield from FRAMES[:2]
        raise fault

    with pytest.raises(fault):
        write_bag(tmp_path / "bag", until_interrupted())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_no_frames_make_no_bag(tmp_path: Path) -> None:
    with pytest.raises(BadMessage, match="no frames to write"):
        write_bag(tmp_path / "bag", [])
    assert list(tmp_path.iterdir()) == []


def test_a_bag_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", FRAMES)
    with pytest.raises(BadMessage, match="exists already"):
        write_bag(tmp_path / "bag", FRAMES[:1])
    assert len(list(read_bag(tmp_path / "bag", InputConfig()))) == 4
    write_bag(tmp_path / "bag", FRAMES[:1], overwrite=True)
    assert len(list(read_bag(tmp_path / "bag", InputConfig()))) == 1


def test_an_interrupted_replacement_leaves_the_old_bag(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", FRAMES)
    with pytest.raises(BadMessage, match="no frames"):
        write_bag(tmp_path / "bag", [], overwrite=True)
    assert len(list(read_bag(tmp_path / "bag", InputConfig()))) == 4


def test_a_folder_that_is_no_bag_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(BadMessage, match="is a folder but no rosbag2"):
        write_bag(tmp_path / "thesis", FRAMES, overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"
    assert [item.name for item in tmp_path.iterdir()] == ["thesis"]


@pytest.mark.parametrize("name", ["x.bag", "x.db3"])
def test_other_formats_are_not_promised(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadMessage, match="MCAP is written"):
        BagWriter(tmp_path / name)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadMessage, match="cannot be written"):
        write_bag(tmp_path / "file" / "bag", FRAMES)


def test_depth_that_millimetres_cannot_hold_is_unknown() -> None:
    depth_m = np.array([[1.0004, np.nan, np.inf, -1.0, 0.0, 65.534, 65.535, 100.0]], np.float32)
    np.testing.assert_array_equal(counts_from_metres(depth_m), [[1000, 0, 0, 0, 0, 65534, 0, 0]])


def test_a_frame_without_depth_is_color_only(tmp_path: Path) -> None:
    bare = [RgbdFrame(f.stamp_ns, f.camera_frame, f.rgb, None, f.intrinsics) for f in FRAMES]
    write_bag(tmp_path / "bag", bare)
    with pytest.raises(BadMessage, match="no depth image"):
        read_bag(tmp_path / "bag", InputConfig())
