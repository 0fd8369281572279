"""The ROS process `soak.listener`: says what to look for, and writes down once a second what Referent answers."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from referent_msgs.msg import TrackedObject, TrackedObjectArray
from sensor_msgs.msg import Image
from std_msgs.msg import String

from referent.messages import stamp_ns
from referent_ros.parameters import declare
from referent_ros.running import run

QUEUE = QoSProfile(depth=50)
LINE_PERIOD_S = 1.0
STATE_NAMES = ("SEARCHING", "TRACKING", "UNCERTAIN", "OCCLUDED", "LOST")
STATES = {getattr(TrackedObject, name): name.lower() for name in STATE_NAMES}


class Listener(Node):
    """Says the phrases of `say`, separated by |, in turns, a new one every `say_every_s` of stamped time."""

    def __init__(self, stop: threading.Event, **node_options: Any) -> None:
        super().__init__("listener", **node_options)
        self._phrases = declare(self, "say", "the red mug", "phrases, separated by |").split("|")
        self._say_every_s = declare(self, "say_every_s", 60.0, "seconds of stamped time between two phrases")
        self._path = Path(declare(self, "output", "", "file of lines"))
        self._said = 0
        self._first_ns: int | None = None
        self._line = _Line()
        self._voice = self.create_publisher(String, "instruction", QoSProfile(depth=10))
        self.create_subscription(TrackedObjectArray, "referent/tracks", self._on_tracks, QUEUE)
        self.create_subscription(Image, "referent/masks", self._on_masks, QUEUE)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, QUEUE)

    def start(self) -> None:
        """Begin to write."""
        self.create_timer(LINE_PERIOD_S, self._write)

    def close(self) -> None:
        """Write the last line."""
        self._write()

    def _on_tracks(self, message: TrackedObjectArray) -> None:
        line, stamp = self._line, stamp_ns(message.header)
        self._first_ns = stamp if self._first_ns is None else self._first_ns
        line.heard += 1
        line.newest_ns = stamp
        line.states = [STATES.get(each.state, str(each.state)) for each in message.objects]
        timings = dict(zip(message.timing_names, message.timings_s, strict=True))
        line.steps_ms.append(round(1e3 * timings["total"], 2))
        line.waits_ms.append(round(1e3 * timings["wait"], 2))
        line.groundings += [(str(each.reason), str(each.outcome)) for each in message.groundings]
        if (stamp - self._first_ns) / 1e9 >= self._said * self._say_every_s:
            self._voice.publish(String(data=self._phrases[self._said % len(self._phrases)]))
            self._said += 1

    def _on_masks(self, message: Image) -> None:
        self._line.latencies_ms.append(round((self.get_clock().now().nanoseconds - stamp_ns(message.header)) / 1e6, 2))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            name = status.name.split(": ")[-1]
            self._line.diagnostics[name] = {"level": status.level[0], "message": status.message, **values}

    def _write(self) -> None:
        line, self._line = self._line, _Line()
        now_s = self.get_clock().now().nanoseconds / 1e9
        with self._path.open("a") as file:
            file.write(json.dumps({"at_s": round(now_s, 2), "said": self._said, **vars(line)}) + "\n")


class _Line:
    """What was heard since the last line."""

    def __init__(self) -> None:
        self.heard = 0
        self.newest_ns = 0
        self.states: list[str] = []
        self.steps_ms: list[float] = []
        self.waits_ms: list[float] = []
        self.latencies_ms: list[float] = []
        self.groundings: list[tuple[str, str]] = []
        self.diagnostics: dict[str, dict[str, Any]] = {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop."""
    return run(Listener, arguments)


if __name__ == "__main__":
    sys.exit(main())
