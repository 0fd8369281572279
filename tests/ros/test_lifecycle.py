"""The node's life: brought up by itself or by a manager, and never ended by a wrong request."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest
from doubles import ColorGrounder, ColorTracker
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from painted import painted
from robot import Robot, a_robot

from referent.config import Config
from referent.errors import WeightsMissing
from referent.frames.transforms import TransformBuffer
from referent.grounding.workers import ReplayWorker
from referent.pipeline import Pipeline
from referent.types import RgbdFrame, TrackedMask

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


def test_an_impossible_transition_is_refused_and_the_node_lives_on(capfd: pytest.CaptureFixture[str]) -> None:
    with a_robot() as robot:
        manager = Manager(robot)
        assert not manager.request(Transition.TRANSITION_ACTIVATE)
        assert "the transition 'activate' is refused: it does not begin at the state 'active'" in capfd.readouterr().err
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
        status = robot.wait_for_diagnosis("lifecycle", "unconfigured: referent-sam2-small: no weights")
        assert status.level == b"\x02"


class Workshop:
    """Makes pipelines and knows which of their models are alive."""

    def __init__(self) -> None:
        self.alive: weakref.WeakSet[ColorTracker] = weakref.WeakSet()
        self.grounders: list[ColorGrounder] = []

    def make(self, config: Config, transforms: TransformBuffer) -> Pipeline:
        tracker, grounder = ColorTracker(), ColorGrounder()
        self.alive.add(tracker)
        self.grounders.append(grounder)
        worker = ReplayWorker(grounder, latency_ns=0)
        return Pipeline(config, tracker=tracker, worker=worker, transforms=transforms)


def test_an_inactive_node_holds_no_models_and_an_active_one_has_them_again() -> None:
    workshop = Workshop()
    with a_robot(make_pipeline=workshop.make) as robot:
        robot.say("the red block")
        robot.show(painted(0, RED))
        assert len(workshop.alive) == 1
        manager = Manager(robot)
        assert manager.request(Transition.TRANSITION_DEACTIVATE)
        gc.collect()
        assert len(workshop.alive) == 0
        assert [grounder.closed for grounder in workshop.grounders] == [True]
        assert robot.wait_for_diagnosis("lifecycle", "inactive").level == b"\x00"
        assert manager.request(Transition.TRANSITION_ACTIVATE)
        robot.wait_for_ears()
        assert robot.show(painted(1, RED)).objects == [], "what was followed is forgotten"
        robot.say("the red block")
        assert robot.show(painted(2, RED)).objects[0].has_bbox


def test_what_is_followed_after_a_pause_has_ids_values_and_instructions_of_its_own() -> None:
    with a_robot() as robot:
        robot.say("the red block")
        before = robot.show(painted(0, RED)).objects[0]
        for transition in (robot.node.trigger_deactivate, robot.node.trigger_activate):
            transition()
        robot.wait_for_ears()
        robot.say("the blue block")
        after = robot.show(painted(1, {"blue": (10, 10, 24, 24)})).objects[0]
        assert (before.id, before.mask_value, before.created.instruction_id) == ("1", 1, 1)
        assert (after.id, after.mask_value, after.created.instruction_id) == ("2", 2, 2)


def test_restarts_leave_nothing_behind() -> None:
    workshop = Workshop()

    def left() -> tuple[int, int, int, int]:
        gc.collect()
        entities = len([*robot.node.publishers, *robot.node.subscriptions, *robot.node.timers, *robot.node.services])
        return threading.active_count(), len(os.listdir("/proc/self/fd")), entities, len(workshop.alive)

    with a_robot(make_pipeline=workshop.make, start=False) as robot:
        before = []
        for number in range(6):
            robot.node.trigger_configure()
            robot.node.trigger_activate()
            robot.wait_for_ears()
            robot.say("the red block")
            assert robot.show(painted(number, RED)).objects[0].has_bbox
            robot.node.trigger_deactivate()
            robot.node.trigger_cleanup()
            before.append(left())
        assert before[1:] == [before[1]] * 5
        assert before[1][-1] == 0


def test_what_goes_on_failing_leads_through_the_error_state_with_its_reason() -> None:
    class BrokenTracker(ColorTracker):
        def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def make(config: Config, transforms: TransformBuffer) -> Pipeline:
        worker = ReplayWorker(ColorGrounder(), latency_ns=0)
        return Pipeline(config, tracker=BrokenTracker(), worker=worker, transforms=transforms)

    with a_robot(make_pipeline=make) as robot:
        manager = Manager(robot)
        for number in range(10):
            robot.send(painted(number, RED))
            robot.spin(0.1)
        status = robot.wait_for_diagnosis("lifecycle", "10 frames in a row failed")
        assert "illegal memory access" in status.message
        assert status.level == b"\x02"
        assert manager.state() == "unconfigured"
        assert manager.request(Transition.TRANSITION_CONFIGURE)
        assert robot.wait_for_diagnosis("lifecycle", "inactive").level == b"\x00"
