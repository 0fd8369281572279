"""The example client of Nav2 with the real node, its real memory and poses, and servers in Nav2's place.

Masks and words come from the simulator's truth, so that what is tested is what comes after them.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, Quaternion, Transform, Vector3
from knowing import Knowing
from nav2_msgs import action as nav2_action
from nav2_msgs.action import NavigateToPose
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rclpy.task import Task
from referent_msgs.msg import TrackedObjectArray
from robot import Robot, a_robot, overrides, pipeline_of

from referent.errors import ConfigError
from referent.geometry.poses import rigid, rigid_inverse, rotation_from_quaternion
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import ObjectTruth, SimulatedFrame
from referent.types import Array
from referent_examples.approach import stands
from referent_examples.goals import NotReached
from referent_examples.navigate import NavigateNode
from referent_ros.camera_messages import LINK_FROM_OPTICAL, transform_message
from referent_ros.waiting import next_wake

if not hasattr(nav2_action, "FollowObject"):
    pytest.skip("nav2_msgs before 1.3.13 has no FollowObject", allow_module_level=True)
FollowObject = nav2_action.FollowObject
STANDOFF_M = 0.5
PATIENCE = 6  # pictures without a pose: by time a busy machine would decide
# The table stands somewhere in the map, turned by 90 degrees; the robot's camera is 0.4 m before its middle.
MAP_FROM_WORLD = np.array([[0.0, -1, 0, 4.0], [1, 0, 0, 2.0], [0, 0, 1, 0.75], [0, 0, 0, 1]])
BASE_FROM_CAMERA_M = 0.4


class Nav2:
    """Servers in Nav2's place: they note the goals, and do with each what the test says next."""

    def __init__(self, node: Node) -> None:
        self.goals: list[Any] = []
        self.endings: list[str] = []  # what becomes of the next goals: reached, blocked, or waits until it is cancelled
        self.arrived = False  # ends those that wait
        self.canceled = 0
        self._node = node
        self._servers = [
            ActionServer(node, kind, name, execute, cancel_callback=lambda _: CancelResponse.ACCEPT)
            for kind, name, execute in (
                (NavigateToPose, "navigate_to_pose", self._drive),
                (FollowObject, "follow_object", self._chase),
            )
        ]

    async def _drive(self, handle: ServerGoalHandle) -> NavigateToPose.Result:
        self.goals.append(handle.request)
        ending = self.endings.pop(0) if self.endings else "waits"
        while ending == "waits" and not self.arrived and not handle.is_cancel_requested:
            await next_wake()
        if handle.is_cancel_requested:
            self.canceled += 1
            handle.canceled()
            return NavigateToPose.Result()
        if ending == "reached" or self.arrived:
            handle.succeed()
            return NavigateToPose.Result()
        handle.abort()
        return NavigateToPose.Result(error_code=208, error_msg="no valid path")

    async def _chase(self, handle: ServerGoalHandle) -> Any:
        """As opennav_following: it gives up when the pose it was told to listen to stays away."""
        self.goals.append(handle.request)
        silent: list[Any] = []  # pictures since the last pose
        topic, by_frame = handle.request.pose_topic or "unused", bool(handle.request.tracked_frame)
        ears = [
            self._node.create_subscription(TrackedObjectArray, "referent/tracks", silent.append, 10),
            self._node.create_subscription(PoseStamped, topic, lambda _: silent.clear(), 10),
        ]
        while not handle.is_cancel_requested and (by_frame or len(silent) < PATIENCE):
            await next_wake()
        for each in ears:
            self._node.destroy_subscription(each)
        if handle.is_cancel_requested:
            self.canceled += 1
            handle.canceled()
            return FollowObject.Result()
        handle.abort()
        lost = FollowObject.Result.FAILED_TO_DETECT_OBJECT
        return FollowObject.Result(error_code=lost, error_msg="Failed object detection")


