"""~/query_objects over real topics: where things are and were, in the map, by words or by a look at their pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from doubles import ColorGrounder, ColorTracker
from geometry_msgs.msg import Point, Quaternion, Transform, Vector3
from painted import painted
from referent_msgs.msg import KnownObject, TrackedObject
from referent_msgs.srv import Forget, QueryObjects, Reexpress, Reset
from robot import Robot, Services, a_robot, pipeline_of

from referent.errors import ConfigError
from referent.types import Grounding, GroundingItem, GroundingRequest, RgbdFrame
from referent_ros import camera_messages
from referent_ros.result_messages import time_from_ns

BOTH = {"red": (10, 10, 24, 24), "green": (40, 20, 56, 40)}
GREEN = {"green": BOTH["green"]}
MAP_FROM_CAMERA = np.array([[0.0, 0, 1, 2.0], [-1, 0, 0, 3.0], [0, -1, 0, 1.0], [0, 0, 0, 1]])
KINDS = {"query_objects": QueryObjects, "reexpress": Reexpress, "forget": Forget, "reset": Reset}


class ThirstyGrounder(ColorGrounder):
    """Knows colors, and that one drinks from what is red."""

    def ground(self, request: GroundingRequest) -> Grounding:
        if request.kind != "verify":
            return super().ground(request)
        self.requests.append(request)
        height, width = request.frame.rgb.shape[:2]
        red, green, _ = request.frame.rgb[height // 2, width // 2].astype(int)
        item = GroundingItem(request.expression, 0.9, box_xyxy=request.tracks[0].box_xyxy)
        fits = "drink" in request.expression and red > green + 50
        return Grounding(request, (item,) if fits else (), None if fits else "nothing to drink from", nothing_score=0.9)


class Guest:
    """Somebody who asks a robot that is at a known place of the map."""

    def __init__(self, robot: Robot, grounder: ThirstyGrounder) -> None:
        self.robot = robot
        self.grounder = grounder
        self.call = Services(robot, KINDS).call
        robot.wait_for(lambda: robot.tf.get_subscription_count() >= 2)  # the node's ears, and the robot's own

    def ask(self, phrase: str = "", **fields: Any) -> list[KnownObject]:
        answer = self.call("query_objects", phrase=phrase, **fields)
        assert answer.success, answer.message
        return list(answer.objects)

    def show(self, frame: RgbdFrame) -> list[TrackedObject]:
        stamp = self.robot.header(frame).stamp
        self.robot.tf.publish(camera_messages.transform_message(stamp, "map", frame.camera_frame, MAP_FROM_CAMERA))
        self.robot.spin(0.05)
        return list(self.robot.show(frame).objects)

    def look_at_both(self) -> None:
        self.robot.say("the red mug")
        self.show(painted(0, BOTH))
        self.robot.say("also the green box")
        for number in (1, 20, 40):
            self.show(painted(number, BOTH))


@contextmanager
def a_guest(**settings: Any) -> Iterator[Guest]:
    grounder = ThirstyGrounder()
    with a_robot(make_pipeline=pipeline_of(ColorTracker, grounder), **settings) as robot:
        yield Guest(robot, grounder)


def test_what_is_in_view_is_told_with_its_place_in_the_map() -> None:
    with a_guest() as guest:
        guest.look_at_both()
        (mug,) = guest.ask("where is the red mug?")
        assert (mug.label, mug.state, mug.match) == ("the red mug", TrackedObject.TRACKING, 1.0)
        assert mug.track_id == "1"
        assert mug.pose.header.frame_id == "map"
        assert mug.pose.pose.pose.position.x == pytest.approx(3.0, abs=0.05)  # 1 m before the camera
        assert mug.pose.pose.pose.position.y == pytest.approx(3.0 + 0.24, abs=0.05)
        assert mug.last_seen == time_from_ns(painted(40, {}).stamp_ns)
        assert mug.sightings >= 2
        assert mug.how == "grounder: new"
        assert np.array(mug.pose.pose.covariance).reshape(6, 6)[0, 0] > 0
        assert len(guest.ask()) == 2
        assert guest.robot.wait_for_diagnosis("memory", "2 remembered")


def test_what_is_out_of_view_or_forgotten_by_the_tracker_is_remembered() -> None:
    with a_guest() as guest:
        guest.look_at_both()
        guest.robot.say("the green box")
        guest.show(painted(60, GREEN))
        (mug,) = guest.ask("red mug")
        assert (mug.track_id, mug.state) == ("", TrackedObject.LOST)
        assert mug.last_seen == time_from_ns(painted(40, {}).stamp_ns)


def test_an_open_phrase_is_answered_by_a_look_at_remembered_pictures_even_while_no_picture_comes() -> None:
    with a_guest() as guest:
        guest.look_at_both()
        assert guest.ask("something to drink from") == []
        answer = guest.call("query_objects", phrase="something to drink from", ask_model=True)
        assert [(each.label, round(each.match, 2)) for each in answer.objects] == [("the red mug", 0.9)]
        assert "pictures" in answer.message
        assert [request.kind for request in guest.grounder.requests[-2:]] == ["verify", "verify"]
        asked = len(guest.grounder.requests)
        guest.ask("red mug", ask_model=True)
        assert len(guest.grounder.requests) == asked, "words were enough"


def test_the_targets_questions_go_on_beside_those_about_memories() -> None:
    with a_guest(grounding__reground_policy="every_answer") as guest:
        guest.look_at_both()
        (mug,) = guest.ask("something to drink from", ask_model=True)
        assert mug.label == "the red mug"
        assert [each.state for each in guest.show(painted(60, BOTH))] == [TrackedObject.TRACKING] * 2


def test_what_is_followed_no_more_is_not_said_to_be_though_nobody_knows_the_way_to_the_map_now() -> None:
    with a_guest() as guest:
        guest.look_at_both()
        assert [each.track_id for each in guest.ask("green box")] == ["2"]
        guest.call("reset")
        guest.robot.show(painted(300, BOTH))  # seconds after the last transform
        guest.robot.show(painted(340, BOTH))
        assert [(each.track_id, each.state) for each in guest.ask()] == [("", TrackedObject.LOST)] * 2


def test_after_a_pause_nothing_is_said_to_be_followed_before_the_first_picture() -> None:
    with a_guest() as guest:
        guest.look_at_both()
        guest.robot.node.trigger_deactivate()
        guest.robot.node.trigger_activate()
        assert [(each.track_id, each.state) for each in guest.ask()] == [("", TrackedObject.LOST)] * 2


def test_near_and_limit_narrow_the_answer_and_another_frame_may_be_asked_for() -> None:
    with a_guest() as guest:
        guest.look_at_both()
        (nearest,) = guest.ask(limit=1, near=Point(x=3.0, y=2.7, z=0.8))
        assert nearest.label == "the green box"
        assert [each.label for each in guest.ask(near=Point(x=3.0, y=3.24, z=1.1), radius=0.2)] == ["the red mug"]
        camera = painted(0, {}).camera_frame
        (mug,) = guest.ask("red mug", frame=camera)
        assert mug.pose.header.frame_id == camera
        assert mug.pose.pose.pose.position.z == pytest.approx(1.0, abs=0.05)
        (again,) = guest.ask(frame=camera, near=Point(x=mug.pose.pose.pose.position.x, z=1.0, y=-0.1), radius=0.15)
        assert again.memory_id == mug.memory_id


def test_another_frame_is_told_when_transforms_lag_behind_pictures_and_not_when_they_have_ended() -> None:
    with a_guest() as guest:
        guest.look_at_both()
        camera = painted(0, {}).camera_frame
        guest.robot.show(painted(50, BOTH))
        (mug,) = guest.ask("red mug", frame=camera)
        assert mug.pose.pose.pose.position.z == pytest.approx(1.0, abs=0.05)
        guest.robot.show(painted(80, BOTH))
        refused = guest.call("query_objects", phrase="red mug", frame=camera)
        assert "is known from" in refused.message


def test_a_map_that_jumps_carries_what_is_remembered_along() -> None:
    with a_guest() as guest:
        guest.look_at_both()
        (before,) = guest.ask("red mug")
        move = Transform(translation=Vector3(x=10.0), rotation=Quaternion(z=1.0, w=0.0))
        assert guest.call("reexpress", new_from_old=move).success
        (after,) = guest.ask("red mug")
        assert after.pose.pose.pose.position.x == pytest.approx(10 - before.pose.pose.pose.position.x)
        assert after.pose.pose.pose.position.y == pytest.approx(-before.pose.pose.pose.position.y)
        later = Transform(translation=Vector3(x=1.0), rotation=Quaternion(w=1.0))
        assert guest.call("reexpress", new_from_old=later, since=Time(sec=10_000)).success
        assert guest.ask("red mug")[0].pose.pose.pose == after.pose.pose.pose
        refused = guest.call("reexpress", new_from_old=Transform(rotation=Quaternion(w=9.0)))
        assert "is no rotation" in refused.message


def test_memories_are_forgotten_on_request() -> None:
    with a_guest() as guest:
        guest.look_at_both()
        guest.call("reset")
        mug, box = sorted(guest.ask(), key=lambda each: each.label, reverse=True)
        assert guest.call("forget", memory_id=mug.memory_id).success
        assert [each.memory_id for each in guest.ask()] == [box.memory_id]
        assert "is remembered" in guest.call("forget", memory_id=mug.memory_id).message
        assert "is no id" in guest.call("forget", memory_id="../x").message
        assert guest.call("reset", memory=True).success
        assert guest.ask() == []


def test_a_file_keeps_it_over_restarts_and_an_inactive_node_still_answers(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with a_guest(memory__path=str(path)) as guest:
        guest.look_at_both()
        assert len(guest.ask()) == 2
    with a_guest(memory__path=str(path), memory__max_age_h=0.0) as guest:  # painted pictures are of 1970
        (mug,) = guest.ask("red mug")
        assert (mug.track_id, mug.state) == ("", TrackedObject.LOST)
        guest.robot.node.trigger_deactivate()
        assert len(guest.ask()) == 2
        refused = guest.call("query_objects", phrase="a drink", ask_model=True)
        assert "only while the node is active" in refused.message
        assert "not active" in guest.call("reset").message
        assert len(guest.ask()) == 2
        assert guest.call("reset", memory=True).success
        assert guest.ask() == []
        guest.robot.node.trigger_cleanup()
        assert "nothing is remembered" in guest.call("query_objects").message


def test_a_damaged_file_stops_the_configuring_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with a_robot(start=False, memory__path=str(path)) as robot:
        with pytest.raises(ConfigError, match=r"memory\.sqlite"):
            robot.node.start()
        robot.wait_for_diagnosis("lifecycle", "memory.sqlite")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"phrase": "x" * 5000}, "at most 1000"),
        ({"radius": -1.0}, "radius 0 or more"),
        ({"radius": float("nan")}, "finite"),
        ({"frame": "nowhere"}, "nowhere"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_why(fields: dict[str, Any], why: str) -> None:
    with a_guest() as guest:
        guest.look_at_both()
        answer = guest.call("query_objects", **fields)
        assert not answer.success
        assert why in answer.message


def test_without_a_way_to_the_map_nothing_is_remembered_and_nothing_waits() -> None:
    with a_guest() as guest:
        guest.robot.say("the red mug")
        for number in range(15):
            guest.robot.show(painted(number, BOTH))
        assert guest.ask() == []
        guest.robot.wait_for_diagnosis("memory", "no transform to memory.frame yet")
