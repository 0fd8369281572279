"""The second thought, told as stories over painted scenes: questions on evidence, late answers, dialogue with ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from doubles import ColorTracker, ScriptedWorker, boxes_of
from painted import COLORS, painted

from referent.config import Config
from referent.errors import BadInstruction
from referent.pipeline import Pipeline
from referent.ports import GroundingFailure
from referent.settings import override
from referent.types import (
    FrameResult,
    Grounding,
    GroundingItem,
    GroundingRequest,
    Prompt,
    RgbdFrame,
    TrackedMask,
    TrackState,
)

Box = tuple[int, int, int, int]
Where = Callable[[int], dict[str, Box]]
Answer = Callable[[GroundingRequest], Grounding | GroundingFailure]
RED, BLUE = (10, 10, 24, 24), (40, 20, 56, 40)


def by_color(request: GroundingRequest) -> Grounding:
    """What a perfect grounder says of painted scenes."""
    color = next(color for name, color in COLORS.items() if name in request.expression)
    boxes = boxes_of(request.frame.rgb, color)
    items = tuple(GroundingItem(request.expression, score=0.9, box_xyxy=box) for box in boxes)
    return Grounding(request, items, None if items else "none in view", raw="seen", nothing_score=0.9)


class LosingTracker(ColorTracker):
    """Once its object is gone, it never finds it by itself; it notes how prompts refine or overrule."""

    def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
        masks = super().step(frame)
        for mask in masks:
            if not mask.mask.any():
                self._colors[mask.object_id] = np.array([1, 2, 3], np.uint8)
        return masks


class JumpingTracker(ColorTracker):
    """Jumps to a look-alike in a given frame and stays with it, seemingly sound."""

    def __init__(self, *, at_stamp_ns: int) -> None:
        super().__init__()
        self._at_ns = at_stamp_ns

    def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
        if frame.stamp_ns == self._at_ns:
            self._colors = dict.fromkeys(self._colors, np.array(COLORS["blue"], np.uint8))
        return super().step(frame)


class Story:
    """A pipeline over painted frames with a grounder of some delay."""

    def __init__(
        self,
        *answers: Answer,
        latency_frames: int = 0,
        tracker: ColorTracker | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.worker = ScriptedWorker(answers or [by_color] * 99, delay_ns=latency_frames * 100_000_000)
        self.tracker = tracker or ColorTracker()
        config = override(Config(), {"geometry.min_points": 10, **(settings or {})})
        self.pipeline = Pipeline(config, tracker=self.tracker, worker=self.worker)
        self.results: list[FrameResult] = []

    def over(self, numbers: Iterable[int], where: Where) -> Story:
        self.results += [self.pipeline.process(painted(number, where(number), depth=False)) for number in numbers]
        return self

    def states(self, object_id: str = "1") -> list[TrackState]:
        return [o.state for result in self.results for o in result.objects if o.target.id == object_id]

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(event.reason.value, event.outcome) for result in self.results for event in result.groundings]

    def iou(self, number: int, color: str, object_id: str = "1") -> float:
        """Of an object's mask with what is painted in that color."""
        result = self.results[number]
        (mask,) = (o.mask.mask for o in result.objects if o.target.id == object_id and o.mask is not None)
        frame = self.tracker._frames[result.stamp_ns]
        truth = (frame.rgb == np.array(COLORS[color], np.uint8)).all(axis=2)
        return float((mask & truth).sum() / max((mask | truth).sum(), 1))


class NearestTracker(ColorTracker):
    """Keeps to the one of several of a color that is nearest to where it was prompted."""

    def _mask(self, object_id: str, frame: RgbdFrame) -> TrackedMask:
        mask = super()._mask(object_id, frame)
        boxes = boxes_of(frame.rgb, tuple(self._colors[object_id]))
        prompted = next(prompt.box_xyxy for prompt in reversed(self.prompts) if prompt.object_id == object_id)
        own = min(boxes, key=lambda box: abs(float((box - prompted).sum())))
        columns = np.arange(mask.mask.shape[1])
        return replace(mask, mask=mask.mask & (columns >= own[0]) & (columns < own[2]))