class World:
    """A robot with Referent on board before a simulated table, in a map, with Nav2."""

    def __init__(self, robot: Robot, knowing: Knowing, nav2: Nav2) -> None:
        self.robot, self.knowing, self.nav2 = robot, knowing, nav2
        self._shots = iter(simulate(named_scene("tabletop"), frames=200, fps=10, width=320, height=240))

    def look(self) -> SimulatedFrame:
        """One picture, and where the robot was when it was taken."""
        shot = next(self._shots)
        self.knowing.shots[shot.frame.stamp_ns] = shot
        stamp, map_from_base = self.robot.header(shot.frame).stamp, robot_in_map(shot)
        base_from_optical = rigid_inverse(map_from_base) @ MAP_FROM_WORLD @ shot.truth.world_from_camera
        self.robot.tf.publish(transform_message(stamp, "map", "base_link", map_from_base))
        self.robot.tf.publish(transform_message(stamp, "base_link", shot.frame.camera_frame, base_from_optical))
        self.robot.spin(0.02)
        self.robot.show(shot.frame)
        return shot

    def sent(self, **parameters: object) -> tuple[NavigateNode, Task]:
        """Begin an errand."""
        executor = self.robot.node.executor
        node = NavigateNode(parameter_overrides=overrides(standoff_m=STANDOFF_M, look_s=1.0, **parameters))
        executor.add_node(node)
        return node, executor.create_task(answered(node))

    def come_back(self, errand: Task, node: NavigateNode, *, looking: bool = False) -> str:
        """Until the errand is over, with pictures all the while where `looking`; what it says."""
        deadline_s = time.monotonic() + 20
        while not errand.done():
            assert time.monotonic() < deadline_s, (self.nav2.goals, self.nav2.canceled)
            self.look() if looking else self.robot.spin(0.05)
        self.robot.node.executor.remove_node(node)
        node.destroy_node()
        if isinstance(errand.result(), NotReached):
            raise errand.result()
        return str(errand.result())


async def answered(node: NavigateNode) -> str | NotReached:
    """What comes of an errand; what it raises would end the executor."""
    try:
        return await node.reach()
    except NotReached as why:
        return why


def robot_in_map(shot: SimulatedFrame) -> Array:
    """(4, 4) of a robot on the floor behind its camera, looking where that looks."""
    map_from_link = MAP_FROM_WORLD @ shot.truth.world_from_camera @ rigid_inverse(LINK_FROM_OPTICAL)
    ahead = map_from_link[:2, 0] / np.linalg.norm(map_from_link[:2, 0])
    turn = np.array([[ahead[0], -ahead[1], 0], [ahead[1], ahead[0], 0], [0, 0, 1.0]])
    x, y = map_from_link[:2, 3] - BASE_FROM_CAMERA_M * ahead
    return rigid(turn, np.array([x, y, 0.0]))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    knowing = Knowing()
    with a_robot(
        make_pipeline=pipeline_of(lambda: knowing, knowing), output__world_frame="map", memory__interval_s=0.1
    ) as robot:
        there = World(robot, knowing, Nav2(robot.node))
        robot.wait_for(lambda: robot.tf.get_subscription_count() >= 2)
        robot.say("the red mug")
        for _ in range(6):
            there.look()
        yield there


@pytest.fixture(autouse=True)
def clean_slate(world: World) -> None:
    world.nav2.goals.clear()
    world.nav2.endings.clear()
    world.nav2.canceled, world.nav2.arrived, world.knowing.hidden = 0, False, False


def truth_of(world: World, color: str, category: str) -> tuple[ObjectTruth, Array]:
    """The newest truth of a thing, and its place in the map."""
    newest = world.knowing.shots[max(world.knowing.shots)]
    (known,) = (k for k in newest.truth.objects if (k.color, k.category) == (color, category))
    return known, MAP_FROM_WORLD @ newest.truth.world_from_camera @ known.camera_from_object


def yaw_of(pose: Any) -> float:
    return 2 * math.atan2(pose.orientation.z, pose.orientation.w)


def test_the_robot_is_sent_before_a_thing_that_was_seen_earlier_facing_it(world: World) -> None:
    world.robot.say("the blue mug")  # the red one is in the memory only
    world.look()
    world.nav2.endings = ["reached"]
    node, errand = world.sent(phrase="where is the red mug?")
    assert world.come_back(errand, node) == "the robot is before 'the red mug'"
    (goal,) = world.nav2.goals
    assert goal.pose.header.frame_id == "map"
    known, map_from_mug = truth_of(world, "red", "mug")
    place, mug = goal.pose.pose.position, map_from_mug[:3, 3]
    away = np.array([place.x, place.y]) - mug[:2]
    half_m = known.size_m[:2] / 2
    assert half_m.min() < np.linalg.norm(away) - STANDOFF_M < np.hypot(*half_m) + 0.03
    assert place.z == 0.0
    robot_xy = robot_in_map(world.knowing.shots[max(world.knowing.shots)])[:2, 3]
    to_robot = (robot_xy - mug[:2]) / np.linalg.norm(robot_xy - mug[:2])
    assert away @ to_robot / np.linalg.norm(away) > 0.99  # on the robot's side
    looks = np.array([math.cos(yaw_of(goal.pose.pose)), math.sin(yaw_of(goal.pose.pose))])
    assert looks @ -away / np.linalg.norm(away) > 0.99
    assert (goal.pose.pose.orientation.x, goal.pose.pose.orientation.y) == (0.0, 0.0)  # z up


