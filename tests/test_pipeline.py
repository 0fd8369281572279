"""The hall, told as stories over painted scenes: what is asked, when, and what comes out for every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from doubles import ColorGrounder, ColorTracker
from painted import painted

from referent.building import live_worker
from referent.config import Config
from referent.errors import BadInstruction, BadMessage, ConfigError, StalePrompt
from referent.frames.transforms import TransformBuffer
from referent.grounding.workers import NoWorker, ReplayWorker
from referent.pipeline import Pipeline
from referent.ports import PromptOutcome
from referent.settings import override
from referent.types import FrameResult, Prompt, RgbdFrame, TrackedMask, TrackHealth, TrackState

RED, BLUE = (10, 10, 24, 24), (40, 20, 56, 40)


class Run:
    """A pipeline over painted frames, and everything it said."""

    def __init__(
        self,
        *,
        latency_s: float = 0.0,
        grounder: object = None,
        tracker: ColorTracker | None = None,
        keep_frames: int = 1000,
        **settings: object,
    ) -> None:
        self.tracker = tracker or ColorTracker(keep_frames=keep_frames)
        self.grounder = grounder or ColorGrounder()
        worker = ReplayWorker(self.grounder, latency_ns=round(latency_s * 1e9))  # type: ignore[arg-type]
        self.transforms = TransformBuffer()
        config = override(Config(), {"geometry.min_points": 10, **settings})
        self.pipeline = Pipeline(config, tracker=self.tracker, worker=worker, transforms=self.transforms)
        self.results: list[FrameResult] = []

    def over(self, frames: Iterable[RgbdFrame]) -> Run:
        self.results += [self.pipeline.process(frame) for frame in frames]
        return self

    @property
    def states(self) -> list[TrackState]:
        return [result.objects[0].state for result in self.results if result.objects]

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(event.reason.value, event.outcome) for result in self.results for event in result.groundings]


def frames(numbers: Iterable[int], where: Callable[[int], dict[str, tuple[int, int, int, int]]]) -> list[RgbdFrame]:
    return [painted(number, where(number)) for number in numbers]


def moving_red(number: int) -> dict[str, tuple[int, int, int, int]]:
    return {"red": (10 + number, 10, 24 + number, 24), "blue": BLUE}


def test_without_an_instruction_nothing_is_looked_for() -> None:
    run = Run().over(frames(range(3), moving_red))
    assert all(result.objects == () for result in run.results)
    assert run.grounder.requests == []  # type: ignore[attr-defined]


def test_an_instruction_becomes_a_mask_and_a_pose_in_the_same_frame_when_the_grounder_is_instant() -> None:
    run = Run()
    run.pipeline.instruct("  pick up the\n red block ")
    run.over(frames(range(5), moving_red))
    for number, result in enumerate(run.results):
        (found,) = result.objects
        assert found.state is TrackState.TRACKING
        assert found.target.expression == "the red block"
        assert found.mask is not None
        assert found.mask.mask[12, 12 + number]
        assert found.mask.mask.sum() == 14 * 14
        assert found.grounded_stamp_ns == run.results[0].stamp_ns
        assert found.pose is not None
        x, _, z = found.pose.box.camera_from_object[:3, 3]
        assert z == pytest.approx(1.0, abs=0.05)
        assert x == pytest.approx((16.5 + number - 31.5) / 60.0, abs=0.03)
    assert run.events == [("new", "found")]
    assert set(run.results[0].timings_s) == {"track", "ground", "locate", "total"}


def test_a_late_answer_lands_on_the_frame_it_was_asked_about_and_is_caught_up_to_now() -> None:
    run = Run(latency_s=0.3)
    run.pipeline.instruct("the red block")
    run.over(frames(range(6), moving_red))
    assert run.states == [TrackState.SEARCHING] * 3 + [TrackState.TRACKING] * 3
    (prompt,) = run.tracker.prompts
    assert prompt.stamp_ns == run.results[0].stamp_ns
    assert tuple(prompt.box_xyxy) == RED  # type: ignore[arg-type]
    caught_up = run.results[3].objects[0].mask
    assert caught_up is not None
    assert caught_up.mask[12, 13 + 13]
    assert not caught_up.mask[12, 12]
    assert run.tracker.pinned == []


class PatientTracker(ColorTracker):
    """Catches up during some steps before it shows, or refuses, what it was prompted with."""

    def __init__(self, *, steps: int, refuse: int = 0) -> None:
        super().__init__()
        self._steps, self._refuse = steps, refuse
        self._waiting: list[tuple[int, Prompt]] = []

    def prompt(self, prompt: Prompt) -> TrackedMask | None:
        self.prompts.append(prompt)
        self._waiting.append((self._steps, prompt))
        return None

    def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
        super().step(frame)
        self._waiting = [(left - 1, prompt) for left, prompt in self._waiting]
        for _, prompt in [item for item in self._waiting if item[0] == 0]:
            if self._refuse:
                self._refuse -= 1
                self._outcomes.append(PromptOutcome(prompt.object_id, prompt.stamp_ns, "rejected", frame.stamp_ns))
            else:
                super().prompt(prompt)
                del self.prompts[-1]
        self._waiting = [item for item in self._waiting if item[0] > 0]
        return super().step(frame)


def test_while_a_found_target_catches_up_it_is_neither_lost_nor_asked_for_again() -> None:
    run = Run(latency_s=0.1, tracker=PatientTracker(steps=6))
    run.pipeline.instruct("the red block")
    run.over(frames(range(12), moving_red))
    assert run.states == [TrackState.SEARCHING] * 7 + [TrackState.TRACKING] * 5
    assert "catching up" in run.results[4].objects[0].reason
    assert len(run.grounder.requests) == 1  # type: ignore[attr-defined]
    assert run.results[-1].objects[0].grounded_stamp_ns == run.results[0].stamp_ns
    assert run.results[-1].drops == {}


def test_a_target_whose_track_was_refused_is_counted_and_looked_for_again() -> None:
    run = Run(latency_s=0.1, tracker=PatientTracker(steps=3, refuse=1))
    run.pipeline.instruct("the red block")
    run.over(frames(range(14), moving_red))
    assert run.results[-1].drops == {"corrections_rejected": 1}
    assert run.events == [("new", "found"), ("new", "found")]
    assert run.states[-1] is TrackState.TRACKING
    assert run.results[-1].objects[0].target.id == "1"


def test_a_lost_targets_refused_correction_leaves_its_record_as_it_was() -> None:
    def where(number: int) -> dict[str, tuple[int, int, int, int]]:
        return {"red": RED} if number < 5 or number > 12 else {}

    class Unsteady(PatientTracker):
        """Shows a first target at once; refuses every correction of it."""

        def prompt(self, prompt: Prompt) -> TrackedMask | None:
            if not self.prompts:
                return ColorTracker.prompt(self, prompt)
            return super().prompt(prompt)

        def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
            return tuple(self._gone(mask) if frame.stamp_ns > 1.5e9 else mask for mask in super().step(frame))

        def _gone(self, mask: TrackedMask) -> TrackedMask:
            return TrackedMask(mask.object_id, np.zeros_like(mask.mask), 0.0, 0.9, -5.0)

    run = Run(latency_s=0.1, tracker=Unsteady(steps=2, refuse=100))
    run.pipeline.instruct("the red block")
    run.over(frames(range(35), where))
    assert run.results[-1].drops["corrections_rejected"] >= 2
    (found,) = run.results[-1].objects
    assert found.state is TrackState.LOST
    assert found.grounded_stamp_ns == run.results[0].stamp_ns
    assert ("lost", "found") in run.events


def test_a_stale_answer_is_counted_and_changes_nothing() -> None:
    class Knowing(ColorTracker):
        def prompt(self, prompt: Prompt) -> TrackedMask | None:
            raise StalePrompt("known already")

    run = Run(tracker=Knowing())
    run.pipeline.instruct("the red block")
    run.over(frames(range(2), moving_red))
    assert run.events == [("new", "discarded")] * 2
    assert run.results[-1].drops == {"answers_stale": 2}
    assert run.states == [TrackState.SEARCHING] * 2
    assert run.tracker.pinned == []


def test_of_several_regions_those_that_can_be_followed_are() -> None:
    class Choosy(ColorTracker):
        def prompt(self, prompt: Prompt) -> TrackedMask | None:
            if prompt.object_id == "1":
                raise BadInstruction("nothing to be seen there")
            return super().prompt(prompt)

    run = Run(tracker=Choosy(), **{"grounding.backoff_first_s": 4.0})
    run.pipeline.instruct("the red blocks")
    run.over([painted(0, {"red": RED, "red2": (40, 10, 50, 20)})])
    assert run.events == [("new", "found")]
    assert run.results[-1].drops == {"answers_unusable": 1}
    assert [found.state for found in run.results[-1].objects] == [TrackState.SEARCHING, TrackState.TRACKING]


def test_a_track_in_bad_health_is_uncertain_and_says_why() -> None:
    class Swelling(ColorTracker):
        def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
            health = TrackHealth(stability=1.0, area_ratio=2.5, alternative_iou=1.0, overlap=0.0, scene_cut=0.0)
            return tuple(replace(mask, health=health) for mask in super().step(frame))

    run = Run(tracker=Swelling(), **{"grounding.reground_policy": "never"})
    run.pipeline.instruct("the red block")
    run.over(frames(range(4), moving_red))
    assert run.states == [TrackState.TRACKING] * 2 + [TrackState.UNCERTAIN] * 2, "one doubtful frame is none"
    assert run.results[2].objects[0].reason == "its area is 2.50 of what it was"


def test_the_frame_asked_about_is_pinned_until_its_answer() -> None:
    run = Run(latency_s=0.2)
    run.pipeline.instruct("the red block")
    run.over(frames(range(2), moving_red))
    assert run.tracker.pinned == [run.results[0].stamp_ns]
    run.over(frames(range(2, 4), moving_red))
    assert run.tracker.pinned == []


def test_lost_target_is_asked_for_again_and_found() -> None:
    def where(number: int) -> dict[str, tuple[int, int, int, int]]:
        if number < 5:
            return {"red": RED}
        return {} if number < 15 else {"red": (30, 20, 50, 40)}

    class FaithlessTracker(ColorTracker):
        """Never finds an object again by itself."""

        def step(self, frame: RgbdFrame):  # type: ignore[no-untyped-def]
            masks = super().step(frame)
            for mask in masks:
                if not mask.mask.any():
                    self._colors[mask.object_id] = np.array([1, 2, 3], np.uint8)
            return masks

    run = Run(latency_s=0.2, tracker=FaithlessTracker())
    run.pipeline.instruct("the red block")
    run.over(frames(range(45), where))
    assert run.states[7] is TrackState.LOST
    assert run.states[5] is TrackState.OCCLUDED
    assert run.results[8].objects[0].pose is None
    assert run.states[-1] is TrackState.TRACKING
    assert run.events[0] == ("new", "found")
    assert run.events[-1] == ("lost", "found")
    assert all(event == ("lost", "nothing") for event in run.events[1:-1])
    assert run.results[-1].objects[0].target.id == "1"


def test_nothing_matches_is_asked_again_ever_more_rarely() -> None:
    run = Run()
    run.pipeline.instruct("the green block")
    run.over(frames(range(100), moving_red))
    assert set(run.states) == {TrackState.SEARCHING}
    asked = [event.stamp_ns for result in run.results for event in result.groundings]
    gaps_s = np.diff(asked) / 1e9
    assert gaps_s[0] == pytest.approx(0.5)
    assert gaps_s.max() == pytest.approx(4.0)
    assert "no the green block in view" in run.results[-1].objects[0].reason


def test_an_unreadable_reply_is_a_failure_and_is_asked_again() -> None:
    run = Run()
    run.pipeline.instruct("the thing")
    run.over(frames(range(12), moving_red))
    assert run.events[:2] == [("new", "failed"), ("new", "failed")]


def test_every_region_of_one_answer_becomes_an_object_of_its_own() -> None:
    run = Run()
    run.pipeline.instruct("the red blocks")
    run.over([painted(n, {"red": RED, "red2": (40, 10, 50, 20)}) for n in range(2)])
    assert [found.target.id for found in run.results[-1].objects] == ["1", "2"]


def test_a_new_instruction_replaces_the_old_and_ids_are_never_used_again() -> None:
    run = Run(latency_s=0.1)
    run.pipeline.instruct("the red block")
    run.over(frames(range(3), moving_red))
    run.pipeline.instruct("the blue block")
    run.over(frames(range(3, 7), moving_red))
    assert [found.target.id for found in run.results[2].objects] == ["1"]
    assert [found.target.id for found in run.results[6].objects] == ["2"]
    assert run.results[6].objects[0].mask.mask[30, 45]  # type: ignore[union-attr]


def test_an_answer_to_the_instruction_before_is_never_applied() -> None:
    run = Run(latency_s=0.4)
    run.pipeline.instruct("the red block")
    run.over(frames(range(2), moving_red))
    run.pipeline.instruct("the blue block")
    run.over(frames(range(2, 12), moving_red))
    assert [prompt.object_id for prompt in run.tracker.prompts] == ["2"]
    assert run.tracker.pinned == []


def test_an_answer_about_a_frame_that_is_gone_is_counted_and_asked_again() -> None:
    run = Run(latency_s=0.5, keep_frames=3)
    run.pipeline.instruct("the red block")
    run.over(frames(range(13), moving_red))
    assert run.events[0] == ("new", "discarded")
    assert run.results[-1].drops["answers_too_late"] >= 1
    assert run.states[-1] is TrackState.SEARCHING
    assert len(run.grounder.requests) >= 2  # type: ignore[attr-defined]


def test_a_looped_bag_starts_over_with_the_same_instruction() -> None:
    run = Run()
    run.pipeline.instruct("the red block")
    run.over(frames(range(3), moving_red)).over(frames(range(2), moving_red))
    assert run.tracker.resets == 1
    assert run.results[-1].drops["time_jumps"] == 1
    assert run.states[-1] is TrackState.TRACKING
    assert run.results[-1].objects[0].target.id == "2"


def test_a_frame_that_comes_twice_is_refused_and_harms_nothing() -> None:
    run = Run()
    run.pipeline.instruct("the red block")
    run.over(frames(range(2), moving_red))
    with pytest.raises(BadMessage, match="came twice"):
        run.pipeline.process(painted(1, moving_red(1)))
    run.over(frames(range(2, 4), moving_red))
    assert run.states[-1] is TrackState.TRACKING


def test_a_given_box_is_followed_without_any_grounder() -> None:
    tracker = ColorTracker()
    pipeline = Pipeline(Config(), tracker=tracker, worker=NoWorker())
    pipeline.follow_box("object", np.array(RED, np.float32))
    results = [pipeline.process(frame) for frame in frames(range(3), moving_red)]
    assert [result.objects[0].state for result in results] == [TrackState.TRACKING] * 3
    assert all(result.groundings == () for result in results)


def test_without_depth_there_is_a_mask_and_no_pose() -> None:
    run = Run()
    run.pipeline.instruct("the red block")
    run.over([painted(0, {"red": RED}, depth=False)])
    (found,) = run.results[0].objects
    assert found.mask is not None
    assert found.pose is None


def test_unknown_depth_everywhere_gives_no_pose_and_no_fault() -> None:
    frame = painted(0, {"red": RED})
    blind = RgbdFrame(
        frame.stamp_ns, frame.camera_frame, frame.rgb, np.full_like(frame.depth_m, np.nan), frame.intrinsics
    )
    run = Run()
    run.pipeline.instruct("the red block")
    run.over([blind])
    assert run.results[0].objects[0].pose is None


def test_poses_are_given_in_the_output_frame_at_the_images_stamp_or_not_at_all() -> None:
    run = Run(**{"output.frame": "map"})
    map_from_camera = np.eye(4)
    map_from_camera[:3, 3] = [1.0, 2.0, 3.0]
    stamp_ns = painted(1, {}).stamp_ns
    run.transforms.add("map", "camera_color_optical_frame", stamp_ns, map_from_camera)
    run.pipeline.instruct("the red block")
    run.over(frames(range(2), moving_red))
    assert run.results[0].output_from_camera is None
    assert run.results[0].drops["transform_unavailable"] == 1
    assert np.allclose(run.results[1].output_from_camera, map_from_camera)  # type: ignore[arg-type]
    assert run.results[1].output_covariance is None


def test_how_unsure_the_camera_is_of_its_place_comes_with_each_result() -> None:
    run = Run(**{"output.frame": "map", "output.camera_sigma_m": 0.02, "output.camera_sigma_deg": 1.0})
    run.over(frames(range(1), moving_red))
    assert run.results[0].output_covariance is not None
    np.testing.assert_allclose(np.sqrt(np.diag(run.results[0].output_covariance)), [0.02] * 3 + [np.deg2rad(1)] * 3)


def test_forgetting_and_resetting() -> None:
    run = Run()
    run.pipeline.instruct("the red block")
    run.over(frames(range(2), moving_red))
    assert run.pipeline.forget("1")
    assert not run.pipeline.forget("1")
    run.over(frames(range(2, 3), moving_red))
    assert run.results[-1].objects == ()
    run.pipeline.instruct("the blue block")
    run.pipeline.reset()
    run.over(frames(range(3, 4), moving_red))
    assert run.results[-1].objects == ()


@pytest.mark.parametrize("text", ["", "   \n", "x" * 2000])
def test_an_instruction_that_says_nothing_or_too_much_is_refused_and_changes_nothing(text: str) -> None:
    run = Run()
    run.pipeline.instruct("the red block")
    with pytest.raises(BadInstruction):
        run.pipeline.instruct(text)
    run.over(frames(range(1), moving_red))
    assert run.states == [TrackState.TRACKING]


def test_a_live_grounder_of_an_unknown_name_is_refused_before_the_first_frame() -> None:
    with pytest.raises(ConfigError, match="did you mean 'qwen3_vl'"):
        live_worker(override(Config(), {"grounder.backend": "qwen3vl"}))


def test_two_runs_are_the_same() -> None:
    def once() -> list[object]:
        run = Run(latency_s=0.2)
        run.pipeline.instruct("the red block")
        run.over(frames(range(6), moving_red))
        return [
            (o.state, o.mask.score, o.mask.mask.tobytes(), o.pose.box.camera_from_object.tobytes())
            for result in run.results[2:]
            for o in result.objects
            if o.mask is not None and o.pose is not None
        ]

    first = once()
    assert len(first) == 4
    assert first == once()


def test_faults_of_the_grounder_are_referent_errors_only() -> None:
    """A bug in a backend must surface, not be taken for an answer."""

    class Buggy(ColorGrounder):
        def ground(self, request):  # type: ignore[no-untyped-def]
            raise ZeroDivisionError

    run = Run(grounder=Buggy())
    run.pipeline.instruct("the red block")
    with pytest.raises(ZeroDivisionError):
        run.over(frames(range(1), moving_red))
