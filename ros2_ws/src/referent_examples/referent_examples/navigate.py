"""The node `navigate`: takes a phrase, asks Referent where that is, and has Nav2 send the robot there, or after it."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from itertools import islice
from typing import Any

import numpy as np
import rclpy
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import Pose, PoseStamped
from nav2_msgs.action import NavigateToPose
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from referent_msgs.action import Follow
from referent_msgs.msg import KnownObject, TrackedObject
from referent_msgs.srv import QueryObjects
from std_msgs.msg import Header

from referent.errors import ConfigError, ReferentError
from referent.geometry.poses import rigid, rigid_inverse, rotation_from_quaternion
from referent.types import Array
from referent_examples.approach import Stand, stands
from referent_examples.goals import Goals, NotReached
from referent_ros.parameters import declare
from referent_ros.result_messages import STATES
from referent_ros.waiting import next_wake

try:
    from nav2_msgs.action import FollowObject
except ImportError:  # Nav2 before 1.3.13 (Jazzy): goes, but follows nothing
    FollowObject = None

DONE, NOT_REACHED, WRONG_INPUT = 0, 1, 2
CANCEL_WAIT_S = 5.0  # after Ctrl-C: so long for Nav2 to stop the robot
DRIVE, CHASE = "navigate_to_pose", "follow_object"
STATE_NAMES: dict[int, str] = {number: state.value for state, number in STATES.items()}


class NotSeen(NotReached):
    """What is to be followed is not in view."""


class NavigateNode(Node):
    """Does one errand, see `reach`. Raises ConfigError for a parameter of a wrong type."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("navigate", **node_options)
        self._phrase = declare(self, "phrase", "", "where to go: words of a thing, such as 'the red mug'")
        self._follow = declare(self, "follow", False, "go after it while it moves, instead of going there once")
        self._standoff_m = declare(self, "standoff_m", 0.6, "between the robot's middle and the thing's nearest side")
        self._sides = declare(self, "sides", 3, "places around it that are tried, 1 to 8")
        self._base_frame = declare(self, "base_frame", "base_link", "the robot's own frame")
        self._ask_model = declare(self, "ask_model", False, "let the grounder look at remembered pictures")
        self._look_s = declare(self, "look_s", 10.0, "to find what is to be followed")
        self._by_frame = declare(self, "by_frame", False, "give Nav2 tf object_<id> instead of ~/target_pose")
        self._dry_run = declare(self, "dry_run", False, "say where the robot would go, and send no goal")
        self._max_s = declare(self, "max_s", 0.0, "to follow; 0 = until Nav2 ends it")
        server = declare(self, "server", "referent", "name of Referent's node")
        if self._follow and FollowObject is None:
            raise ConfigError("follow: nav2_msgs has no FollowObject here; Nav2 for Jazzy has it from 1.3.13 on")
        self._target_pose = self.resolve_topic_name(f"{server}/target_pose")
        self._eyes = f"{server}/follow"
        kinds = {self._eyes: Follow, DRIVE: NavigateToPose, CHASE: FollowObject}
        self._goals = Goals(self, {name: kind for name, kind in kinds.items() if kind is not None})
        self._query = self.create_client(QueryObjects, f"{server}/query_objects")
        self._seen: Follow.Feedback | None = None  # the newest of what is to be followed

    async def reach(self) -> str:
        """Go there, or after it; says what was done. Raises NotReached."""
        if self._dry_run or not self._follow:
            return await self._go_to(await self._remembered())
        try:
            return await self._go_after_it()
        except NotSeen as why:
            self.get_logger().info(f"{why}; going where it was seen last")
            await self._go_to(await self._remembered())
            return await self._go_after_it()

    def cancel(self) -> None:
        """Have all goals cancelled; `reach` ends when the servers have answered."""
        self._goals.cancel()

    def destroy_node(self) -> None:
        """Leave the network."""
        self._goals.destroy()
        super().destroy_node()

    async def _remembered(self) -> KnownObject:
        """The best of what Referent knows by the phrase and has not missed since."""
        found = await self._ask(frame="")
        here = [each for each in found if not each.gone]
        if not here:
            gone = f"; {found[0].label!r} is no more where it was" if found else ""
            raise NotReached(f"nothing is remembered as {self._phrase!r}{gone}")
        best, at = here[0], here[0].pose.pose.pose.position
        self.get_logger().info(
            f"{best.label!r}, match {best.match:.2f}, score {best.score:.2f}, is at {at.x:.2f} {at.y:.2f} {at.z:.2f} "
            f"in {best.pose.header.frame_id!r}; {len(here) - 1} more fit"
        )
        return best

    async def _ask(self, *, frame: str) -> list[KnownObject]:
        await self._goals.until_ready(self._query.service_is_ready, self._query.srv_name)
        request = QueryObjects.Request(phrase=self._phrase, frame=frame, ask_model=self._ask_model)
        answer = await self._query.call_async(request)
        if not answer.success:
            raise NotReached(answer.message)
        return list(answer.objects)

    async def _go_to(self, known: KnownObject) -> str:
        """Try places around the thing, the one on the robot's side first."""
        size_m = np.array([known.size.x, known.size.y, known.size.z])
        places = stands(
            _matrix(known.pose.pose.pose), size_m, await self._robot_xy_m(known), standoff_m=self._standoff_m
        )
        why = f"sides is {self._sides}"
        for stand in islice(places, max(self._sides, 0)):
            where = f"{stand.x_m:.2f} {stand.y_m:.2f}, {math.degrees(stand.yaw_rad):.0f} deg"
            if self._dry_run:
                return f"would go to {where} in {known.pose.header.frame_id!r}"
            self.get_logger().info(f"going to {where}")
            goal = NavigateToPose.Goal(pose=self._pose_message(stand, known.pose.header.frame_id))
            ended = await self._goals.ended(await self._goals.send(DRIVE, goal))
            if ended.status == GoalStatus.STATUS_SUCCEEDED:
                return f"the robot is before {known.label!r}"
            why = _why(ended)
            self.get_logger().warning(why)
        raise NotReached(f"{known.label!r} was not reached; {why}")

    async def _robot_xy_m(self, known: KnownObject) -> Array:
        """(2,) where the robot is: one thing told in two frames says how the frames lie to each other."""
        for again in await self._ask(frame=self._base_frame):
            if again.memory_id == known.memory_id:
                fixed_from_base = _matrix(known.pose.pose.pose) @ rigid_inverse(_matrix(again.pose.pose.pose))
                return np.asarray(fixed_from_base[:2, 3])
        raise NotReached(f"{known.label!r} was forgotten meanwhile")

    async def _go_after_it(self) -> str:
        """Have Referent look for it and follow it, and Nav2 follow what Referent sees. Raises NotSeen."""
        self._seen = None
        eyes = await self._goals.send(self._eyes, Follow.Goal(instruction=self._phrase), self._take_feedback)
        watched = eyes.get_result_async()
        try:
            await self._until_seen(watched)
            return await self._chased(watched)
        finally:
            if not watched.done():
                await eyes.cancel_goal_async()
                await watched

    def _take_feedback(self, message: Any) -> None:
        self._seen = message.feedback

    async def _until_seen(self, watched: Future) -> None:
        deadline_s = time.monotonic() + self._look_s
        while self._seen is None or self._seen.state != TrackedObject.TRACKING or self._seen.question:
            if watched.done():
                raise NotReached(f"Referent: {watched.result().result.reason}")
            if time.monotonic() > deadline_s:
                told = "no picture came" if self._seen is None else self._seen.question or self._seen.reason
                raise NotSeen(f"{self._phrase!r} was not found within {self._look_s:g} s: {told}")
            await next_wake()

    async def _chased(self, watched: Future) -> str:
        """Until Nav2 ends; stops Nav2 when Referent follows the thing no more, since its pose is another's then."""
        chase = await self._goals.send(CHASE, self._chase_goal())
        ended, told, stopped = chase.get_result_async(), TrackedObject.TRACKING, False
        while not ended.done():
            if watched.done() and not stopped:
                stopped = True
                chase.cancel_goal_async()
            if self._seen is not None and self._seen.state != told:
                told = self._seen.state
                self.get_logger().info(f"Referent: {STATE_NAMES[told]}, {self._seen.reason}")
            await next_wake()
        result = await self._goals.ended(chase)
        if stopped:
            raise NotReached(f"Referent follows it no more: {watched.result().result.reason}")
        if result.status != GoalStatus.STATUS_SUCCEEDED:
            raise NotReached(f"{_why(result)}; Referent: {STATE_NAMES[told]}")
        return f"followed {self._phrase!r}"

    def _chase_goal(self) -> FollowObject.Goal:
        """One of both: Nav2 1.3 takes the frame where both are given, although its comments say otherwise."""
        assert self._seen is not None
        goal = FollowObject.Goal(max_duration=Duration(seconds=self._max_s).to_msg())
        if self._by_frame:
            goal.tracked_frame = f"object_{self._seen.id}"
        else:
            goal.pose_topic = self._target_pose
        self.get_logger().info(f"following {goal.tracked_frame or goal.pose_topic}")
        return goal

    def _pose_message(self, stand: Stand, frame: str) -> PoseStamped:
        message = PoseStamped(header=Header(frame_id=frame, stamp=self.get_clock().now().to_msg()))
        message.pose.position.x, message.pose.position.y = stand.x_m, stand.y_m
        half = stand.yaw_rad / 2
        message.pose.orientation.z, message.pose.orientation.w = math.sin(half), math.cos(half)
        return message


