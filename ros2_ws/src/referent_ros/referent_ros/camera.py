"""The node `camera`: a simulated RGB-D camera that also tells the truth about its scene."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from referent.errors import ConfigError
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import SimulatedFrame
from referent_ros import camera_messages as messages
from referent_ros.parameters import declare
from referent_ros.result_messages import image_message, pose_message
from referent_ros.running import run

QUEUE = QoSProfile(depth=5)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LINK_FRAME, WORLD_FRAME = "camera_link", "world"
PROGRESS_PERIOD_S = 1.0
LINGER_S = 1.0  # for reliable delivery of the last messages
MAX_FRAMES = 3000  # about 5 GB of prepared pictures


class CameraNode(Node):
    """Renders a clip first, since that is slower than a camera; then plays it once at the real rate."""

    def __init__(self, stop: threading.Event, **node_options: Any) -> None:
        super().__init__("camera", **node_options)
        self._scene = declare(self, "scene", "tabletop", "a scene of the simulator")
        self._seed = declare(self, "seed", 0, "which variant of the scene")
        self._rate_hz = declare(self, "rate_hz", 10.0, "pictures per second")
        self._seconds = declare(self, "seconds", 15.0, "length of the clip")
        self._width = declare(self, "width", 640, "of a picture, in pixels")
        self._height = declare(self, "height", 480, "of a picture, in pixels")
        self._listeners = declare(self, "wait_for_listeners", 1, "subscribers of the color topic before it plays")
        self._stop = stop
        self._clip: list[SimulatedFrame] = []
        self._next = 0
        self._timer: Timer | None = None
        self._offer()

    def start(self) -> None:
        """Render, then begin to play. Raises ReferentError for an unknown scene, ConfigError for a wrong length."""
        count = round(self._seconds * self._rate_hz)
        if not 1 <= count <= MAX_FRAMES:
            raise ConfigError(f"camera: seconds={self._seconds} at rate_hz={self._rate_hz}: 1 to {MAX_FRAMES} frames")
        self._render(count)
        if self._clip:
            self._timer = self.create_timer(1 / self._rate_hz, self._play)

    def close(self) -> None:
        """Stop playing."""
        if self._timer is not None:
            self._timer.cancel()

    def _offer(self) -> None:
        self._color = self.create_publisher(Image, "color/image_rect", QUEUE)
        self._info = self.create_publisher(CameraInfo, "color/camera_info", QUEUE)
        self._depth = self.create_publisher(Image, "depth/image_rect", QUEUE)
        self._transforms = self.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        self._static_transforms = self.create_publisher(TFMessage, "/tf_static", LATCHED)
        self._true_ids = self.create_publisher(Image, "truth/instance_ids", QUEUE)
        self._true_objects = self.create_publisher(Detection3DArray, "truth/objects", QUEUE)
        self._true_pose = self.create_publisher(PoseStamped, "truth/camera_pose", QUEUE)

    def _render(self, count: int) -> None:
        scene, told_s = named_scene(self._scene, self._seed), time.monotonic()
        for shot in simulate(scene, frames=count, fps=self._rate_hz, width=self._width, height=self._height):
            if self._stop.is_set():
                return
            self._clip.append(shot)
            if time.monotonic() - told_s > PROGRESS_PERIOD_S:
                told_s = time.monotonic()
                self.get_logger().info(f"rendered {len(self._clip)} of {count} pictures of {self._scene!r}")
        self.get_logger().info(f"rendered {count} pictures of {self._scene!r}; waiting for listeners")

    def _play(self) -> None:
        if self._next == 0 and self._color.get_subscription_count() < self._listeners:
            return
        if self._next == 0:
            self.get_logger().info("playing")
            self._publish_static_transform(self._clip[0].frame.camera_frame)
        if self._next < len(self._clip):
            self._publish(self._clip[self._next])
        elif self._next >= len(self._clip) + LINGER_S * self._rate_hz:
            self.get_logger().info("played to the end")
            self.close()
            self._stop.set()
        self._next += 1

    def _publish(self, shot: SimulatedFrame) -> None:
        """Everything about one picture, under one stamp: now."""
        frame, truth = shot.frame, shot.truth
        assert frame.depth_m is not None
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=frame.camera_frame)
        world_from_link = truth.world_from_camera @ np.linalg.inv(messages.LINK_FROM_OPTICAL)
        self._transforms.publish(messages.transform_message(header.stamp, WORLD_FRAME, LINK_FRAME, world_from_link))
        self._info.publish(messages.camera_info_message(header, frame.intrinsics))
        self._color.publish(messages.rgb_message(header, frame.rgb))
        self._depth.publish(messages.depth_message(header, frame.depth_m))
        self._true_ids.publish(image_message(header, truth.instance_ids))
        self._true_objects.publish(messages.truth_message(header, truth))
        in_world = Header(stamp=header.stamp, frame_id=WORLD_FRAME)
        self._true_pose.publish(PoseStamped(header=in_world, pose=pose_message(truth.world_from_camera)))

    def _publish_static_transform(self, optical_frame: str) -> None:
        stamp = self.get_clock().now().to_msg()
        self._static_transforms.publish(
            messages.transform_message(stamp, LINK_FRAME, optical_frame, messages.LINK_FROM_OPTICAL)
        )


def main(arguments: list[str] | None = None) -> int:
    """The executable `camera`."""
    return run(CameraNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
