"""The node `client`: says an instruction, listens to what Referent makes of it, and writes that down."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile
from rclpy.task import Future
from referent_msgs.msg import TrackedObjectArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from vision_msgs.msg import Detection3DArray

from referent.config import Config
from referent.errors import ReferentError
from referent.evaluation.metrics import percentiles
from referent.messages import intrinsics_from_camera_info, stamp_ns
from referent.replay import models_of
from referent.settings import flatten, override, to_tree
from referent.types import Intrinsics
from referent_ros.parameters import declare
from referent_ros.recording import STATE_NAMES, Gathering, write_recording
from referent_ros.running import run

QUEUE = QoSProfile(depth=20)
PERIOD_S = 0.1
PROGRESS_PERIOD_S = 1.0
SILENCE_S = 5.0  # the data has ended when nothing came for so long


class ClientNode(Node):
    """Waits for Referent and a camera, speaks once, and listens to `seconds` of data."""

    def __init__(self, stop: threading.Event, **node_options: Any) -> None:
        super().__init__("client", **node_options)
        self._instruction = declare(self, "instruction", "the red mug", "what is said")
        self._seconds = declare(self, "seconds", 12.0, "of data to listen to")
        self._output = Path(declare(self, "output", "out/demo", "folder of the recording"))
        self._patience_s = declare(self, "patience_s", 600.0, "seconds to wait for the first answer")
        self._with_truth = declare(self, "truth", True, "listen to the simulated camera's truth")
        self._server = declare(self, "server", "referent", "name of the node to listen to")
        self._stop = stop
        self._gathering = Gathering(with_truth=self._with_truth)
        self._camera: Intrinsics | None = None
        self._config: Config | None = None
        self._settings_asked = self._spoken = False
        self._latencies_s: list[float] = []
        self._first_ns: int | None = None
        self._newest_ns = 0
        self._newest_text = "no answer yet"
        self._begun_s = self._heard_s = self._told_s = time.monotonic()
        self._voice = self.create_publisher(String, "instruction", QoSProfile(depth=10))
        self._settings_client = AsyncParameterClient(self, self._server)
        self._listen()

    def start(self) -> None:
        """Begin to wait."""
        self.get_logger().info(f"waiting for {self._server!r} and a camera")
        self.create_timer(PERIOD_S, self._look_around)

    def close(self) -> None:
        """Write down what was heard. Raises ReferentError when there was nothing."""
        self._gathering.finish()
        frames = self._gathering.frames
        if not frames:
            raise ReferentError(f"nothing was heard on {self._server}/tracks: are the node and the camera running?")
        self.get_logger().info(f"writing {len(frames)} frames and the report to {self._output}")
        write_recording(self._output, frames, self._camera, fields=self._facts())
        self.get_logger().info("done")

    def _listen(self) -> None:
        self._hear(TrackedObjectArray, f"{self._server}/tracks", "tracks")
        self._hear(Image, f"{self._server}/masks", "masks")
        self._hear(Image, "color/image_rect", "color")
        self.create_subscription(CameraInfo, "color/camera_info", self._on_camera_info, QUEUE)
        if self._with_truth:
            self._hear(Image, "truth/instance_ids", "true_ids")
            self._hear(Detection3DArray, "truth/objects", "true_objects")
            self._hear(PoseStamped, "truth/camera_pose", "true_camera")

    def _hear(self, kind: type, topic: str, part: str) -> None:
        def callback(message: Any) -> None:
            self._heard_s = time.monotonic()
            stamp = stamp_ns(message.header)
            self._gathering.add(stamp, part, message)
            if part == "tracks":
                self._on_tracks(stamp, message)

        self.create_subscription(kind, topic, callback, QUEUE)

    def _on_tracks(self, stamp: int, message: TrackedObjectArray) -> None:
        self._first_ns = stamp if self._first_ns is None else self._first_ns
        self._newest_ns = stamp
        self._latencies_s.append((self.get_clock().now().nanoseconds - stamp) / 1e9)
        states = [f"{each.expression} {STATE_NAMES[each.state]}" for each in message.objects]
        self._newest_text = ", ".join(states) or "no target yet"

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera = intrinsics_from_camera_info(message)

    def _look_around(self) -> None:
        if not self._settings_asked and self._settings_client.services_are_ready():
            self._settings_asked = True
            self._settings_client.get_parameters([item.name for item in flatten(Config())], self._on_settings)
        if not self._spoken and self._first_ns is not None and self._voice.get_subscription_count() > 0:
            self._spoken = True
            self.get_logger().info(f"saying {self._instruction!r}")
            self._voice.publish(String(data=self._instruction))
        self._tell_progress()
        if self._is_over():
            self._stop.set()

    def _on_settings(self, future: Future) -> None:
        values = [parameter_value_to_python(value) for value in future.result().values]
        names = [item.name for item in flatten(Config())]
        self._config = override(Config(), dict(zip(names, values, strict=True)))

    def _heard_seconds(self) -> float:
        return 0.0 if self._first_ns is None else (self._newest_ns - self._first_ns) / 1e9

    def _tell_progress(self) -> None:
        if self._first_ns is not None and time.monotonic() - self._told_s > PROGRESS_PERIOD_S:
            self._told_s = time.monotonic()
            self.get_logger().info(f"{self._heard_seconds():.0f} of {self._seconds:g} s: {self._newest_text}")

    def _is_over(self) -> bool:
        now_s = time.monotonic()
        if self._first_ns is None:
            return now_s - self._begun_s > self._patience_s
        return self._heard_seconds() >= self._seconds or now_s - self._heard_s > SILENCE_S

    def _facts(self) -> dict[str, Any]:
        """What summary.json says beside what follows from the frames."""
        facts: dict[str, Any] = {
            "instruction": self._instruction,
            "end_to_end_latency_s": percentiles(self._latencies_s),
            "recording": dict(self._gathering.counts),
        }
        if self._config is not None:
            facts |= {"config": to_tree(self._config), "models": models_of(self._config)}
        return facts


def main(arguments: list[str] | None = None) -> int:
    """The executable `client`."""
    return run(ClientNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
