"""The ROS process `soak.camera`: plays a prepared clip there and back, for a while, and counts what it sent.

The messages are serialised beforehand, so that playing costs the machine as little as a driver written in C would:
only the stamp is written into them, which CDR puts behind its header of four bytes.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from referent_ros import camera_messages as messages
from referent_ros.camera import LATCHED, LINK_FRAME, WORLD_FRAME
from referent_ros.parameters import declare
from referent_ros.result_messages import image_message, time_from_ns
from referent_ros.running import run
from soak.clip import Clip, loaded, there_and_back

CDR_HEADER, STAMP = 4, struct.Struct("<iI")
SETTLE_S, INFO_PERIOD_S = 2.0, 0.1  # discovery goes both ways
TOLD_PERIOD_S = 1.0


@dataclass(frozen=True, eq=False)
class _Shot:
    """One picture as bytes, without its stamp."""

    info: tuple[bytes, bytes]
    color: tuple[bytes, bytes]
    depth: tuple[bytes, bytes]
    world_from_link: np.ndarray


class LoopCamera(Node):
    """Sends `count` pictures at `rate_hz` of stamped time, `speed` times as fast as that, once somebody listens."""

    def __init__(self, stop: threading.Event, **node_options: Any) -> None:
        super().__init__("camera", **node_options)
        self._clip_path = Path(declare(self, "clip", "", "file of the prepared clip"))
        self._rate_hz = declare(self, "rate_hz", 30.0, "pictures per second of stamps")
        self._speed = declare(self, "speed", 1.0, "how much faster than their stamps they are sent")
        self._count = declare(self, "count", 0, "pictures to send; 0 = until it is stopped")
        self._told = Path(declare(self, "told", "", "file for what was sent"))
        self._queue = declare(self, "queue", 5, "messages each topic keeps for slow listeners")
        self._stop = stop
        self._sent = 0
        self._late_s = 0.0
        self._thread = threading.Thread(target=self._play, daemon=True)
        qos = QoSProfile(depth=self._queue)
        self._color = self.create_publisher(Image, "color/image_rect", qos)
        self._info = self.create_publisher(CameraInfo, "color/camera_info", qos)
        self._depth = self.create_publisher(Image, "depth/image_rect", qos)
        self._transforms = self.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        self._static = self.create_publisher(TFMessage, "/tf_static", LATCHED)

    def start(self) -> None:
        """Read the clip, then play."""
        clip = loaded(self._clip_path)
        self._shots = [_shot(clip, index) for index in range(len(clip))]
        self._optical_frame = clip.camera_frame
        self._thread.start()

    def close(self) -> None:
        """Stop playing; tell what was sent."""
        self._stop.set()
        self._thread.join()
        self._tell(done=True)

    def _play(self) -> None:
        topics = (self._color, self._info, self._depth)
        while not all(topic.get_subscription_count() for topic in topics):
            if self._stop.wait(0.05):
                return
        self._introduce()
        now = self.get_clock().now()
        self._static.publish(
            messages.transform_message(now.to_msg(), LINK_FRAME, self._optical_frame, messages.LINK_FROM_OPTICAL)
        )
        begun_s, first_ns, told_s = time.monotonic(), now.nanoseconds, 0.0
        for index in islice(there_and_back(len(self._shots)), self._count or None):
            due_s = begun_s + self._sent / (self._rate_hz * self._speed)
            if self._stop.wait(max(0.0, due_s - time.monotonic())):
                return
            self._late_s = max(self._late_s, time.monotonic() - due_s)
            self._send(self._shots[index], self._stamp_ns(first_ns))
            if time.monotonic() - told_s > TOLD_PERIOD_S:
                told_s = time.monotonic()
                self._tell(done=False)
        self._tell(done=True)

    def _introduce(self) -> None:
        """Send camera_info alone for a while: topics overtake each other, and a picture without it is of no use."""
        for _ in range(round(SETTLE_S / INFO_PERIOD_S)):
            self._info.publish(b"".join((self._shots[0].info[0], STAMP.pack(1, 0), self._shots[0].info[1])))
            self._stop.wait(INFO_PERIOD_S)

    def _stamp_ns(self, first_ns: int) -> int:
        """Now; where the clip is played faster, the time it plays in."""
        if self._speed == 1:
            return int(self.get_clock().now().nanoseconds)
        return first_ns + round(self._sent * 1e9 / self._rate_hz)

    def _send(self, shot: _Shot, stamp_ns: int) -> None:
        stamp = time_from_ns(stamp_ns)
        self._transforms.publish(messages.transform_message(stamp, WORLD_FRAME, LINK_FRAME, shot.world_from_link))
        stamped = STAMP.pack(stamp.sec, stamp.nanosec)
        for topic, (before, after) in zip(
            (self._info, self._color, self._depth), (shot.info, shot.color, shot.depth), strict=True
        ):
            topic.publish(b"".join((before, stamped, after)))
        self._sent += 1

    def _tell(self, *, done: bool) -> None:
        part = self._told.with_suffix(".part")
        part.write_text(json.dumps({"sent": self._sent, "late_s": round(self._late_s, 4), "done": done}))
        part.rename(self._told)


def _shot(clip: Clip, index: int) -> _Shot:
    header = Header(frame_id=clip.camera_frame)
    return _Shot(
        info=_around_stamp(messages.camera_info_message(header, clip.camera)),
        color=_around_stamp(messages.rgb_message(header, clip.rgb[index])),
        depth=_around_stamp(image_message(header, clip.depth_mm[index])),
        world_from_link=clip.world_from_camera[index] @ np.linalg.inv(messages.LINK_FROM_OPTICAL),
    )


def _around_stamp(message: Any) -> tuple[bytes, bytes]:
    serialised = bytes(serialize_message(message))
    return serialised[:CDR_HEADER], serialised[CDR_HEADER + STAMP.size :]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until everything is sent and this process is told to stop."""
    return run(LoopCamera, arguments)


if __name__ == "__main__":
    sys.exit(main())
