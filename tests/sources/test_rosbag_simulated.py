"""A simulated scene becomes a bag that reads back as what the simulator knew, with the truth beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from referent.config import InputConfig
from referent.errors import BadMessage
from referent.messages import stamp_ns
from referent.sources.bag_reader import open_bag
from referent.sources.rosbag import TRUTH_TOPIC, read_bag
from referent.sources.simulated_bag import TRUTH_IDS_TOPIC, TRUTH_PARTS_TOPIC, write_simulated_bag
from referent.sources.simulation.scenes import SCENE_NAMES, named_scene
from referent.sources.simulation.simulate import simulate

SCENE, SEED, WIDTH, HEIGHT = SCENE_NAMES[0], 3, 160, 120


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "bag"
    assert write_simulated_bag(SCENE, SEED, 0.2, path, fps=20, width=WIDTH, height=HEIGHT) == 4
    return path


def test_frames_and_camera_motion_are_the_simulators(bag: Path) -> None:
    source = read_bag(bag, InputConfig())
    shown = simulate(named_scene(SCENE, SEED), frames=4, fps=20, width=WIDTH, height=HEIGHT)
    for read, seen in zip(source, shown, strict=True):
        assert (read.stamp_ns, read.intrinsics) == (seen.frame.stamp_ns, seen.frame.intrinsics)
        np.testing.assert_array_equal(read.rgb, seen.frame.rgb)
        assert seen.frame.depth_m is not None
        near = seen.frame.depth_m <= 9.99
        np.testing.assert_allclose(read.depth_m[near], seen.frame.depth_m[near], atol=0.51e-3)
        world_from_camera = source.transforms.lookup("world", read.camera_frame, read.stamp_ns)
        np.testing.assert_allclose(world_from_camera, seen.truth.world_from_camera, atol=1e-9)


def test_the_truth_lies_beside_every_frame(bag: Path) -> None:
    shown = list(simulate(named_scene(SCENE, SEED), frames=4, fps=20, width=WIDTH, height=HEIGHT))
    with open_bag(bag) as reader:
        ids = [reader.decode(topic, data) for topic, _, data in reader.raw([TRUTH_IDS_TOPIC])]
        parts = [reader.decode(topic, data) for topic, _, data in reader.raw([TRUTH_PARTS_TOPIC])]
        lines = [json.loads(reader.decode(topic, data).data) for topic, _, data in reader.raw([TRUTH_TOPIC])]
    for message, part_message, line, seen in zip(ids, parts, lines, shown, strict=True):
        assert stamp_ns(message.header) == line["stamp_ns"] == seen.frame.stamp_ns
        np.testing.assert_array_equal(message.data.reshape(HEIGHT, WIDTH), seen.truth.instance_ids)
        np.testing.assert_array_equal(part_message.data.reshape(HEIGHT, WIDTH), seen.truth.part_ids)
        assert [o["instance_id"] for o in line["objects"]] == [o.instance_id for o in seen.truth.objects]
        for written, known in zip(line["objects"], seen.truth.objects, strict=True):
            assert (written["material"], written["size_word"]) == (known.material, known.size_word)
            assert written["parts_xyxy"] == {name: box.tolist() for name, box in known.parts_xyxy.items()}
    assert any(o["parts_xyxy"] for line in lines for o in line["objects"])


def test_the_same_seed_gives_the_same_bytes(bag: Path, tmp_path: Path) -> None:
    write_simulated_bag(SCENE, SEED, 0.2, tmp_path / "bag", fps=20, width=WIDTH, height=HEIGHT)
    assert (tmp_path / "bag" / "bag.mcap").read_bytes() == (bag / "bag.mcap").read_bytes()


def test_no_time_is_no_bag(tmp_path: Path) -> None:
    with pytest.raises(BadMessage, match=r"0 s at 30 frames a second is no frame"):
        write_simulated_bag(SCENE, SEED, 0.0, tmp_path / "bag")
    assert list(tmp_path.iterdir()) == []
