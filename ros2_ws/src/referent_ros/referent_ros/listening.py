"""The node's inputs: subscriptions, pairing, and what is known about their health."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from referent.config import Config
from referent.errors import DepthNotRegistered, ReferentError
from referent.intake import CameraIntake
from referent.live import LivePipeline
from referent.messages import stamp_ns, transforms_from_tf
from referent.types import RgbdFrame
from referent_ros.diagnostics import InputHealth, Inputs, input_status
from referent_ros.pairing import PairingHealth
from referent_ros.qos_fit import unheard_publisher

IMAGE_QUEUE = 10  # a third of a second at 30 Hz: so long the executor may be held up without a loss
TRANSFORM_QUEUE = QoSProfile(depth=100)
STATIC_TRANSFORM_QUEUE = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
INSTRUCTION_QUEUE = QoSProfile(depth=10)
LOG_PERIOD_S = 5.0


class Listener:
    """Listens for a node and hands over to its pipeline. Belongs to the executor's thread."""

    def __init__(self, node: Node, config: Config, live: LivePipeline, note_words: Callable[[str], None]) -> None:
        self._node = node
        self._live = live
        self._note_words = note_words  # is told of every instruction
        self._intake = CameraIntake(config.input, live.transforms)
        self._subscriptions: list[Subscription] = []
        self._health: dict[str, InputHealth] = {}
        self._wants_transforms = wants_transforms(config)
        reliability = ReliabilityPolicy.RELIABLE if config.input.reliable else ReliabilityPolicy.BEST_EFFORT
        self._image_qos = QoSProfile(depth=IMAGE_QUEUE, reliability=reliability)
        compressed = config.input.image_transport == "compressed"
        self._image_type = CompressedImage if compressed else Image
        self._color = transported(node, "color/image_rect", "/compressed" if compressed else "")
        self._depth = transported(node, "depth/image_rect", "/compressedDepth" if compressed else "")
        self._pairing = PairingHealth(
            node.resolve_topic_name(self._color),
            node.resolve_topic_name(self._depth),
            length=config.input.queue_length,
            max_skew_s=config.input.max_skew_s,
        )
        self.starved_by = ""  # why no frame can come, by the newest status

    def open(self) -> None:
        """Start to listen."""
        self._intake.reset()
        self._subscribe(self._image_type, self._color, self._on_color, self._image_qos, needed=True)
        self._subscribe(CameraInfo, "color/camera_info", self._on_camera_info, self._image_qos, needed=True)
        self._subscribe(self._image_type, self._depth, self._on_depth, self._image_qos, needed=True)
        self._subscribe(CameraInfo, "depth/camera_info", self._on_depth_camera_info, self._image_qos)
        self._subscribe(String, "instruction", self._on_instruction, INSTRUCTION_QUEUE)
        # Few and latched, and where depth is registered here one of them is the way from depth's camera to color's.
        self._subscribe(TFMessage, "/tf_static", self._on_static_transforms, STATIC_TRANSFORM_QUEUE)
        self._listen_to_transforms()

    def reconfigure(self, config: Config) -> None:
        """Go on with other settings."""
        self._wants_transforms = wants_transforms(config)
        if self.is_open:
            self._listen_to_transforms()

    def close(self) -> None:
        """Stop listening; what is known of the inputs is forgotten."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        self._health.clear()

    def status(self, seconds: float) -> DiagnosticStatus:
        """The inputs over the last `seconds`."""
        for health in self._health.values():
            health.incompatible_policy = unheard_publisher(self._node, health.topic)
        inputs = Inputs(
            color=self._health[self._color],
            info=self._health["color/camera_info"],
            all=tuple(self._health.values()),
            reliable=self._image_qos.reliability == ReliabilityPolicy.RELIABLE,
        )
        publishers = {each.topic: self._node.count_publishers(each.topic) for each in inputs.all}
        values = {
            "skew_s": self._pairing.skew_s,
            "depth_registered_here": self._intake.registers,
            **self._intake.counts,
        }
        raw = self._intake.raw_warning(inputs.color.topic)
        pairing = self._pairing.report(self._intake.counts, time.monotonic())
        self.starved_by = f"nothing on {', '.join(inputs.missing)}" if inputs.missing else pairing.unpaired
        warnings = [*self._live.warnings, *pairing.complaints, *([] if raw is None else [raw])]
        if self._node.get_parameter("use_sim_time").value and self._node.get_clock().now().nanoseconds == 0:
            warnings.append("use_sim_time is set and nothing came on /clock: goals have no timeouts; play with --clock")
        return input_status(
            inputs, seconds, publishers=publishers, values=values, warnings=warnings, unpaired=pairing.unpaired
        )

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return bool(self._subscriptions)

    def _listen_to_transforms(self) -> None:
        if self._wants_transforms and "/tf" not in self._health:
            self._subscribe(TFMessage, "/tf", self._on_transforms, TRANSFORM_QUEUE)

    def _subscribe(
        self, kind: type, name: str, handle: Callable[[Any], None], qos: QoSProfile, *, needed: bool = False
    ) -> None:
        health = self._health[name] = InputHealth(self._node.resolve_topic_name(name), needed=needed)
        subscription = self._node.create_subscription(
            kind,
            name,
            self._guarded(handle, health),
            copy(qos),  # rclpy writes overrides into the profile it is given
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._subscriptions.append(subscription)

    def _guarded(self, handle: Callable[[Any], None], health: InputHealth) -> Callable[..., None]:
        """A callback, of message and info, for which a bad message costs that message only."""

        def callback(message: Any, info: Mapping[str, Any]) -> None:
            health.arrived(len(getattr(message, "data", ())))
            if health.needed:  # of the others there may be several publishers
                health.numbered(info["publication_sequence_number"])
            try:
                handle(message)
            except ReferentError as error:
                health.failed(str(error))
                self._node.get_logger().warning(f"{health.topic}: {error}", throttle_duration_sec=LOG_PERIOD_S)
            except Exception as error:  # out of a callback it would end the executor
                health.failed(f"internal fault: {type(error).__name__}: {error}")
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_PERIOD_S)

        return callback

    def _on_color(self, msg: Image | CompressedImage) -> None:
        self._pairing.color(stamp_ns(msg.header))
        self._hand_over(self._intake.color(msg))

    def _on_depth(self, msg: Image | CompressedImage) -> None:
        self._pairing.depth(stamp_ns(msg.header))
        try:
            frame = self._intake.depth(msg)
            if not self._intake.knows_depth:  # masks still come, poses cannot
                self._health[self._depth].failed("no pixel of the image has a known depth")
        except DepthNotRegistered as error:
            self._health[self._depth].failed(str(error))
            frame = self._intake.no_depth(msg)
        self._hand_over(frame)

    def _on_camera_info(self, msg: CameraInfo) -> None:
        self._intake.camera_info(msg)

    def _on_depth_camera_info(self, msg: CameraInfo) -> None:
        self._intake.depth_camera_info(msg)

    def _on_instruction(self, msg: String) -> None:
        self._note_words(msg.data)
        self._live.instruct(msg.data)

    def _on_transforms(self, msg: TFMessage, *, static: bool = False) -> None:
        for parent, child, stamp, parent_from_child in transforms_from_tf(msg):
            # Our own broadcasts come back on /tf; one name per track would fill the buffer with edges.
            if not child.startswith("object_"):
                self._live.add_transform(parent, child, stamp, parent_from_child, static=static)

    def _on_static_transforms(self, msg: TFMessage) -> None:
        self._on_transforms(msg, static=True)

    def _hand_over(self, frame: RgbdFrame | None) -> None:
        if frame is not None:
            self._live.put(frame)


def transported(node: Node, base: str, suffix: str) -> str:
    """The topic of a transport: where its base topic is remapped to, as in image_transport, unless it is so itself."""
    name = base + suffix
    remapped_itself = node.resolve_topic_name(name) != node.resolve_topic_name(name, only_expand=True)
    return name if remapped_itself else node.resolve_topic_name(base) + suffix


def wants_transforms(config: Config) -> bool:
    """Whether any setting names a coordinate frame that /tf leads to."""
    return bool(config.output.frame or config.output.world_frame or config.memory.frame)
