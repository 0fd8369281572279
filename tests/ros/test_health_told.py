"""What /diagnostics says while inputs, grounder or state are not as they should be, and when they are again."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from painted import painted
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot import Robot, a_robot
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from referent.types import FrameResult, GrounderHealth, RgbdFrame
from referent_ros import camera_messages
from referent_ros.diagnostics import InputHealth, Inputs, OutputHealth, input_status
from referent_ros.memory_use import memory_in_use
from referent_ros.pairing import PairingHealth

OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"
RED = {"red": (10, 10, 24, 24)}
NO_COUNTS = dict.fromkeys(
    ("pairs", "unmatched_color", "unmatched_depth", "duplicates", "out_of_order", "frame_mismatch"), 0
)


def show_apart(robot: Robot, frame: RgbdFrame, seconds: float) -> None:
    """A picture whose depth has a later stamp."""
    assert frame.depth_m is not None
    late = replace(frame, stamp_ns=frame.stamp_ns + round(seconds * 1e9))
    robot.info.publish(camera_messages.camera_info_message(robot.header(frame), frame.intrinsics))
    robot.color.publish(camera_messages.rgb_message(robot.header(frame), frame.rgb))
    robot.depth.publish(camera_messages.depth_message(robot.header(late), frame.depth_m))
    robot.spin(0.03)


def test_stamps_that_never_pair_are_an_error_that_names_both_topics_and_the_pipeline_says_so_too() -> None:
    with a_robot() as robot:
        robot.say("the red block")
        robot.show(painted(0, RED))
        numbers = iter(range(20, 2000))

        def starved() -> bool:
            show_apart(robot, painted(next(numbers), RED), 0.04)
            status = robot.diagnosis("pipeline")
            return status is not None and "no frame for" in status.message

        robot.wait_for(starved)
        inputs, pipeline, objects = (robot.diagnosis(name) for name in ("input", "pipeline", "objects"))
        assert inputs.level == ERROR
        assert "never pair: stamps on /color/image_rect and /depth/image_rect are 0.040 s apart" in inputs.message
        assert pipeline.level == WARN
        assert "never pair" in pipeline.message
        assert objects.level == WARN
        assert objects.message.startswith("1 objects, as seen")


@pytest.mark.parametrize(
    ("skew_s", "way_out"), [(0.3, "raise it where cameras are not synchronised"), (9e8, "must come from one clock")]
)
def test_the_way_out_is_that_of_the_distance(skew_s: float, way_out: str) -> None:
    health = PairingHealth("/color", "/depth", length=5, max_skew_s=0.02)
    health.color(10**18)
    health.depth(10**18 + round(skew_s * 1e9))
    report = health.report({**NO_COUNTS, "unmatched_color": 1, "unmatched_depth": 1}, 100.0)
    assert way_out in report.unpaired


def test_a_few_pairs_among_many_lonely_images_are_told() -> None:
    health = PairingHealth("/color", "/depth", length=5, max_skew_s=0.02)
    health.color(10**9)
    health.depth(10**9 + 30_000_000)
    counts = {**NO_COUNTS, "pairs": 2, "unmatched_color": 28, "unmatched_depth": 27}
    (told,) = health.report(counts, 100.0).complaints
    assert told.startswith("only 2 of 29 color images pair with depth: stamps on /color and /depth are 0.030 s apart")
    assert health.report(counts, 103.0).complaints == ()


def test_a_driver_that_leaves_stamps_empty_is_told_what_to_fill() -> None:
    health = PairingHealth("/color", "/depth", length=5, max_skew_s=0.02)
    health.color(0)
    (told,) = health.report({**NO_COUNTS, "duplicates": 3}, 100.0).complaints
    assert told.endswith("it is 0, the driver must fill header.stamp")


def images(topic: str, *, needed: bool = True) -> InputHealth:
    return InputHealth(topic, needed=needed)


def test_a_driver_of_which_nothing_comes_may_have_lost_it_all_on_the_way() -> None:
    color, info = images("/color/image_rect"), images("/color/camera_info")
    offered = {color.topic: 1, info.topic: 1}
    status = input_status(Inputs(color, info, (color, info)), 1.0, publishers=offered, values={})
    assert "if its driver sends (ros2 topic hz), Fast DDS loses most images over 512 KiB" in status.message
    reliably = Inputs(color, info, (color, info), reliable=True)
    assert "Fast DDS" not in input_status(reliably, 1.0, publishers=offered, values={}).message


def test_a_slow_camera_is_not_silent_between_two_pictures() -> None:
    color, info = images("/color/image_rect"), images("/color/camera_info")
    inputs = Inputs(color, info, (color, info))
    color.arrived()
    info.arrived()
    assert input_status(inputs, 0.2, publishers={}, values={}).level == OK
    assert input_status(inputs, 0.2, publishers={}, values={}).level == OK, "nothing came in this period"


def test_a_publisher_that_could_not_be_heard_is_forgotten_when_it_leaves() -> None:
    with a_robot() as robot:
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        tablet = robot.node.create_publisher(String, "instruction", best_effort)
        status = robot.wait_for_diagnosis("input", "/instruction: the publisher's QoS does not fit (reliability)")
        assert "see `ros2 topic info -v /instruction`" in status.message
        robot.node.destroy_publisher(tablet)
        robot.heard["diagnostics"].clear()
        robot.wait_for(lambda: (now := robot.diagnosis("input")) is not None and "QoS" not in now.message)


def test_one_of_two_publishers_that_cannot_be_heard_is_told_while_the_other_is() -> None:
    with a_robot(output__frame="base_link") as robot:
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        robot.node.create_publisher(TFMessage, "/tf", best_effort)
        frame = painted(0, RED)
        stamp = robot.header(frame).stamp

        def told() -> bool:
            robot.tf.publish(camera_messages.transform_message(stamp, "base_link", frame.camera_frame, np.eye(4)))
            status = robot.diagnosis("input")
            values = {} if status is None else {pair.key: pair.value for pair in status.values}
            return float(values.get("/tf rate_hz", 0)) > 0 and "/tf: the publisher's QoS does not fit" in status.message

        robot.wait_for(told)


def test_simulated_time_that_nobody_publishes_is_told() -> None:
    with a_robot(use_sim_time=True) as robot:
        status = robot.wait_for_diagnosis("input", "use_sim_time is set and nothing came on /clock")
        clock = robot.publisher(Clock, "/clock")
        robot.wait_for(clock.get_subscription_count)
        clock.publish(Clock(clock=Time(sec=5)))
        robot.heard["diagnostics"].clear()
        robot.wait_for(lambda: (now := robot.diagnosis("input")) is not None and "/clock" not in now.message)
        assert status.level == ERROR, "no picture came either"


def test_a_listener_that_heard_nothing_is_forgotten_when_it_leaves() -> None:
    with a_robot() as robot:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        listener = robot.node.create_subscription(Image, "referent/masks", lambda _: None, latched)
        robot.wait_for_diagnosis("output", "a subscriber of /referent/masks hears nothing")
        robot.node.destroy_subscription(listener)
        assert robot.wait_for_diagnosis("output", "offered").level == OK


def test_a_grounder_that_loads_its_model_says_so() -> None:
    health = OutputHealth()
    health.note_result(FrameResult(1, "camera", (), grounder=GrounderHealth("starting")), 0.1, 0.05)
    status = next(each for each in health.statuses(1.0, {}) if each.name == "grounder")
    assert (status.level, status.message) == (OK, "starting: questions wait until its model is loaded")


def test_memory_on_the_gpu_is_told_where_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(memory_in_use()) == {"memory_mb"}
    cuda = SimpleNamespace(is_initialized=lambda: True, memory_reserved=lambda: 338_000_000)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert memory_in_use()["gpu_memory_mb"] == 338


def test_an_inactive_node_tells_nothing_of_the_grounder_it_had_and_a_finalized_one_that_it_is() -> None:
    with a_robot() as robot:
        robot.say("the red block")
        robot.show(painted(0, RED))
        robot.wait_for_diagnosis("grounder", "'the red block' (new): found")
        robot.node.trigger_deactivate()
        assert robot.wait_for_diagnosis("grounder", "the node is not active").level == OK
        assert robot.diagnosis("pipeline").level == OK
        robot.node.trigger_shutdown()
        assert robot.wait_for_diagnosis("lifecycle", "finalized").level == OK