def both(number: int) -> dict[str, Box]:
    return {"red": (10 + number // 4, 10, 24 + number // 4, 24), "blue": BLUE}


def meeting(number: int) -> dict[str, Box]:
    """The red one touches the blue one, as large as it, in frame 20, and goes away again."""
    x = max(15 - abs(number - 20) // 4, 0)
    return {"red": (x, 10, x + 14, 24), "blue": (26, 20, 40, 34)}


def test_an_object_that_left_is_found_where_it_comes_back_under_its_id() -> None:
    def where(number: int) -> dict[str, Box]:
        if number < 10:
            return {"red": RED, "blue": BLUE}
        return {"blue": BLUE} if number < 30 else {"red": (2, 30, 16, 44), "blue": BLUE}

    story = Story(tracker=LosingTracker(), latency_frames=5)
    story.pipeline.instruct("the red block")
    story.over(range(60), where)
    assert story.states()[5:10] == [TrackState.TRACKING] * 5
    assert story.states()[20] is TrackState.LOST
    assert story.states()[-1] is TrackState.TRACKING
    assert story.iou(59, "red") == 1.0
    found_again = next(n for n in range(30, 60) if story.states()[n] is TrackState.TRACKING)
    assert found_again - 30 <= 45
    assert {o.target.id for result in story.results for o in result.objects} == {"1"}


def test_a_track_that_jumped_unnoticed_is_found_out_and_corrected_on_the_frame_asked_about() -> None:
    story = Story(tracker=JumpingTracker(at_stamp_ns=painted(20, {}).stamp_ns), latency_frames=5)
    story.pipeline.instruct("the red block")
    story.over(range(160), meeting)
    assert story.iou(25, "red") == 0.0
    assert story.iou(159, "red") == 1.0
    assert story.events[:3] == [("new", "found"), ("stale", "unsure"), ("uncertain", "corrected")]
    corrected = story.tracker.prompts[-1]
    assert corrected.overrules
    asked = [request.frame.stamp_ns for request in story.worker.asked]
    assert corrected.stamp_ns in asked
    changed = story.results[-1].objects[0].changed
    assert changed is not None
    assert (changed.by, changed.why, changed.stamp_ns) == ("grounder", "uncertain", corrected.stamp_ns)


def test_a_track_that_leaps_clear_of_where_it_was_is_asked_about_in_that_frame() -> None:
    leap_ns = painted(20, {}).stamp_ns
    story = Story(tracker=JumpingTracker(at_stamp_ns=leap_ns), latency_frames=5)
    story.pipeline.instruct("the red block")
    story.over(range(40), both)
    assert story.events == [("new", "found"), ("uncertain", "corrected")]
    assert story.worker.asked[1].frame.stamp_ns == leap_ns
    assert (story.iou(19, "red"), story.iou(22, "blue"), story.iou(39, "red")) == (1.0, 1.0, 1.0)


def test_without_questions_a_jump_is_never_found_out() -> None:
    tracker = JumpingTracker(at_stamp_ns=painted(20, {}).stamp_ns)
    story = Story(tracker=tracker, settings={"grounding.reground_policy": "never"})
    story.pipeline.instruct("the red block")
    story.over(range(160), meeting)
    assert story.events == [("new", "found")]
    assert story.iou(159, "red") == 0.0


def test_by_interval_the_grounder_is_asked_every_so_many_frames() -> None:
    story = Story(settings={"grounding.reground_policy": "interval", "grounding.reground_interval_frames": 20})
    story.pipeline.instruct("the red block")
    story.over(range(101), both)
    numbers = [round((request.frame.stamp_ns - 1e9) / 1e8) for request in story.worker.asked]
    assert numbers == [0, 20, 40, 60, 80, 100]


def test_every_answer_is_followed_by_a_question() -> None:
    story = Story(latency_frames=4, settings={"grounding.reground_policy": "every_answer"})
    story.pipeline.instruct("the red block")
    story.over(range(21), both)
    numbers = [round((request.frame.stamp_ns - 1e9) / 1e8) for request in story.worker.asked]
    assert numbers == [0, 4, 8, 12, 16, 20]


def test_applied_to_the_present_frame_a_late_answer_misses_what_has_moved_on() -> None:
    def running(number: int) -> dict[str, Box]:
        return {"red": (2 + 3 * number, 10, 12 + 3 * number, 20)}

    class Strict(ColorTracker):
        """Cannot start where there is nothing."""

        def prompt(self, prompt: Prompt) -> TrackedMask | None:
            assert prompt.box_xyxy is not None
            x, y = ((prompt.box_xyxy[:2] + prompt.box_xyxy[2:]) / 2).astype(int)
            if tuple(self._frames[prompt.stamp_ns].rgb[y, x]) != COLORS["red"]:
                raise BadInstruction("nothing to be seen there")
            return super().prompt(prompt)

    def followed(time_travel: bool) -> list[TrackState]:
        story = Story(tracker=Strict(), latency_frames=5, settings={"grounding.time_travel": time_travel})
        story.pipeline.instruct("the red block")
        return story.over(range(12), running).states()

    assert followed(True)[5:] == [TrackState.TRACKING] * 7
    assert set(followed(False)) == {TrackState.SEARCHING}


def test_two_that_match_are_both_followed_until_the_person_says_which() -> None:
    def where(number: int) -> dict[str, Box]:
        return {"red": RED, "red2": (44, 10, 58, 24)}

    story = Story(tracker=NearestTracker())
    story.pipeline.instruct("the red block")
    story.over(range(5), where)
    left, right = story.results[-1].objects
    assert left.reason == "2 match 'the red block': left one or right one?"
    assert [(c.object_id, c.words) for c in right.candidates] == [("1", "left one"), ("2", "right one")]
    assert {left.state, right.state} == {TrackState.UNCERTAIN}
    story.pipeline.instruct("the right one")
    story.over(range(5, 8), where)
    (chosen,) = story.results[-1].objects
    assert chosen.target.id == "2"
    assert chosen.candidates == ()
    assert chosen.state is TrackState.TRACKING
    assert len(story.worker.asked) == 1


def test_a_dialogue_keeps_the_ids_of_what_it_is_not_about() -> None:
    story = Story()
    story.pipeline.instruct("the red block")
    story.over(range(3), both)
    story.pipeline.instruct("also the blue block")
    story.over(range(3, 6), both)
    assert [o.target.id for o in story.results[-1].objects] == ["1", "2"]
    assert story.iou(5, "blue", "2") == 1.0
    story.pipeline.instruct("forget the red block")
    story.over(range(6, 8), both)
    assert [o.target.id for o in story.results[-1].objects] == ["2"]
    story.pipeline.instruct("go back")
    story.over(range(8, 11), both)
    assert [o.target.id for o in story.results[-1].objects] == ["1", "2"]
    assert story.iou(10, "red", "1") == 1.0
    blue = story.results[-1].objects[1]
    assert blue.created is not None
    assert blue.created.instruction_id == 2
    assert len({(r.expression, r.frame.stamp_ns) for r in story.worker.asked}) == 3, (
        "the blue one was never in question"
    )


def test_what_cannot_be_taken_back_or_forgotten_is_said_so() -> None:
    story = Story()
    with pytest.raises(BadInstruction, match="nothing to go back to"):
        story.pipeline.instruct("go back")
    story.pipeline.instruct("the red block")
    with pytest.raises(BadInstruction, match="nothing like 'the green bowl' is followed, but 'the red block'"):
        story.pipeline.instruct("forget the green bowl")
    story.over(range(2), both)
    assert story.states() == [TrackState.TRACKING] * 2


def test_all_objects_leave_and_the_grounder_is_asked_ever_more_rarely() -> None:
    def where(number: int) -> dict[str, Box]:
        return both(0) if number < 10 else {}

    story = Story(tracker=LosingTracker())
    story.pipeline.instruct("the red block")
    story.over(range(5), where)
    story.pipeline.instruct("also the blue block")
    story.over(range(5, 200), where)
    assert story.states("1")[-1] is story.states("2")[-1] is TrackState.LOST
    late = [request for request in story.worker.asked if request.frame.stamp_ns >= painted(100, {}).stamp_ns]
    assert 4 <= len(late) <= 6, "each of both every four seconds"
    assert "nothing matches: none in view" in story.results[-1].objects[0].reason or (
        "not seen for" in story.results[-1].objects[0].reason
    )


def test_stamps_that_jump_back_cancel_the_question_and_start_over() -> None:
    story = Story(latency_frames=5)
    story.pipeline.instruct("the red block")
    story.over(range(10, 12), both).over(range(8), both)
    assert story.worker.cancelled == 1
    assert story.states("2")[-1] is TrackState.TRACKING
    assert story.tracker.pinned == []


def test_a_hanging_grounder_costs_nothing_but_its_answers() -> None:
    story = Story(latency_frames=10_000, settings={"grounding.answer_deadline_s": 1.0})
    story.pipeline.follow_box("the red block", np.array(RED, np.float32))
    story.pipeline.instruct("also the blue block")
    story.over(range(30), both)
    (by_box,) = {o.target.id for o in story.results[0].objects if o.target.expression == "the red block"}
    assert story.states(by_box) == [TrackState.TRACKING] * 30
    assert [outcome for _, outcome in story.events] == ["failed"] * 2
    assert len(story.tracker.pinned) <= 1


def test_an_instruction_in_every_frame_pins_one_frame_and_follows_the_last() -> None:
    story = Story(latency_frames=2)
    for number in range(20):
        story.pipeline.instruct("the red block" if number % 2 else "the blue block")
        story.over([number], both)
        assert len(story.tracker.pinned) == 1
    story.over(range(20, 25), both)
    assert story.iou(24, "red", "20") == 1.0
    assert story.tracker.pinned == []


def test_regions_that_are_thrown_away_are_counted() -> None:
    def fifty(request: GroundingRequest) -> Grounding:
        boxes = [np.array([x, y, x + 5, y + 5], np.float32) for x in range(0, 80, 8) for y in range(0, 60, 12)]
        return Grounding(request, tuple(GroundingItem("b", box_xyxy=box) for box in boxes[:50]))

    story = Story(fifty)
    story.pipeline.instruct("the red blocks")
    story.over(range(2), both)
    assert len(story.results[-1].objects) == 16
    assert story.results[-1].drops["answer_items_dropped"] == 34


def test_two_tellings_of_one_story_are_the_same() -> None:
    def told() -> list[object]:
        story = Story(tracker=JumpingTracker(at_stamp_ns=painted(20, {}).stamp_ns), latency_frames=3)
        story.pipeline.instruct("the red block")
        story.over(range(80), both)
        return [
            (o.state, o.reason, o.verified_stamp_ns, o.grounding_score, o.mask.mask.tobytes() if o.mask else b"")
            for result in story.results
            for o in result.objects
        ]

    assert told() == told()
