"""The node's life: brought up by itself or by a manager, and never ended by a wrong request."""

from __future__ import annotations

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from painted import painted
from robot import Robot, a_robot

from referent.config import Config
from referent.errors import WeightsMissing
from referent.frames.transforms import TransformBuffer
from referent.pipeline import Pipeline

RED = {"red": (10, 10, 24, 24)}


class Manager:
    """Asks for transitions by their number, as a lifecycle manager does."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self._change = robot.node.create_client(ChangeState, "referent/change_state")
        self._state = robot.node.create_client(GetState, "referent/get_state")
        robot.wait_for(lambda: self._change.service_is_ready() and self._state.service_is_ready())

    def request(self, transition: int) -> bool:
        future = self._change.call_async(ChangeState.Request(transition=Transition(id=transition)))
        self._robot.wait_for(future.done)
        return bool(future.result().success)

    def state(self) -> str:
        future = self._state.call_async(GetState.Request())
        self._robot.wait_for(future.done)
        return str(future.result().current_state.label)


def test_a_manager_brings_the_node_up_down_and_up_again() -> None:
    with a_robot(start=False) as robot:
        manager = Manager(robot)
        assert manager.state() == "unconfigured"
        assert manager.request(Transition.TRANSITION_CONFIGURE)
        assert manager.request(Transition.TRANSITION_ACTIVATE)
        robot.wait_for_ears()
        robot.show(painted(0, RED))
        assert manager.request(Transition.TRANSITION_DEACTIVATE)
        robot.wait_for(lambda: robot.color.get_subscription_count() == 0)
        assert manager.request(Transition.TRANSITION_CLEANUP)
        assert manager.state() == "unconfigured"
        assert manager.request(Transition.TRANSITION_CONFIGURE)
        assert manager.request(Transition.TRANSITION_ACTIVATE)
        robot.wait_for_ears()
        robot.show(painted(1, RED))


def test_an_impossible_transition_is_refused_and_the_node_lives_on() -> None:
    with a_robot() as robot:
        manager = Manager(robot)
        assert not manager.request(Transition.TRANSITION_ACTIVATE)
        assert manager.state() == "active"
        robot.show(painted(0, RED))


def test_without_autostart_the_node_waits() -> None:
    with a_robot(start=False, autostart=False) as robot:
        robot.node.start()
        assert Manager(robot).state() == "unconfigured"
        assert robot.color.get_subscription_count() == 0


def test_missing_weights_stop_the_bringing_up_with_their_own_message() -> None:
    def no_weights(config: Config, transforms: TransformBuffer) -> Pipeline:
        raise WeightsMissing("referent-sam2-small: no weights")

    with a_robot(make_pipeline=no_weights, start=False) as robot:
        with pytest.raises(WeightsMissing, match="no weights"):
            robot.node.start()
        assert Manager(robot).state() == "unconfigured"
