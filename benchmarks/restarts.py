"""Brings the node up and down again and again, with its real models, and tells what grows.

Run inside the sourced workspace: python benchmarks/restarts.py --rounds 50
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from referent.benching import write_json
from referent.types import Intrinsics
from referent_ros import camera_messages
from referent_ros.node import ReferentNode

WARM_UP = 5  # rounds in which caches of libraries fill
CAMERA = Intrinsics(320, 240, 300.0, 300.0, 160.0, 120.0)


def main() -> int:
    """Print one line per round, and whether it grew after the warm-up."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=50)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    rclpy.init()
    node, camera = ReferentNode(), rclpy.create_node("camera")
    executor = SingleThreadedExecutor()
    for each in (node, camera):
        executor.add_node(each)
    rounds = [one_round(node, camera, executor, number) for number in range(given.rounds)]
    node.close()
    executor.shutdown()
    camera.destroy_node()
    node.destroy_node()
    rclpy.try_shutdown()
    first, last = rounds[min(WARM_UP, len(rounds) - 1)], rounds[-1]
    growth = {name: last[name] - first[name] for name in ("memory_mb", "threads", "processes", "files")}
    print("growth after the warm-up:", growth)
    write_json(given.json, {"rounds": rounds, "growth": growth})
    return 0


def one_round(
    node: ReferentNode, camera: rclpy.node.Node, executor: SingleThreadedExecutor, number: int
) -> dict[str, float]:
    """Configure, activate, one picture, deactivate, activate, deactivate, clean up."""
    begun_s = time.perf_counter()
    for transition in (node.trigger_configure, node.trigger_activate):
        require(transition())
    up_s = time.perf_counter() - begun_s
    show(node, camera, executor)
    for transition in (node.trigger_deactivate, node.trigger_activate, node.trigger_deactivate, node.trigger_cleanup):
        require(transition())
    found = {"round": number, "up_s": round(up_s, 2), "memory_mb": memory_mb()}
    found |= {"threads": threading.active_count(), "processes": len(multiprocessing.active_children())}
    found["files"] = len(os.listdir("/proc/self/fd"))
    print(" ".join(f"{name}={value}" for name, value in found.items()), flush=True)
    return found


def show(node: ReferentNode, camera: rclpy.node.Node, executor: SingleThreadedExecutor) -> None:
    """Publish pictures until one was processed."""
    info = camera.create_publisher(CameraInfo, "color/camera_info", 5)
    color = camera.create_publisher(Image, "color/image_rect", 5)
    depth = camera.create_publisher(Image, "depth/image_rect", 5)
    rgb = np.random.default_rng(0).integers(0, 256, (CAMERA.height, CAMERA.width, 3)).astype(np.uint8)
    processed: list[object] = []
    heard = camera.create_subscription(Image, "referent/masks", processed.append, 5)
    deadline_s = time.monotonic() + 60
    while not processed and time.monotonic() < deadline_s:
        header = Header(stamp=camera.get_clock().now().to_msg(), frame_id="camera")
        info.publish(camera_messages.camera_info_message(header, CAMERA))
        color.publish(camera_messages.rgb_message(header, rgb))
        depth.publish(camera_messages.depth_message(header, np.ones(rgb.shape[:2], np.float32)))
        for _ in range(20):
            executor.spin_once(timeout_sec=0.02)
    require(TransitionCallbackReturn.SUCCESS if processed else TransitionCallbackReturn.FAILURE)
    camera.destroy_subscription(heard)
    for publisher in (info, color, depth):
        camera.destroy_publisher(publisher)


def require(done: TransitionCallbackReturn) -> None:
    """Raise SystemExit unless a step worked."""
    if done != TransitionCallbackReturn.SUCCESS:
        raise SystemExit(f"a round failed with {done}; see the log")


def memory_mb() -> float:
    """Resident memory of this process."""
    with open("/proc/self/statm") as file:
        return round(int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6, 1)


if __name__ == "__main__":
    sys.exit(main())
