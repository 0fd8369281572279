"""The action ~/follow over real topics: goals run, end, give way to each other, and always say why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration, Time
from painted import painted
from rclpy.action import ActionClient
from referent_msgs.action import Follow
from referent_msgs.msg import TrackedObject
from referent_msgs.srv import Forget, Reset
from robot import Robot, a_robot
from rosgraph_msgs.msg import Clock
from test_ros_dialogue import LEFT, THREE, TWO_RED, a_dialogue

DONE, CANCELED = Follow.Result.DONE, Follow.Result.CANCELED
RED, BLUE = {"red": THREE["red"]}, {"blue": THREE["blue"]}


class Ordered:
    """One goal as its client sees it."""

    def __init__(self, robot: Robot, client: ActionClient, goal: Follow.Goal) -> None:
        self._robot = robot
        self.feedback: list[Follow.Feedback] = []
        accepted = client.send_goal_async(
            goal, feedback_callback=lambda message: self.feedback.append(message.feedback)
        )
        robot.wait_for(accepted.done)
        self.handle = accepted.result()
        self._ended = self.handle.get_result_async()
        robot.spin(0.2)  # the pipeline takes it

    @property
    def running(self) -> bool:
        return not self._ended.done()

    def result(self) -> Follow.Result:
        self._robot.wait_for(self._ended.done)
        return self._ended.result().result

    def status(self) -> int:
        self._robot.wait_for(self._ended.done)
        return int(self._ended.result().status)

    def cancel(self) -> None:
        answer = self.handle.cancel_goal_async()
        self._robot.wait_for(answer.done)
        assert answer.result().goals_canceling


class Client:
    """A program that orders goals."""

    def __init__(self, robot: Robot) -> None:
        self.robot = robot
        self._client = ActionClient(robot.node, Follow, "referent/follow")
        robot.wait_for(self._client.server_is_ready)

    def order(self, instruction: str, mode: int = Follow.Goal.CONTINUOUS, **fields: Any) -> Ordered:
        return Ordered(self.robot, self._client, Follow.Goal(instruction=instruction, mode=mode, **fields))

    def close(self) -> None:
        self._client.destroy()


@contextmanager
def a_client(robot: Robot) -> Iterator[Client]:
    client = Client(robot)
    try:
        yield client
    finally:
        client.close()


def show(robot: Robot, *numbers: int, scene: Any = THREE) -> None:
    for number in numbers:
        robot.show(painted(number, scene))
    robot.spin(0.2)  # the news of it


def test_a_goal_until_found_waits_for_its_target_and_gives_it() -> None:
    with a_robot() as robot, a_client(robot) as client:
        goal = client.order("the red mug", Follow.Goal.UNTIL_FOUND)
        show(robot, 0, 1, scene=BLUE)
        assert goal.running
        assert {each.state for each in goal.feedback} == {TrackedObject.SEARCHING}
        show(robot, *range(2, 14))
        result = goal.result()
        assert (goal.status(), result.outcome, result.reason) == (GoalStatus.STATUS_SUCCEEDED, DONE, "found")
        assert result.has_object
        assert (result.object.expression, result.object.state) == ("the red mug", TrackedObject.TRACKING)
        assert result.object.bbox_xyxy.tolist() == [*THREE["red"]]
        assert result.object.has_pose
        last = goal.feedback[-1]
        assert (last.id, last.has_pose, last.header) == (result.object.id, True, result.header)
        assert last.pose.pose == result.object.pose.pose
        show(robot, 20)
        assert [each.id for each in robot.heard["tracks"][-1].objects] == [result.object.id], "it stays followed"


def test_a_goal_for_some_pictures_counts_those_in_which_it_is_seen() -> None:
    with a_robot() as robot, a_client(robot) as client:
        goal = client.order("the red mug", Follow.Goal.N_FRAMES, frames=3)
        show(robot, 0, 1)
        show(robot, 2, scene={})
        assert goal.running
        show(robot, 3)
        assert goal.result().outcome == DONE
        assert [each.frames for each in goal.feedback] == [1, 2, 2, 3]


def test_a_continuous_goal_runs_until_it_is_cancelled_and_takes_its_target_along() -> None:
    with a_robot() as robot, a_client(robot) as client:
        goal = client.order("the red mug")
        show(robot, *range(4))
        assert goal.running
        assert len(goal.feedback) == 4
        goal.cancel()
        assert (goal.status(), goal.result().outcome) == (GoalStatus.STATUS_CANCELED, CANCELED)
        assert robot.show(painted(9, THREE)).objects == []


def test_a_goal_is_cancelled_while_no_picture_comes() -> None:
    with a_robot() as robot, a_client(robot) as client:
        goal = client.order("the red mug")
        goal.cancel()
        assert goal.result().outcome == CANCELED
        assert not goal.result().has_object


def test_a_goal_that_takes_too_long_is_told_so_even_without_pictures() -> None:
    with a_robot() as robot, a_client(robot) as client:
        goal = client.order("the red mug", timeout=Duration(nanosec=500_000_000))
        result = goal.result()
        assert (goal.status(), result.outcome) == (GoalStatus.STATUS_ABORTED, Follow.Result.TIMED_OUT)
        assert result.reason == "not done within 0.5 s; no picture came"


def test_a_new_goal_takes_the_place_of_the_one_before() -> None:
    with a_robot() as robot, a_client(robot) as one, a_client(robot) as another:
        first = one.order("the red mug")
        show(robot, 0)
        second = another.order("the blue bowl")
        show(robot, 1)
        assert (first.status(), first.result().outcome) == (GoalStatus.STATUS_ABORTED, Follow.Result.REPLACED)
        assert first.result().reason == "'the blue bowl' took its place"
        assert second.running
        assert [each.expression for each in robot.heard["tracks"][-1].objects] == ["the blue bowl"]


def test_goals_that_say_also_run_side_by_side_and_end_alone() -> None:
    with a_robot() as robot, a_client(robot) as one, a_client(robot) as another:
        first = one.order("the red mug")
        show(robot, 0)
        second = another.order("also the blue bowl")
        show(robot, 1, 2)
        assert first.running
        assert second.running
        assert {each.id for each in first.feedback[1:]} == {"1"}
        assert {each.id for each in second.feedback} == {"2"}
        first.cancel()
        assert first.result().outcome == CANCELED
        show(robot, 3)
        assert second.running
        assert [each.id for each in robot.heard["tracks"][-1].objects] == ["2"]


def test_words_on_the_topic_that_replace_the_target_end_the_goal_and_others_do_not() -> None:
    with a_robot() as robot, a_client(robot) as client:
        goal = client.order("the red mug")
        show(robot, 0)
        robot.say("also the blue bowl")
        show(robot, 1)
        assert goal.running
        robot.say("the green box")
        show(robot, 2)
        assert goal.result().outcome == Follow.Result.REPLACED
        assert goal.result().reason == "'the green box' took its place"


def test_a_goal_whose_target_is_forgotten_is_told_so_whatever_was_said_since() -> None:
    with a_robot() as robot, a_client(robot) as one, a_client(robot) as another:
        first = one.order("the red mug")
        show(robot, 0)
        second = another.order("also the blue bowl")
        show(robot, 1)
        for kind, name, fields, goal in ((Forget, "forget", {"id": "1"}, first), (Reset, "reset", {}, second)):
            service = robot.node.create_client(kind, f"referent/{name}")
            robot.wait_for(service.service_is_ready)
            answer = service.call_async(kind.Request(**fields))
            robot.wait_for(answer.done)
            assert answer.result().success
            show(robot, 2 if name == "forget" else 3)
            assert goal.result().outcome == Follow.Result.REPLACED
            assert goal.result().reason.endswith("was forgotten")
        assert "the red mug" in first.result().reason


def test_what_may_be_meant_is_asked_in_the_feedback_and_a_spoken_choice_goes_on_with_the_goal() -> None:
    with a_dialogue(TWO_RED) as dialogue, a_client(dialogue.robot) as client:
        goal = client.order("the red mug", Follow.Goal.UNTIL_FOUND)
        dialogue.look()
        dialogue.look()
        dialogue.robot.spin(0.2)
        assert goal.running
        assert goal.feedback[-1].question == "2 match 'the red mug': left one or right one?"
        assert [each.words for each in goal.feedback[-1].candidates] == ["left one", "right one"]
        dialogue.say("the left one")
        assert goal.result().outcome == DONE
        assert goal.result().object.bbox_xyxy.tolist() == [*LEFT]


def test_a_pick_and_a_place_are_given_together() -> None:
    with a_robot() as robot, a_client(robot) as client:
        goal = client.order("put the red mug into the green box", Follow.Goal.UNTIL_FOUND)
        show(robot, 0, 1, 2)
        result = goal.result()
        assert (result.object.role, [each.role for each in result.others]) == ("pick", ["place"])


@pytest.mark.parametrize(
    ("instruction", "fields", "reason"),
    [
        ("  ", {}, "is empty"),
        ("x" * 2000, {}, "at most 1000"),
        ("forget the mug", {}, "a goal says what to follow"),
        ("the red mug", {"mode": 9}, "mode 9"),
        ("the red mug", {"mode": Follow.Goal.N_FRAMES}, "frames of 1 or more"),
        ("the red mug", {"timeout": Duration(sec=-1)}, "over already"),
    ],
)
def test_a_goal_that_asks_for_nothing_is_told_why(instruction: str, fields: dict[str, Any], reason: str) -> None:
    with a_robot() as robot, a_client(robot) as client:
        running = client.order("the blue bowl")
        goal = client.order(instruction, **fields)
        assert (goal.status(), goal.result().outcome) == (GoalStatus.STATUS_ABORTED, Follow.Result.REFUSED)
        assert reason in goal.result().reason
        show(robot, 0)
        assert running.running, "and what was followed goes on"


def test_the_looping_bag_keeps_the_goal() -> None:
    with a_robot() as robot, a_client(robot) as client:
        goal = client.order("the red mug")
        show(robot, 50, 51)
        show(robot, 0, 1, 2)
        assert goal.running
        assert goal.feedback[-1].state == TrackedObject.TRACKING


def test_deactivating_and_shutting_down_end_goals_with_a_reason() -> None:
    with a_robot() as robot, a_client(robot) as client:
        goal = client.order("the red mug")
        show(robot, 0)
        robot.node.trigger_deactivate()
        assert goal.result().outcome == Follow.Result.STOPPED
        assert goal.result().reason == "the node was deactivated"
        assert "not active" in client.order("the red mug").result().reason
        robot.node.trigger_activate()
        robot.wait_for_ears()
        again = client.order("the red mug")
        show(robot, 1)
        robot.node.trigger_shutdown()
        assert again.result().reason == "the node was shut down"


def test_a_flood_of_goals_is_bounded() -> None:
    with a_robot() as robot, a_client(robot) as client:
        goals = [client.order("also the red mug") for _ in range(9)]
        assert "8 goals run already" in goals[-1].result().reason
        robot.node.trigger_deactivate()
        assert {goal.result().outcome for goal in goals[:-1]} <= {Follow.Result.STOPPED, Follow.Result.REFUSED}


def test_a_timeout_is_of_ros_time() -> None:
    with a_robot(use_sim_time=True) as robot, a_client(robot) as client:
        clock = robot.publisher(Clock, "/clock")
        robot.wait_for(clock.get_subscription_count)

        def tick(seconds: int) -> None:
            clock.publish(Clock(clock=Time(sec=seconds)))
            robot.spin(0.3)

        tick(100)
        goal = client.order("the red mug", timeout=Duration(sec=30))
        robot.spin(0.5)
        tick(120)
        assert goal.running
        tick(50)  # the bag loops
        tick(79)
        assert goal.running
        tick(81)
        assert goal.result().outcome == Follow.Result.TIMED_OUT
