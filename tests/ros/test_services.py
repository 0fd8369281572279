"""The services over real topics: what is followed is corrected, forgotten, asked about again and reset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from doubles import ColorGrounder, ColorTracker
from painted import HEIGHT, WIDTH, painted
from referent_msgs.msg import TrackedObject
from referent_msgs.srv import Correct, Forget, Reground, Reset
from robot import Robot, Services, a_robot, pipeline_of
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from test_ros_dialogue import LEFT, RIGHT, THREE, TWO_RED, a_dialogue, followed

from referent.types import Prompt, TrackedMask
from referent_ros.result_messages import image_message, time_from_ns

RED, BLUE, GREEN = (THREE[color] for color in ("red", "blue", "green"))
KINDS = {"correct": Correct, "forget": Forget, "reground": Reground, "reset": Reset}


class ShownTracker(ColorTracker):
    """Takes points and masks too: the color in the middle of what lies on the object."""

    def prompt(self, prompt: Prompt) -> TrackedMask | None:
        if prompt.points_xy is not None and prompt.point_labels is not None:
            x, y = prompt.points_xy[prompt.point_labels == 1].mean(axis=0)
            return super().prompt(as_box(prompt, x, y))
        if prompt.mask is not None:
            y, x = np.argwhere(prompt.mask).mean(axis=0)
            return super().prompt(as_box(prompt, x, y))
        return super().prompt(prompt)


def as_box(prompt: Prompt, x: float, y: float) -> Prompt:
    box = np.array([x - 1, y - 1, x + 1, y + 1], np.float32)
    return replace(prompt, points_xy=None, point_labels=None, mask=None, box_xyxy=box)


class Caller:
    """A program that calls services."""

    def __init__(self, robot: Robot, grounder: ColorGrounder) -> None:
        self.robot = robot
        self.grounder = grounder
        self.call = Services(robot, KINDS).call

    def box_after(self, number: int) -> list[float]:
        """Of the one object that is followed, in a picture that is shown now."""
        (track,) = self.robot.show(painted(number, THREE)).objects
        return [*track.bbox_xyxy]


@contextmanager
def a_caller(**options: Any) -> Iterator[Caller]:
    """Beside a robot that looks at three things."""
    grounder = ColorGrounder()
    with a_robot(make_pipeline=pipeline_of(ShownTracker, grounder), **options) as robot:
        yield Caller(robot, grounder)


@contextmanager
def following_red(**options: Any) -> Iterator[Caller]:
    with a_caller(**options) as caller:
        caller.robot.say("the red mug")
        caller.robot.show(painted(0, THREE))
        assert caller.box_after(1) == [*RED]
        yield caller


def mask_of(box: tuple[int, int, int, int], *, width: int = WIDTH) -> Image:
    pixels = np.zeros((HEIGHT, width), np.uint8)
    x1, y1, x2, y2 = box
    pixels[y1:y2, x1:x2] = 255
    return image_message(Header(), pixels)


def test_words_correct_one_object_and_the_grounder_is_asked() -> None:
    with following_red() as caller:
        answer = caller.call("correct", id="1", text="no, the blue one")
        assert answer.success
        assert answer.state == TrackedObject.UNCERTAIN
        assert "the grounder is asked" in answer.message
        caller.robot.show(painted(2, THREE))
        assert caller.box_after(3) == [*BLUE]
        assert [request.reason.value for request in caller.grounder.requests] == ["new", "corrected"]


@pytest.mark.parametrize(
    "shown",
    [
        {"box_xyxy": [float(x) for x in BLUE]},
        {"points_xy": [30.0, 15.0, 10.0, 15.0], "inside": [True, False]},
        {"mask": mask_of(BLUE)},
        {"box_xyxy": [float(x) for x in BLUE], "stamp": time_from_ns(painted(0, THREE).stamp_ns)},
    ],
    ids=["box", "points", "mask", "box in an earlier picture"],
)
def test_what_is_shown_is_followed_under_the_same_id_without_asking_anyone(shown: dict[str, Any]) -> None:
    with following_red() as caller:
        answer = caller.call("correct", id="1", **shown)
        assert answer.success, answer.message
        assert answer.state == TrackedObject.TRACKING
        track = caller.robot.show(painted(2, THREE)).objects[0]
        assert (track.id, [*track.bbox_xyxy]) == ("1", [*BLUE])
        assert (track.changed.by, track.changed.why) == ("user", "corrected")
        assert len(caller.grounder.requests) == 1


def test_showing_one_of_several_candidates_settles_which_one_is_meant() -> None:
    with a_dialogue(TWO_RED) as dialogue:
        dialogue.say("the red mug")
        client = dialogue.robot.node.create_client(Correct, "referent/correct")
        dialogue.robot.wait_for(client.service_is_ready)
        answer = client.call_async(Correct.Request(id="2", box_xyxy=[float(x) for x in RIGHT]))
        dialogue.robot.wait_for(answer.done)
        assert answer.result().success, answer.result().message
        (track,) = dialogue.look().objects
        assert (track.id, track.state, [*track.bbox_xyxy]) == ("2", TrackedObject.TRACKING, [*RIGHT])
        assert track.candidates == []
        assert followed(dialogue.look())["2"][1] != [*LEFT]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"id": "7", "text": "the blue one"}, "no object '7' is followed, but 1 (the red mug)"),
        ({"id": "1"}, "exactly one of them"),
        ({"id": "1", "text": "the blue one", "box_xyxy": [1.0, 1.0, 5.0, 5.0]}, "exactly one of them"),
        ({"id": "1", "box_xyxy": [1.0, 1.0, 5.0, 5.0], "mask": mask_of(BLUE)}, "exactly one of them"),
        ({"id": "1", "text": "forget it"}, "does not correct one object"),
        ({"id": "1", "text": "x" * 5000}, "at most 1000"),
        ({"id": "1", "box_xyxy": [1.0, 2.0]}, "is no box"),
        ({"id": "1", "box_xyxy": [float("nan")] * 4}, "is no box"),
        ({"id": "1", "points_xy": [1.0, 2.0, 3.0], "inside": [True]}, "3 coordinates"),
        ({"id": "1", "points_xy": [1.0, 2.0], "inside": [False]}, "at least one that does"),
        ({"id": "1", "points_xy": [1.0] * 200, "inside": [True] * 100}, "1 to 64 points"),
        ({"id": "1", "mask": mask_of((0, 0, 0, 0))}, "says nothing"),
        ({"id": "1", "mask": Image(height=2**31, width=2**31, encoding="mono8", step=1, data=b"x")}, "image size"),
        ({"id": "../../etc/passwd", "text": "the blue one"}, "is no id"),
        ({"id": "1", "box_xyxy": [1.0, 1.0, 5.0, 5.0], "stamp": Time(sec=9999)}, "frame"),
    ],
)
def test_a_correction_that_cannot_be_made_is_told_and_changes_nothing(fields: dict[str, Any], why: str) -> None:
    with following_red() as caller:
        answer = caller.call("correct", **fields)
        assert not answer.success
        assert why in answer.message
        assert caller.box_after(2) == [*RED]


def test_one_object_is_forgotten_and_the_others_stay() -> None:
    with following_red() as caller:
        caller.robot.say("also the blue bowl")
        caller.robot.show(painted(2, THREE))
        assert caller.call("forget", id="1").success
        (track,) = caller.robot.show(painted(3, THREE)).objects
        assert track.id == "2"
        assert "no object '1' is followed" in caller.call("forget", id="1").message
        assert "by its id" in caller.call("forget").message


def test_the_grounder_is_asked_again_at_once_about_one_or_all() -> None:
    with following_red(grounding__reground_policy="never") as caller:
        caller.robot.say("also the blue bowl")
        caller.robot.show(painted(2, THREE))
        assert len(caller.grounder.requests) == 2
        assert caller.call("reground", id="1").ids == ["1"]
        caller.robot.show(painted(3, THREE))
        assert [request.expression for request in caller.grounder.requests[2:]] == ["the red mug"]
        assert caller.call("reground").ids == ["1", "2"]
        caller.robot.show(painted(4, THREE))
        caller.robot.show(painted(5, THREE))
        asked = [request.expression for request in caller.grounder.requests[3:]]
        assert sorted(asked) == ["the blue bowl", "the red mug"]
        assert "no object '9'" in caller.call("reground", id="9").message


def test_a_reset_leaves_nothing() -> None:
    with following_red() as caller:
        assert caller.call("reset").success
        assert caller.robot.show(painted(2, THREE)).objects == []


def test_services_answer_while_no_picture_comes() -> None:
    with a_caller() as caller:
        assert caller.call("reground").ids == []
        assert "nothing" in caller.call("correct", id="1", text="the blue one").message


def test_an_inactive_node_says_so() -> None:
    with a_caller() as caller:
        caller.robot.node.trigger_deactivate()
        for name in KINDS:
            answer = caller.call(name, **({} if name == "reset" else {"id": "1"}))
            assert not answer.success
            assert answer.message == "the node is not active: configure and activate it"