def test_a_place_that_cannot_be_reached_is_followed_by_the_next_one_round_the_thing(world: World) -> None:
    world.nav2.endings = ["blocked", "blocked"]
    node, errand = world.sent(phrase="red mug", sides=2)
    with pytest.raises(NotReached, match=r"'the red mug' was not reached; Nav2 gave up: no valid path \(error 208\)"):
        world.come_back(errand, node)
    first, second = (goal.pose.pose for goal in world.nav2.goals)
    turn = (yaw_of(second) - yaw_of(first) + math.pi) % (2 * math.pi) - math.pi
    assert math.degrees(turn) == pytest.approx(45, abs=3)


def test_a_dry_run_says_where_it_would_go_and_sends_nothing(world: World) -> None:
    node, errand = world.sent(phrase="red mug", dry_run=True, follow=True)
    assert re.fullmatch(r"would go to 3\.\d\d [12]\.\d\d, -?\d+ deg in 'map'", world.come_back(errand, node))
    assert world.nav2.goals == []


@pytest.mark.parametrize("follow", [False, True])
def test_for_a_thing_that_nobody_has_seen_no_goal_is_sent(world: World, follow: bool) -> None:
    node, errand = world.sent(phrase="the purple teapot", follow=follow)
    with pytest.raises(NotReached, match="nothing is remembered as 'the purple teapot'"):
        world.come_back(errand, node, looking=follow)
    assert world.nav2.goals == []


def test_a_question_that_cannot_be_answered_is_told_in_referents_words(world: World) -> None:
    node, errand = world.sent(phrase="red mug", base_frame="base_footprint")
    with pytest.raises(NotReached, match="base_footprint"):
        world.come_back(errand, node)
    assert world.nav2.goals == []


def test_cancelling_reaches_nav2(world: World) -> None:
    node, errand = world.sent(phrase="red mug")
    world.robot.wait_for(lambda: world.nav2.goals)
    node.cancel()
    with pytest.raises(NotReached, match="cancelled"):
        world.come_back(errand, node)
    assert world.nav2.canceled == 1


@pytest.mark.parametrize("by_frame", [False, True])
def test_a_thing_in_view_is_followed_by_its_pose_or_its_frame_until_that_is_cancelled(
    world: World, by_frame: bool
) -> None:
    node, errand = world.sent(phrase="the red mug", follow=True, by_frame=by_frame, max_s=2.5)
    while not world.nav2.goals:
        world.look()
    (goal,) = world.nav2.goals
    newest = world.robot.heard["tracks"][-1].objects[0]
    if by_frame:
        assert (goal.pose_topic, goal.tracked_frame) == ("", f"object_{newest.id}")
        assert newest.id in {each.child_frame_id.removeprefix("object_") for each in world.robot.transforms()}
    else:
        assert (goal.pose_topic, goal.tracked_frame) == ("/referent/target_pose", "")
        assert len(world.robot.heard["target_pose"]) > 0
    assert (goal.max_duration.sec, goal.max_duration.nanosec) == (2, 500_000_000)
    node.cancel()
    with pytest.raises(NotReached, match="cancelled"):
        world.come_back(errand, node, looking=True)
    assert world.nav2.canceled == 1
    world.look()
    assert world.robot.heard["tracks"][-1].objects == [], "Referent follows it no more either"


def test_a_thing_that_is_lost_while_it_is_followed_is_reported(world: World) -> None:
    node, errand = world.sent(phrase="the red mug", follow=True)
    while not world.nav2.goals:
        world.look()
    world.knowing.hidden = True
    with pytest.raises(NotReached, match=r"Failed object detection \(error 902\); Referent: (occluded|lost)"):
        world.come_back(errand, node, looking=True)


