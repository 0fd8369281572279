"""A ROS client inside a measuring script: when it heard what, on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from referent_msgs.msg import TrackedObjectArray
from referent_msgs.srv import QueryObjects
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from referent.errors import ReferentError

QUEUE = QoSProfile(depth=20)
ANSWER_LIMIT_S = 20.0


class Witness:
    """What this client heard; times are of time.monotonic."""

    def __init__(self) -> None:
        self.heard_s: dict[str, list[float]] = {name: [] for name in ("camera", "masks", "tracks", "diagnostics")}
        self.groundings: list[tuple[float, str]] = []  # when, and the outcome
        self.values: dict[str, dict[str, str]] = {}  # of each diagnostic status, the newest
        self._node = rclpy.create_node("witness")
        self._voice = self._node.create_publisher(String, "instruction", QoSProfile(depth=10))
        self._query = self._node.create_client(QueryObjects, "referent/query_objects")
        self._node.create_subscription(CameraInfo, "color/camera_info", lambda _: self._note("camera"), QUEUE)
        self._node.create_subscription(TrackedObjectArray, "referent/tracks", self._on_tracks, QUEUE)
        self._node.create_subscription(Image, "referent/masks", lambda _: self._note("masks"), QUEUE)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, QUEUE)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Give an instruction."""
        self._voice.publish(String(data=text))

    def is_heard(self) -> bool:
        """Whether a node listens to instructions."""
        return self._voice.get_subscription_count() > 0

    def remembered(self) -> set[str]:
        """Ids of everything the node remembers. Raises ReferentError when it does not answer."""
        if not self._query.wait_for_service(ANSWER_LIMIT_S):
            raise ReferentError("nobody offers referent/query_objects")
        answer, done = self._query.call_async(QueryObjects.Request()), threading.Event()
        answer.add_done_callback(lambda _: done.set())
        if not done.wait(ANSWER_LIMIT_S) or not answer.result().success:
            raise ReferentError("referent/query_objects did not answer well")
        return {known.memory_id for known in answer.result().objects}

    def since(self, topic: str, moment_s: float) -> list[float]:
        """When something was heard after a moment."""
        return [each for each in tuple(self.heard_s[topic]) if each > moment_s]

    def widest_gap_s(self, topic: str, begun_s: float, ended_s: float) -> float:
        """The longest silence on a topic between two moments."""
        times = [begun_s, *(each for each in self.since(topic, begun_s) if each < ended_s), ended_s]
        return max(after - before for before, after in pairwise(times))

    def answered_since(self, moment_s: float) -> bool:
        """Whether the grounder gave an answer that is not a failure."""
        return any(when > moment_s and outcome != "failed" for when, outcome in tuple(self.groundings))

    def close(self) -> None:
        """Leave the network."""
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()

    def _note(self, topic: str) -> None:
        self.heard_s[topic].append(time.monotonic())

    def _on_tracks(self, message: TrackedObjectArray) -> None:
        self._note("tracks")
        self.groundings += [(time.monotonic(), str(event.outcome)) for event in message.groundings]

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._note("diagnostics")
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self.values[status.name.split(": ")[-1]] = {"message": status.message, **values}


@contextmanager
def witness() -> Iterator[Witness]:
    """A witness in the ROS domain that the environment names."""
    rclpy.init()
    try:
        seen = Witness()
        try:
            yield seen
        finally:
            seen.close()
    finally:
        rclpy.try_shutdown()
