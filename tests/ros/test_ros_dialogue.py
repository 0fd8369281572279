"""A dialogue over real topics: what may be meant is named on ~/tracks, and what is said changes the tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from doubles import COLORS, ColorGrounder, ColorTracker, boxes_of
from painted import painted
from referent_msgs.msg import TrackedObject, TrackedObjectArray
from robot import Robot, a_robot

from referent.config import Config
from referent.frames.transforms import TransformBuffer
from referent.grounding.boxes import box_iou
from referent.grounding.workers import ReplayWorker
from referent.pipeline import Pipeline
from referent.types import Array, Grounding, GroundingItem, GroundingRequest, Prompt, RgbdFrame, TrackedMask

Scene = Mapping[str, tuple[int, int, int, int]]
LEFT, RIGHT = (6, 10, 20, 24), (40, 10, 54, 24)
TWO_RED = {"red": LEFT, "red2": RIGHT}
THREE = {"red": (4, 10, 16, 24), "blue": (24, 10, 36, 24), "green": (44, 20, 58, 40)}


def middle(box_xyxy: Array) -> Array:
    """The point (2,) in the middle of a box."""
    return (box_xyxy[:2] + box_xyxy[2:]) / 2


class RegionTracker(ColorTracker):
    """Follows one of several regions of a color: the one nearest to where its object was."""

    def __init__(self) -> None:
        super().__init__()
        self._middles: dict[str, Array] = {}

    def prompt(self, prompt: Prompt) -> TrackedMask | None:
        assert prompt.box_xyxy is not None
        self._middles[prompt.object_id] = middle(prompt.box_xyxy)
        return super().prompt(prompt)

    def _mask(self, object_id: str, frame: RgbdFrame) -> TrackedMask:
        r, g, b = self._colors[object_id].tolist()
        boxes = boxes_of(frame.rgb, (r, g, b))
        mask = np.zeros(frame.rgb.shape[:2], bool)
        if not boxes:
            return TrackedMask(object_id, mask, 0.0, 0.9, -5.0)
        x1, y1, x2, y2 = min(boxes, key=lambda box: np.abs(middle(box) - self._middles[object_id]).sum()).astype(int)
        mask[y1:y2, x1:x2] = True
        self._middles[object_id] = np.array([x1 + x2, y1 + y2]) / 2
        return TrackedMask(object_id, mask, 0.9, 0.9, 5.0)


class ListeningGrounder(ColorGrounder):
    """Knows colors; "the other one" is what has the color spoken of before and is not followed."""

    def ground(self, request: GroundingRequest) -> Grounding:
        if "other" not in request.expression:
            return super().ground(request)
        self.requests.append(request)
        color = next(color for name, color in COLORS.items() if name in request.history[0].question)
        followed = [track.box_xyxy for track in request.tracks]
        others = [
            box for box in boxes_of(request.frame.rgb, color) if all(box_iou(box, known) < 0.5 for known in followed)
        ]
        items = tuple(GroundingItem(label=request.expression, box_xyxy=box, score=0.9) for box in others)
        return Grounding(request, items, None if items else "there is no other", raw="the other")


class Dialogue:
    """A robot that is spoken to while it looks at a scene that stays as it is."""

    def __init__(self, robot: Robot, grounder: ListeningGrounder, scene: Scene) -> None:
        self.grounder = grounder
        self.robot = robot
        self._scene = scene
        self._shown = 0

    def say(self, text: str) -> TrackedObjectArray:
        """What ~/tracks says about the second picture after these words."""
        self.robot.say(text)
        self.look()
        return self.look()

    def look(self) -> TrackedObjectArray:
        """One more picture."""
        self._shown += 1
        return self.robot.show(painted(self._shown, self._scene))


@contextmanager
def a_dialogue(scene: Scene) -> Iterator[Dialogue]:
    """A robot before a scene of colored things."""
    grounder = ListeningGrounder()

    def make_pipeline(config: Config, transforms: TransformBuffer) -> Pipeline:
        worker = ReplayWorker(grounder, latency_ns=0)
        return Pipeline(config, tracker=RegionTracker(), worker=worker, transforms=transforms)

    with a_robot(make_pipeline=make_pipeline) as robot:
        yield Dialogue(robot, grounder, scene)


def followed(tracks: TrackedObjectArray) -> dict[str, tuple[str, list[float]]]:
    """Id to expression and box of everything that is seen."""
    return {each.id: (each.expression, each.bbox_xyxy.tolist()) for each in tracks.objects if each.has_bbox}


def test_two_things_that_match_are_named_with_their_places_and_both_followed() -> None:
    with a_dialogue(TWO_RED) as dialogue:
        tracks = dialogue.say("the red mug")
        assert [each.state for each in tracks.objects] == [TrackedObject.UNCERTAIN] * 2
        for each in tracks.objects:
            assert each.reason == "2 match 'the red mug': left one or right one?"
            assert [(one.id, one.words) for one in each.candidates] == [("1", "left one"), ("2", "right one")]
            assert all(one.has_bbox for one in each.candidates)
            assert [one.bbox_xyxy.tolist() for one in each.candidates] == [[*LEFT], [*RIGHT]]
        asked = [event for heard in dialogue.robot.heard["tracks"] for event in heard.groundings]
        assert [(event.reason, event.outcome) for event in asked] == [("new", "ambiguous")]
        assert len(asked[0].boxes_xyxy) == 8


def test_the_person_says_which_one_and_then_that_it_was_the_other() -> None:
    with a_dialogue(TWO_RED) as dialogue:
        dialogue.say("the red mug")
        (left,) = dialogue.say("the left one").objects
        assert (left.id, left.state, left.bbox_xyxy.tolist()) == ("1", TrackedObject.TRACKING, [*LEFT])
        assert left.candidates == []
        assert (left.changed.by, left.changed.why, left.changed.instruction_id) == ("user", "refined", 2)
        assert len(dialogue.grounder.requests) == 1, "a choice among named candidates needs no model"

        (right,) = dialogue.say("no, the other one").objects
        assert (right.state, right.bbox_xyxy.tolist()) == (TrackedObject.TRACKING, [*RIGHT])
        assert (right.changed.by, right.changed.why, right.changed.instruction_id) == ("grounder", "corrected", 3)
        question = dialogue.grounder.requests[-1]
        assert [turn.question for turn in question.history] == ["the red mug"]
        assert [track.box_xyxy.tolist() for track in question.tracks] == [[*LEFT]]


def test_what_is_added_forgotten_and_taken_back_keeps_the_ids_of_the_rest() -> None:
    red, blue, green = ([*THREE[color]] for color in ("red", "blue", "green"))
    with a_dialogue(THREE) as dialogue:
        assert followed(dialogue.say("the red mug")) == {"1": ("the red mug", red)}
        both = dialogue.say("also the blue one")
        assert followed(both) == {"1": ("the red mug", red), "2": ("the blue one", blue)}
        with_box = followed(dialogue.say("also the green box"))
        assert with_box == followed(both) | {"3": ("the green box", green)}
        assert followed(dialogue.say("forget the box")) == followed(both)
        assert followed(dialogue.say("go back")) == with_box
        assert followed(dialogue.say("the blue bowl")).keys() == {"4"}


def test_who_made_a_track_what_it_is_is_published_with_it() -> None:
    with a_dialogue(THREE) as dialogue:
        dialogue.say("the red mug")
        red, blue = dialogue.say("also the blue one").objects
        by = [(each.created.by, each.created.why, each.created.instruction_id) for each in (red, blue)]
        assert by == [("grounder", "new", 1), ("grounder", "new", 2)]
        assert red.has_created
        assert red.has_changed
        assert red.created == red.changed
        assert red.created.stamp == red.grounded_stamp
        assert red.has_grounding_score
        assert 0.5 < red.grounding_score <= 1


def test_put_one_thing_into_another_gives_both_their_parts() -> None:
    with a_dialogue(THREE) as dialogue:
        tracks = dialogue.say("put the red mug into the green box")
        roles = {each.role: (each.expression, each.bbox_xyxy.tolist()) for each in tracks.objects}
        assert roles == {"pick": ("the red mug", [*THREE["red"]]), "place": ("the green box", [*THREE["green"]])}


def test_what_cannot_be_forgotten_or_taken_back_is_told_and_changes_nothing() -> None:
    with a_dialogue(THREE) as dialogue:
        before = followed(dialogue.say("the red mug"))
        dialogue.robot.say("forget the lamp")
        dialogue.look()
        dialogue.robot.wait_for_diagnosis("pipeline", "nothing like 'the lamp' is followed, but 'the red mug'")
        assert followed(dialogue.look()) == before
