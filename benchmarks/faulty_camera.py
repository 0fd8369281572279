"""A camera that plays a simulated table with a fault of `diagnostics_of_faults`, and hears what the node says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Duration
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage

from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent_ros import camera_messages


class FaultyCamera(Node):
    """`done` when what is looked for was followed for `fault.play_s`, or after `limit_s`."""

    def __init__(self, fault: Any, *, limit_s: float, with_overlay: bool) -> None:
        super().__init__("camera")
        self._fault, self._limit_s = fault, limit_s
        self.done, self.statuses, self.overlay = False, [], None
        self._shots = list(simulate(named_scene("tabletop"), frames=30, fps=10))
        self._number, self._begun = 0, None
        reliability = ReliabilityPolicy.BEST_EFFORT if fault.best_effort else ReliabilityPolicy.RELIABLE
        kinds = {
            "/tf": (TFMessage, QoSProfile(depth=100)),
            **{
                f"{name}/image_rect": (Image, QoSProfile(depth=5, reliability=reliability))
                for name in ("color", "depth")
            },
            "color/camera_info": (CameraInfo, QoSProfile(depth=5, reliability=reliability)),
        }
        self._outputs = {
            topic: self.create_publisher(kind, topic, qos)
            for topic, (kind, qos) in kinds.items()
            if topic != fault.left_out
        }
        self._voice = self.create_publisher(String, "instruction", 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)
        if with_overlay:
            self.create_subscription(Image, "referent/overlay", self._look, 5)
        self.create_timer(0.1, self._play)

    def _look(self, message: Image) -> None:
        self.overlay = message

    def _hear(self, message: DiagnosticArray) -> None:
        self.statuses = [
            {
                "name": each.name,
                "level": each.level[0],
                "message": each.message,
                "values": [(v.key, v.value) for v in each.values],
            }
            for each in message.status
        ]

    def _play(self) -> None:
        """Forth and back, so that nothing jumps; the words come after a second."""
        now = self.get_clock().now()
        if self._begun is None:
            self._begun = self._found = now if self._voice.get_subscription_count() else None
            return
        self._number += 1
        if self._number == 10:
            self._voice.publish(String(data="put the red mug into the yellow bowl"))
        turn = self._number % (2 * len(self._shots) - 2)
        self._show(self._shots[min(turn, 2 * len(self._shots) - 2 - turn)], now)
        if self._fault.finds and "tracking" not in str(self.statuses):
            self._found = now
        over = now - self._begun > Duration(seconds=self._limit_s)
        self.done = over or now - self._found > Duration(seconds=self._fault.play_s)

    def _show(self, shot: Any, now: Any) -> None:
        frame = shot.frame
        header = Header(stamp=now.to_msg(), frame_id=frame.camera_frame)
        behind = (now - Duration(seconds=self._fault.skew_s)).to_msg()
        of_depth = Header(stamp=behind, frame_id=self._fault.depth_frame or frame.camera_frame)
        depth_m = np.roll(frame.depth_m, self._fault.depth_moved_px, axis=1)
        pose = shot.truth.world_from_camera
        messages = {
            "/tf": camera_messages.transform_message(header.stamp, "world", frame.camera_frame, pose),
            "color/camera_info": camera_messages.camera_info_message(header, frame.intrinsics),
            "color/image_rect": camera_messages.rgb_message(header, frame.rgb),
            "depth/image_rect": camera_messages.depth_message(of_depth, depth_m),
        }
        for topic, publisher in self._outputs.items():
            publisher.publish(messages[topic])