def _matrix(pose: Pose) -> Array:
    """(4, 4) of a pose."""
    p, q = pose.position, pose.orientation
    return rigid(rotation_from_quaternion(np.array([q.x, q.y, q.z, q.w])), np.array([p.x, p.y, p.z]))


def _why(ended: Any) -> str:
    """Why a goal of Nav2's did not succeed."""
    told = ended.result.error_msg or "it says no reason"
    if ended.status == GoalStatus.STATUS_CANCELED:
        return f"Nav2 cancelled it: {told}"
    return f"Nav2 gave up: {told} (error {ended.result.error_code})"


def run_errand(node: NavigateNode, stop: threading.Event) -> str:
    """Spin until the errand is done; when `stop` is set its goals are cancelled first. Raises NotReached."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    errand = executor.create_task(node.reach())
    deadline_s = math.inf
    try:
        while not errand.done() and time.monotonic() < deadline_s:
            if stop.is_set() and deadline_s == math.inf:
                deadline_s = time.monotonic() + CANCEL_WAIT_S
                node.cancel()
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.shutdown()
    if not errand.done():
        raise NotReached(f"cancelled, but no server answered within {CANCEL_WAIT_S:g} s")
    return str(errand.result())


def main(arguments: list[str] | None = None) -> int:
    """The executable `navigate`: status 0 when it got there, 1 with the reason when not, 2 for wrong input."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # rclpy's own handlers would end everything before the goals are cancelled.
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = NavigateNode()
        print(f"navigate: {run_errand(node, stop)}")
        node.destroy_node()
    except ReferentError as error:
        print(f"navigate: {error}", file=sys.stderr)
        return NOT_REACHED if isinstance(error, NotReached) else WRONG_INPUT
    finally:
        rclpy.try_shutdown()
    return DONE


if __name__ == "__main__":
    sys.exit(main())
