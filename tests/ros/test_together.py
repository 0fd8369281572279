"""Camera, node and client together, and each as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rclpy
from doubles import ColorTracker, ScriptedWorker
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from referent_msgs.action import Follow
from robot import overrides

from referent.config import Config
from referent.errors import ConfigError, ReferentError
from referent.frames.transforms import TransformBuffer
from referent.pipeline import Pipeline
from referent.types import Grounding, GroundingItem, GroundingRequest, RgbdFrame, TrackedMask
from referent_ros.camera import CameraNode
from referent_ros.client import ClientNode
from referent_ros.node import ReferentNode

BOX_XYXY = np.array([20, 20, 60, 50], np.float32)


class StillTracker(ColorTracker):
    """Believes that nothing moves."""

    def _mask(self, object_id: str, frame: RgbdFrame) -> TrackedMask:
        mask = np.zeros(frame.rgb.shape[:2], bool)
        x1, y1, x2, y2 = BOX_XYXY.astype(int)
        mask[y1:y2, x1:x2] = True
        return TrackedMask(object_id, mask, 0.9, 0.9, 5.0)


def one_box(request: GroundingRequest) -> Grounding:
    return Grounding(request, (GroundingItem(label="red mug", box_xyxy=BOX_XYXY, score=0.9),))


def still_pipeline(config: Config, transforms: TransformBuffer) -> Pipeline:
    return Pipeline(config, tracker=StillTracker(), worker=ScriptedWorker([one_box]), transforms=transforms)


@contextmanager
def ros() -> Iterator[SingleThreadedExecutor]:
    rclpy.init()
    executor = SingleThreadedExecutor()
    try:
        yield executor
    finally:
        executor.shutdown()
        rclpy.try_shutdown()


def test_the_client_writes_a_recording_of_what_the_node_says_about_the_cameras_pictures(tmp_path: Path) -> None:
    done, played = threading.Event(), threading.Event()
    small = {"seconds": 2.5, "rate_hz": 10, "width": 96, "height": 72, "wait_for_listeners": 2}
    with ros() as executor:
        camera = CameraNode(played, parameter_overrides=overrides(**small))
        node = ReferentNode(still_pipeline, parameter_overrides=overrides(output__world_frame="world"))
        client = ClientNode(
            done, parameter_overrides=overrides(seconds=1.5, output=str(tmp_path), instruction="the red mug")
        )
        for each in (camera, node, client):
            executor.add_node(each)
            each.start()
        deadline = time.monotonic() + 60
        while not done.is_set():
            assert time.monotonic() < deadline
            executor.spin_once(timeout_sec=0.05)
        for each in (client, node, camera):
            each.close()
            each.destroy_node()
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert len(lines) == summary["frames"] >= 2  # of 15, as many as the machine makes
    assert [line["stamp_ns"] for line in lines] == [line["stamp_ns"] for line in truth]
    assert lines[-1]["objects"][0]["bbox_xyxy"] == BOX_XYXY.tolist()
    assert truth[0]["objects"][0]["description"]
    assert [grounding["outcome"] for grounding in summary["groundings"]] == ["found"]
    assert summary["config"]["output"]["world_frame"] == "world"
    assert summary["instruction"] == "the red mug"
    assert (tmp_path / "overlay.mp4").stat().st_size > 1000
    assert (tmp_path / "report.html").is_file()


def test_a_client_that_heard_nothing_says_so_and_writes_nothing(tmp_path: Path) -> None:
    with ros():
        client = ClientNode(threading.Event(), parameter_overrides=overrides(output=str(tmp_path / "out")))
        with pytest.raises(ReferentError, match="nothing was heard on referent/tracks"):
            client.close()
        client.destroy_node()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"seconds": 0}, "seconds=0"), ({"scene": "moon"}, "moon"), ({"seconds": 1e6}, "1 to 3000 frames")],
)
def test_a_camera_that_cannot_play_says_why(settings: dict[str, object], message: str) -> None:
    with ros():
        camera = CameraNode(threading.Event(), parameter_overrides=overrides(**settings))
        with pytest.raises(ReferentError, match=message):
            camera.start()
        camera.destroy_node()


def test_a_wrong_type_of_a_cameras_parameter_is_named() -> None:
    with ros(), pytest.raises(ConfigError, match="camera: rate_hz: 'fast' is str"):
        CameraNode(threading.Event(), parameter_overrides=overrides(rate_hz="fast"))


def process(name: str, *parameters: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"referent_ros.{name}", "--ros-args"]
    command += [part for parameter in parameters for part in ("-p", parameter)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_asked_to_end_does_so_quietly(number: signal.Signals) -> None:
    running = process("node", "autostart:=false")
    assert running.stdout is not None
    assert "waiting to be configured" in running.stdout.readline()
    running.send_signal(number)
    rest, _ = running.communicate(timeout=30)
    assert (running.returncode, rest) == (0, "")


def test_a_node_that_ends_tells_its_clients_why_first() -> None:
    running = process("node")
    assert running.stdout is not None
    assert "listening" in running.stdout.readline()
    with ros() as executor:
        own = rclpy.create_node("client_of_the_node")
        executor.add_node(own)
        client = ActionClient(own, Follow, "referent/follow")
        assert client.wait_for_server(timeout_sec=20)
        accepted = client.send_goal_async(Follow.Goal(instruction="the red mug"))
        executor.spin_until_future_complete(accepted, timeout_sec=20)
        ended = accepted.result().get_result_async()
        executor.spin_once(timeout_sec=0.5)
        running.send_signal(signal.SIGTERM)
        executor.spin_until_future_complete(ended, timeout_sec=20)
        assert ended.result().result.reason == "the node was shut down"
        client.destroy()
        own.destroy_node()
    rest, _ = running.communicate(timeout=30)
    assert (running.returncode, rest) == (0, "")


def test_a_wrong_setting_ends_the_node_with_one_line_and_status_2() -> None:
    running = process("node", "tracker.max_objects:=0")
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 2
    assert said.startswith("referent: tracker.max_objects")
    assert said.count("\n") == 1
