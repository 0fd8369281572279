"""A robot in a test: a camera that shows painted pictures, ears for everything Referent says, and the node itself."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from doubles import ColorGrounder, ColorTracker
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from referent_msgs.msg import TrackedObjectArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3DArray, LabelInfo

from referent.config import Config
from referent.frames.transforms import TransformBuffer
from referent.grounding.workers import ReplayWorker
from referent.pipeline import Pipeline
from referent.ports import Grounder, Tracker
from referent.types import RgbdFrame
from referent_ros import camera_messages
from referent_ros.node import MakePipeline, ReferentNode
from referent_ros.result_messages import time_from_ns

QUEUE = QoSProfile(depth=20)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
OUTPUTS = {
    "referent/masks": (Image, QUEUE),
    "referent/label_info": (LabelInfo, LATCHED),
    "referent/detections": (Detection2DArray, QUEUE),
    "referent/objects": (Detection3DArray, QUEUE),
    "referent/tracks": (TrackedObjectArray, QUEUE),
    "referent/target_pose": (PoseStamped, QUEUE),
    "referent/target_mask": (Image, QUEUE),
    "referent/target_cloud": (PointCloud2, QUEUE),
    "/tf": (TFMessage, QUEUE),
    "/diagnostics": (DiagnosticArray, QUEUE),
}
PER_FRAME = ("masks", "detections", "objects", "tracks")


def pipeline_of(make_tracker: Callable[[], Tracker], grounder: Grounder) -> MakePipeline:
    """Makes pipelines with a tracker each and one grounder, whose answers are in at once."""

    def make(config: Config, transforms: TransformBuffer) -> Pipeline:
        worker = ReplayWorker(grounder, latency_ns=0)
        return Pipeline(config, tracker=make_tracker(), worker=worker, transforms=transforms)

    return make


def color_pipeline(config: Config, transforms: TransformBuffer) -> Pipeline:
    """A pipeline that finds and follows pure colors, at once."""
    return pipeline_of(ColorTracker, ColorGrounder())(config, transforms)


class Robot:
    """Publishes what a camera publishes and keeps everything it hears, by topic."""

    def __init__(self, executor: SingleThreadedExecutor, node: ReferentNode, *, best_effort: bool = False) -> None:
        self.node = node
        self.heard: dict[str, list[Any]] = defaultdict(list)
        self._executor = executor
        self._own = rclpy.create_node("robot")
        reliability = ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE
        qos = QoSProfile(depth=5, reliability=reliability)
        self.color = self._own.create_publisher(Image, "color/image_rect", qos)
        self.info = self._own.create_publisher(CameraInfo, "color/camera_info", qos)
        self.depth = self._own.create_publisher(Image, "depth/image_rect", qos)
        self.voice = self._own.create_publisher(String, "instruction", QUEUE)
        self.tf = self._own.create_publisher(TFMessage, "/tf", QUEUE)
        for topic, (kind, out_qos) in OUTPUTS.items():
            self._own.create_subscription(kind, topic, self.heard[topic.split("/")[-1]].append, out_qos)
        executor.add_node(self._own)

    def publisher(self, kind: type, topic: str) -> Any:
        """One more topic of this robot."""
        return self._own.create_publisher(kind, topic, QUEUE)

    def latched(self, kind: type, topic: str) -> Any:
        """One more topic that late listeners hear too."""
        return self._own.create_publisher(kind, topic, LATCHED)

    def listen(self, kind: type, topic: str) -> None:
        """Listen to one more topic, which nobody is sent otherwise; what comes is kept in `heard`."""
        self._own.create_subscription(kind, topic, self.heard[topic.split("/")[-1]].append, QUEUE)
        self.wait_for(lambda: self._own.count_publishers(topic) and self.node.count_subscribers(topic))

    def wait_for(self, condition: Callable[[], Any], *, seconds: float = 20.0) -> None:
        """Spin until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, {topic: len(heard) for topic, heard in self.heard.items()}
            self._executor.spin_once(timeout_sec=0.05)

    def spin(self, seconds: float) -> None:
        """Let a while pass."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.02)

    def wait_for_ears(self) -> None:
        """Until the active node listens and is listened to."""
        self.wait_for(
            lambda: self.color.get_subscription_count() and self.info.get_subscription_count()
            and self.depth.get_subscription_count() and self.voice.get_subscription_count()
        )  # fmt: skip
        self.wait_for(lambda: all(self._own.count_publishers(topic) for topic in OUTPUTS))
        self.spin(0.2)  # the other direction of discovery

    def say(self, text: str) -> None:
        """Speak; the node is given a moment to hear it before the next picture."""
        self.voice.publish(String(data=text))
        self.spin(0.2)

    def show(self, frame: RgbdFrame) -> TrackedObjectArray:
        """Show one picture and wait for all that is said about it."""
        self.send(frame)
        self.wait_for(lambda: all(self.about(frame, topic) for topic in PER_FRAME))
        return self.about(frame, "tracks")[0]

    def send(self, frame: RgbdFrame) -> None:
        """Show one picture."""
        header = self.header(frame)
        self.info.publish(camera_messages.camera_info_message(header, frame.intrinsics))
        self.spin(0.05)  # topics overtake each other
        self.color.publish(camera_messages.rgb_message(header, frame.rgb))
        assert frame.depth_m is not None
        self.depth.publish(camera_messages.depth_message(header, frame.depth_m))

    def header(self, frame: RgbdFrame) -> Header:
        """The header of a picture."""
        return Header(stamp=time_from_ns(frame.stamp_ns), frame_id=frame.camera_frame)

    def about(self, frame: RgbdFrame, topic: str) -> list[Any]:
        """What was said on a topic under the stamp of a picture."""
        return [each for each in self.heard[topic] if each.header.stamp == time_from_ns(frame.stamp_ns)]

    def transforms(self) -> list[Any]:
        """Every transform of an object that was broadcast."""
        every = [each for message in self.heard["tf"] for each in message.transforms]
        return [each for each in every if each.child_frame_id.startswith("object_")]

    def diagnosis(self, name: str) -> Any:
        """The newest diagnostic status of a name."""
        every = [status for message in self.heard["diagnostics"] for status in message.status]
        return next((status for status in reversed(every) if status.name == f"referent: {name}"), None)

    def wait_for_diagnosis(self, name: str, text: str) -> Any:
        """The first status of a name from now on whose message holds `text`."""
        self.heard["diagnostics"].clear()
        self.wait_for(lambda: (status := self.diagnosis(name)) is not None and text in status.message)
        return self.diagnosis(name)

    def close(self) -> None:
        self._own.destroy_node()


class Services:
    """The client side of services of the node, by their names under `referent/`."""

    def __init__(self, robot: Robot, kinds: Mapping[str, Any]) -> None:
        self._robot, self._kinds = robot, kinds
        self._clients = {name: robot.node.create_client(kind, f"referent/{name}") for name, kind in kinds.items()}
        robot.wait_for(lambda: all(client.service_is_ready() for client in self._clients.values()))

    def call(self, name: str, **fields: Any) -> Any:
        """The response to a request of these fields."""
        answer = self._clients[name].call_async(self._kinds[name].Request(**fields))
        self._robot.wait_for(answer.done)
        return answer.result()


@contextmanager
def a_robot(
    *,
    make_pipeline: MakePipeline = color_pipeline,
    best_effort: bool = False,
    start: bool = True,
    cli_args: Sequence[str] = (),
    **settings: object,
) -> Iterator[Robot]:
    """A robot with Referent on board; settings are written group__name."""
    rclpy.init()
    try:
        parameters = overrides(output__diagnostics_period_s=0.2, **settings)
        node = ReferentNode(make_pipeline, parameter_overrides=parameters, cli_args=list(cli_args))
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        robot = Robot(executor, node, best_effort=best_effort)
        try:
            if start:
                node.start()
                robot.wait_for_ears()
            yield robot
        finally:
            node.close()
            executor.shutdown()
            robot.close()
            node.destroy_node()
    finally:
        rclpy.try_shutdown()


def overrides(**settings: object) -> Sequence[Parameter]:
    """Parameters as a launch file would give them."""
    return [Parameter(name.replace("__", "."), value=value) for name, value in settings.items()]
