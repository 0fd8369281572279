"""A simulated scene as a bag: what a camera would record, and beside it what is true."""

from __future__ import annotations

import json
from pathlib import Path

from tqdm import tqdm

from referent.errors import BadMessage
from referent.evaluation.lines import truth_line
from referent.sources.bag_writer import BagWriter
from referent.sources.rosbag import TRUTH_TOPIC
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import START_NS, simulate

TRUTH_IDS_TOPIC = "/truth/instance_ids"  # sensor_msgs/Image mono8: instance id of each pixel, 0 = none
TRUTH_PARTS_TOPIC = "/truth/part_ids"  # likewise: 1 + place in the simulator's PARTS ("handle", ...), 0 = no named part


def write_simulated_bag(
    scene_name: str,
    seed: int,
    seconds: float,
    output: Path | str,
    *,
    fps: float = 30,
    width: int = 640,
    height: int = 480,
    overwrite: bool = False,
) -> int:
    """Write `seconds` of a named scene with sensor noise, camera motion on tf and ground truth; returns the frames."""
    count = round(seconds * fps)
    if count < 1:
        raise BadMessage(f"{seconds:g} s at {fps:g} frames a second is no frame; ask for at least {1 / fps:.3g} s")
    shown = simulate(
        named_scene(scene_name, seed), frames=count, fps=fps, width=width, height=height, start_ns=START_NS
    )
    with BagWriter(output, overwrite=overwrite) as bag:
        bag.write_camera_mount(START_NS)
        for seen in tqdm(shown, total=count, desc="simulate", unit="frame", disable=None, delay=1):
            stamp_ns, truth = seen.frame.stamp_ns, seen.truth
            bag.write_camera_pose(stamp_ns, truth.world_from_camera)
            bag.write_frame(seen.frame)
            for topic, pixels in ((TRUTH_IDS_TOPIC, truth.instance_ids), (TRUTH_PARTS_TOPIC, truth.part_ids)):
                if pixels is not None:
                    bag.write_image(topic, stamp_ns, seen.frame.camera_frame, pixels, "mono8")
            bag.write_text(TRUTH_TOPIC, stamp_ns, json.dumps(truth_line(stamp_ns, truth)))
    return count