def test_nav2_is_stopped_when_other_words_take_the_things_place(world: World) -> None:
    node, errand = world.sent(phrase="the red mug", follow=True)
    while not world.nav2.goals:
        world.look()
    world.robot.say("the blue mug")
    with pytest.raises(NotReached, match="follows it no more: 'the blue mug' took its place"):
        world.come_back(errand, node, looking=True)
    assert world.nav2.canceled == 1


def test_what_is_out_of_view_is_gone_to_before_it_is_followed(world: World) -> None:
    world.knowing.hidden = True
    node, errand = world.sent(phrase="the red mug", follow=True)
    while not world.nav2.goals:
        world.look()
    world.knowing.hidden, world.nav2.arrived = False, True
    while len(world.nav2.goals) < 2:
        world.look()
    assert [type(goal) for goal in world.nav2.goals] == [NavigateToPose.Goal, FollowObject.Goal]
    node.cancel()
    with pytest.raises(NotReached, match="cancelled"):
        world.come_back(errand, node, looking=True)


def test_the_executable_cancels_its_goal_before_it_ends(world: World) -> None:
    command = [sys.executable, "-m", "referent_examples.navigate", "--ros-args", "-p", "phrase:=red mug"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    world.robot.wait_for(lambda: world.nav2.goals)
    running.send_signal(signal.SIGINT)
    world.robot.wait_for(lambda: running.poll() is not None)
    _, complaint = running.communicate()
    assert (running.returncode, world.nav2.canceled) == (1, 1)
    assert complaint.splitlines()[-1] == "navigate: cancelled"


def test_a_wrong_parameter_is_named(world: World) -> None:
    with pytest.raises(ConfigError, match="navigate: sides: 'many' is str"):
        NavigateNode(parameter_overrides=overrides(sides="many"))


def test_a_nav2_that_cannot_follow_is_named_only_when_it_should(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("referent_examples.navigate.FollowObject", None)
    with pytest.raises(ConfigError, match=r"from 1\.3\.13 on"):
        NavigateNode(parameter_overrides=overrides(follow=True))
    world.nav2.endings = ["reached"]
    node, errand = world.sent(phrase="red mug")
    assert world.come_back(errand, node) == "the robot is before 'the red mug'"


@pytest.mark.parametrize("turn_deg", [0, 30, 90])
def test_every_place_round_a_box_leaves_the_distance_and_faces_it(turn_deg: float) -> None:
    c, s = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    map_from_box = rigid(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), np.array([1.0, 2.0, 0.5]))
    size_m = np.array([1.0, 0.4, 0.3])
    places: Sequence[Any] = list(stands(map_from_box, size_m, np.array([5.0, 2.0]), standoff_m=0.5))
    assert len(places) == 8
    assert (places[0].x_m > 1.7, places[0].y_m) == (True, pytest.approx(2.0))
    for place in places:
        x, y, *_ = rigid_inverse(map_from_box) @ np.array([place.x_m, place.y_m, 0.0, 1.0])
        gap_m = np.hypot(max(abs(x) - size_m[0] / 2, 0), max(abs(y) - size_m[1] / 2, 0))
        assert 0.5 - 1e-9 <= gap_m < 0.8
        toward = np.array([1.0 - place.x_m, 2.0 - place.y_m])
        looks = np.array([math.cos(place.yaw_rad), math.sin(place.yaw_rad)])
        assert looks @ toward / np.linalg.norm(toward) == pytest.approx(1)


def test_the_guides_lines_for_a_map_that_jumped_keep_things_where_they_are_on_the_floor() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "navigation.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    defined: dict[str, Any] = {}
    exec(compile(block, "docs/navigation.md", "exec"), defined)
    quarter = math.sqrt(0.5)
    before = Transform(translation=Vector3(x=1.0), rotation=Quaternion(w=1.0))
    after = Transform(translation=Vector3(y=5.0), rotation=Quaternion(z=quarter, w=quarter))
    request = defined["reexpress_request"](before, after)
    # A thing 2 m before odom's origin: at 3, 0 in the old map, at 0, 7 in the new one.
    t, q = request.new_from_old.translation, request.new_from_old.rotation
    new_from_old = rigid(rotation_from_quaternion(np.array([q.x, q.y, q.z, q.w])), np.array([t.x, t.y, t.z]))
    assert new_from_old @ [3, 0, 0, 1] == pytest.approx([0, 7, 0, 1])
    assert request.since == Time()
