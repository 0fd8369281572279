"""A prompt about a past frame lands on that frame and catches up through kept features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import SMALL_YAML, a_box, a_checkpoint, a_clip, a_mask, points, stamp_of
from official import OfficialVideo, official_predictor, official_video
from streamed import Streamed, assert_same

from referent.config import TrackerConfig
from referent.errors import FrameExpired, StalePrompt
from referent.tracking import engine
from referent.tracking.health import Signs
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, Prompt
from referent.weights import ModelEntry

FRAMES, ASKED, ANSWERED = 26, 9, 17
START = a_box("red", 0, (10, 40, 50, 80))
ELSEWHERE = points("red", ASKED, [(105, 80)])
# Every prompt replaces the track, whatever the random masks of these weights look like.
EXACT = TrackerConfig(agreement_iou=1.0, commit_max_area=1.0, catch_up_frames=0)
SLICED = TrackerConfig(agreement_iou=1.0, commit_max_area=1.0, catch_up_frames=2)


def corrections(*, refine: bool) -> dict[str, Prompt]:
    mask = np.zeros((120, 160), bool)
    mask[42:78, 45:85] = True
    at, box = stamp_of(ASKED), np.array((45, 42, 85, 78), np.float32)
    clicks = np.array([(60, 60), (20, 20)], np.float32)
    return {
        "points": Prompt("red", at, points_xy=clicks, point_labels=np.array([1, 0], np.int32), refine=refine),
        "box": Prompt("red", at, box_xyxy=box, refine=refine),
        "mask": Prompt("red", at, mask=mask, refine=refine),
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return a_checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def official(checkpoint: ModelEntry, tmp_path: Path) -> OfficialVideo:
    # Without this switch the official predictor forgets a correction of a tracked frame when it comes to it again.
    predictor = official_predictor(
        SMALL_YAML, checkpoint.weights_path, overrides=["++model.add_all_frames_to_correct_as_cond=true"]
    )
    return official_video(predictor, a_clip(FRAMES), tmp_path / "jpeg")


@pytest.fixture
def uncorrected(checkpoint: ModelEntry) -> list[dict[str, Array]]:
    return run(checkpoint, {})


def run(
    entry: ModelEntry, late: dict[int, list[Prompt]], *, config: TrackerConfig = EXACT, pinned: int | None = None
) -> list[dict[str, Array]]:
    """Masks of every frame when `START` is prompted at once and others later, by the frame they are answered at."""
    with pytest.MonkeyPatch.context() as patch:
        streamed = Streamed(patch, config, entry).over(a_clip(FRAMES), {0: [START], **late}, pinned=pinned)
    return list(streamed.masks.values())


def same(a: dict[str, Array], b: dict[str, Array]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_late_new_object_equals_the_official_object_prompted_in_time(
    checkpoint: ModelEntry, official: OfficialVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = points("green", ASKED, [(105, 80)])
    ours = Streamed(monkeypatch, EXACT, checkpoint).over(a_clip(FRAMES), {0: [START], ANSWERED: [late]})
    official.prompt(late, index=ASKED)
    assert_same(ours, official.propagate(ASKED, FRAMES - 1), since=ANSWERED)


@pytest.mark.parametrize("kind", ["points", "box", "mask"])
def test_a_late_replacement_equals_official_prompt_then_propagate(
    kind: str, checkpoint: ModelEntry, official: OfficialVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = corrections(refine=False)[kind]
    ours = Streamed(monkeypatch, EXACT, checkpoint).over(a_clip(FRAMES), {0: [START], ANSWERED: [late]})
    official.prompt(late, index=ASKED)
    assert_same(ours, official.propagate(ASKED, FRAMES - 1), since=ANSWERED)


@pytest.mark.parametrize("kind", ["points", "box", "mask"])
def test_a_late_refinement_equals_official_correct_then_propagate_and_changes_later_frames(
    kind: str,
    checkpoint: ModelEntry,
    official: OfficialVideo,
    uncorrected: list[dict[str, Array]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = corrections(refine=True)[kind]
    ours = Streamed(monkeypatch, EXACT, checkpoint)
    ours.over(a_clip(FRAMES), {0: [START], ANSWERED: [late]}, pinned=ASKED)
    official.prompt(START, index=0)
    official.propagate(0, ANSWERED)
    official.prompt(late, index=ASKED)
    assert_same(ours, official.propagate(ASKED, FRAMES - 1), since=ANSWERED)
    assert all(same(ours.masks[i], uncorrected[i]) for i in range(ANSWERED))
    assert sum(not same(ours.masks[i], uncorrected[i]) for i in range(ANSWERED, FRAMES)) >= 5


def test_the_newest_frame_is_refined_without_a_pin(
    checkpoint: ModelEntry, official: OfficialVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = corrections(refine=True)["points"]
    ours = Streamed(monkeypatch, EXACT, checkpoint).over(a_clip(FRAMES), {0: [START], ASKED: [now]})
    official.prompt(START, index=0)
    official.propagate(0, ASKED)
    official.prompt(now, index=ASKED)
    assert_same(ours, official.propagate(ASKED, FRAMES - 1), since=ASKED)


@pytest.mark.parametrize("arithmetic", ["fast", "official"])
def test_refining_the_frame_an_object_began_in_equals_official_clicks_before_propagation(
    arithmetic: str, checkpoint: ModelEntry, official: OfficialVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks = replace(points("red", 0, [(30, 60), (100, 20)], [1, 0]), refine=True)
    config = replace(EXACT, arithmetic=arithmetic)
    ours = Streamed(monkeypatch, config, checkpoint).over(a_clip(FRAMES), {0: [START, clicks]})
    official.prompt(START, index=0)
    official.prompt(clicks, index=0)
    assert_same(ours, official.propagate(0, FRAMES - 1))
    anew = run(checkpoint, {0: [START, replace(clicks, refine=False)]})
    assert not all(same(a, b) for a, b in zip(ours.masks.values(), anew, strict=True)), "the mask there must matter"


def test_a_second_refinement_of_a_past_frame_builds_on_the_first(
    checkpoint: ModelEntry, official: OfficialVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = corrections(refine=True)["points"]
    second = replace(points("red", ASKED, [(70, 50), (60, 70)]), refine=True)
    ours = Streamed(monkeypatch, EXACT, checkpoint)
    ours.over(a_clip(FRAMES), {0: [START], ANSWERED: [first, second]}, pinned=ASKED)
    official.prompt(START, index=0)
    official.propagate(0, ANSWERED)
    official.prompt(first, index=ASKED)
    official.prompt(second, index=ASKED)
    assert_same(ours, official.propagate(ASKED, FRAMES - 1), since=ANSWERED)


def test_what_agrees_with_the_track_only_becomes_one_more_prompted_frame(
    checkpoint: ModelEntry,
    official: OfficialVideo,
    uncorrected: list[dict[str, Array]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agreeing = Prompt("red", stamp_of(ASKED), mask=uncorrected[ASKED]["red"])
    alike = TrackerConfig(agreement_iou=0.3)  # random masks lose fine detail on the way through the picture's size
    ours = Streamed(monkeypatch, alike, checkpoint)
    ours.over(a_clip(FRAMES), {0: [START], ANSWERED: [agreeing]})
    assert [outcome.outcome for outcome in ours.tracker.take_outcomes()] == ["committed", "confirmed"]
    assert all(same(ours.masks[i], uncorrected[i]) for i in range(ANSWERED + 1)), "the live track goes on"
    official.prompt(START, index=0)
    official.propagate(0, ANSWERED)
    official.prompt(agreeing, index=ASKED)
    assert_same(ours, official.propagate(ANSWERED + 1, FRAMES - 1))
    assert any(not same(ours.masks[i], uncorrected[i]) for i in range(ANSWERED, FRAMES))


@pytest.mark.parametrize("late", [ELSEWHERE, a_mask("red", ASKED, (45, 42, 85, 78))], ids=["points", "mask"])
def test_the_answers_delay_does_not_change_later_masks(late: Prompt, checkpoint: ModelEntry) -> None:
    at_once, delayed = run(checkpoint, {ASKED: [late]}), run(checkpoint, {ANSWERED: [late]})
    assert all(same(at_once[i], delayed[i]) for i in range(ANSWERED, FRAMES))


def test_while_a_correction_catches_up_the_live_track_is_shown_and_then_the_same_as_without_slices(
    checkpoint: ModelEntry, uncorrected: list[dict[str, Array]]
) -> None:
    whole = run(checkpoint, {ANSWERED: [ELSEWHERE]})
    sliced = run(checkpoint, {ANSWERED: [ELSEWHERE]}, config=SLICED)
    # 8 frames behind, 3 a step, one of which makes up for the step itself.
    arrived = next(i for i in range(ANSWERED, FRAMES) if not same(sliced[i], uncorrected[i]))
    assert arrived == ANSWERED + 4
    assert all(same(sliced[i], whole[i]) for i in range(arrived, FRAMES))


def test_a_refinement_catches_up_in_slices_too(checkpoint: ModelEntry) -> None:
    late = {ANSWERED: [corrections(refine=True)["box"]]}
    whole, sliced = (run(checkpoint, late, config=config, pinned=ASKED) for config in (EXACT, SLICED))
    assert all(same(sliced[i], whole[i]) for i in range(ANSWERED + 4, FRAMES))


def test_a_new_object_appears_once_it_has_caught_up_at_the_place_it_was_added(checkpoint: ModelEntry) -> None:
    late, at_once = points("green", ASKED, [(105, 80)]), a_box("blue", ANSWERED, (60, 20, 90, 50))
    tracker, shown = Sam2Tracker(SLICED, checkpoint), {}
    for index, frame in enumerate(a_clip(FRAMES)):
        shown[index] = [mask.object_id for mask in tracker.step(frame)]
        if index == 0:
            tracker.prompt(START)
        if index == ANSWERED:
            assert tracker.prompt(late) is None
            assert tracker.prompt(at_once) is not None
    assert shown[ANSWERED + 1] == ["red", "blue"]
    assert shown[ANSWERED + 4] == ["red", "green", "blue"]
    told = [(outcome.object_id, outcome.outcome) for outcome in tracker.take_outcomes()]
    assert told == [("red", "committed"), ("blue", "committed"), ("green", "committed")]
    assert tracker.take_outcomes() == ()


def test_one_frame_a_step_is_enough_to_arrive(checkpoint: ModelEntry) -> None:
    slowest = TrackerConfig(agreement_iou=1.0, commit_max_area=1.0, catch_up_frames=1)
    masks = run(checkpoint, {ANSWERED - 2: [points("green", ASKED, [(105, 80)])]}, config=slowest)
    assert next(i for i in range(FRAMES) if "green" in masks[i]) == ANSWERED - 2 + 6


def test_shadows_that_meet_in_a_frame_go_through_it_together(
    checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = followed(monkeypatch)
    tracker = Sam2Tracker(SLICED, checkpoint)
    for frame in a_clip(ANSWERED + 1):
        tracker.step(frame)
    for object_id, asked in (("a", ASKED), ("b", ASKED), ("c", ASKED + 2)):
        tracker.prompt(points(object_id, asked, [(105, 80)]))
    tracker.step(a_clip(ANSWERED + 2)[-1])
    assert calls == [(ASKED + 1, 2), (ASKED + 2, 2), (ASKED + 3, 3), (ASKED + 4, 1), (ASKED + 5, 1)]


def test_with_a_stride_every_third_frame_is_visited_and_the_newest(
    checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = followed(monkeypatch)
    tracker = Sam2Tracker(TrackerConfig(catch_up_frames=0, catch_up_stride=3), checkpoint)
    for frame in a_clip(ANSWERED + 1):
        tracker.step(frame)
    assert tracker.prompt(points("a", ASKED, [(105, 80)])) is not None
    assert [index for index, _ in calls] == [ASKED + 3, ASKED + 6, ANSWERED]


def followed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Will hold (frame, number of objects) of every batch."""
    calls, follow = [], engine.Sam2Engine.follow

    def counting(self, frame, readings):  # type: ignore[no-untyped-def]
        calls.append((frame.index, len(readings)))
        return follow(self, frame, readings)

    monkeypatch.setattr(engine.Sam2Engine, "follow", counting)
    return calls


@pytest.mark.parametrize("config", [EXACT, SLICED], ids=["at once", "sliced"])
def test_catching_up_runs_no_image_encoder(
    config: TrackerConfig, checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    encode = engine.Sam2Engine.encode
    monkeypatch.setattr(engine.Sam2Engine, "encode", lambda self, rgb: encoded.append(rgb) or encode(self, rgb))
    run(checkpoint, {ANSWERED: [ELSEWHERE]}, config=config)
    assert len(encoded) == FRAMES


def test_a_frame_that_left_the_history_is_refused_and_nothing_changes(
    checkpoint: ModelEntry, uncorrected: list[dict[str, Array]]
) -> None:
    tracker = Sam2Tracker(TrackerConfig(history_frames=5), checkpoint)
    clip = a_clip(12)
    for frame in clip[:10]:
        tracker.step(frame)
        if frame is clip[0]:
            tracker.prompt(START)
    with pytest.raises(FrameExpired, match="history_frames"):
        tracker.prompt(points("red", 3, [(100, 80)]))
    masks = [frame_masks[0].mask for frame_masks in map(tracker.step, clip[10:])]
    assert all(np.array_equal(mask, uncorrected[10 + i]["red"]) for i, mask in enumerate(masks))


def test_a_pinned_frame_outlasts_the_history_until_it_is_released(checkpoint: ModelEntry) -> None:
    tracker = Sam2Tracker(TrackerConfig(history_frames=5, catch_up_frames=0), checkpoint)
    clip = a_clip(21)
    for index, frame in enumerate(clip[:20]):
        tracker.step(frame)
        if index == 2:
            tracker.pin(frame.stamp_ns)
    mask = tracker.prompt(a_box("red", 2, (18, 40, 58, 80)))
    assert mask is not None
    assert mask.mask.shape == clip[0].rgb.shape[:2]
    tracker.release(clip[2].stamp_ns)
    assert len(tracker.step(clip[20])) == 1
    with pytest.raises(FrameExpired):
        tracker.prompt(a_box("red", 2, (18, 40, 58, 80)))


def test_a_frame_that_was_not_pinned_in_time_cannot_be_refined(checkpoint: ModelEntry) -> None:
    tracker = a_run_until(ANSWERED, Sam2Tracker(EXACT, checkpoint))
    tracker.pin(stamp_of(ASKED))
    with pytest.raises(FrameExpired, match="pin the frame while it is the newest"):
        tracker.prompt(corrections(refine=True)["box"])


def test_a_snapshot_is_let_go_with_its_pin_and_follows_a_correction(checkpoint: ModelEntry) -> None:
    """Correcting frame 4 changes how the track stood at the pinned frame 9, and a refinement there builds on that."""
    earlier = points("red", 4, [(105, 80)])
    late = corrections(refine=True)["box"]
    in_time = run(checkpoint, {4: [earlier], ANSWERED: [late]}, pinned=ASKED)
    tardy = run(checkpoint, {ANSWERED - 2: [earlier], ANSWERED: [late]}, pinned=ASKED)
    assert all(same(in_time[i], tardy[i]) for i in range(ANSWERED, FRAMES))
    tracker = Sam2Tracker(EXACT, checkpoint)
    for frame in a_clip(3):
        tracker.step(frame)
        tracker.prompt(START) if frame.stamp_ns == stamp_of(0) else None
    unpinned = tracker.memory_bytes
    tracker.pin(stamp_of(2))
    assert tracker.memory_bytes > unpinned
    tracker.release(stamp_of(2))
    assert tracker.memory_bytes == unpinned


def a_run_until(index: int, tracker: Sam2Tracker) -> Sam2Tracker:
    """Frames 0 to `index`, with `START` prompted."""
    for frame in a_clip(index + 1):
        tracker.step(frame)
        if frame.stamp_ns == stamp_of(0):
            tracker.prompt(START)
    return tracker


def test_an_answer_about_a_frame_before_the_newest_grounding_is_stale(checkpoint: ModelEntry) -> None:
    tracker = a_run_until(ANSWERED, Sam2Tracker(EXACT, checkpoint))
    tracker.prompt(points("red", ASKED, [(105, 80)]))
    with pytest.raises(StalePrompt, match="'red' was prompted after"):
        tracker.prompt(points("red", ASKED - 1, [(20, 20)]))
    tracker.prompt(points("red", ASKED, [(20, 20)]))
    tracker.prompt(points("green", ASKED - 1, [(20, 20)]))


@pytest.mark.parametrize("config", [EXACT, SLICED], ids=["applied", "under way"])
@pytest.mark.parametrize("kind", ["points", "box", "mask"])
def test_the_same_answer_twice_is_stale(kind: str, config: TrackerConfig, checkpoint: ModelEntry) -> None:
    tracker = a_run_until(ANSWERED, Sam2Tracker(config, checkpoint))
    tracker.prompt(corrections(refine=False)[kind])
    with pytest.raises(StalePrompt, match="just so"):
        tracker.prompt(corrections(refine=False)[kind])


def test_an_answer_about_a_frame_before_the_object_was_forgotten_is_stale_and_one_about_that_frame_starts_it_anew(
    checkpoint: ModelEntry,
) -> None:
    tracker = a_run_until(ANSWERED, Sam2Tracker(EXACT, checkpoint))
    tracker.forget("red")
    for index in (ASKED, ANSWERED - 1):
        with pytest.raises(StalePrompt, match="'red' was forgotten"):
            tracker.prompt(points("red", index, [(105, 80)]))
    anew = tracker.prompt(points("red", ANSWERED, [(105, 80)]))
    assert anew is not None
    fresh = Sam2Tracker(EXACT, checkpoint)
    for frame in a_clip(ANSWERED + 1):
        fresh.step(frame)
    expected = fresh.prompt(points("red", ANSWERED, [(105, 80)]))
    assert expected is not None
    assert np.array_equal(anew.mask, expected.mask), "nothing is left of the track before"


@pytest.mark.parametrize("present", [True, False], ids=["seen", "hidden"])
def test_an_outcome_tells_in_how_many_of_the_frames_caught_up_through_the_object_was_hidden(
    present: bool, checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = a_run_until(ANSWERED, Sam2Tracker(EXACT, checkpoint))
    monkeypatch.setattr(Signs, "present", present)
    tracker.prompt(points("green", ASKED, [(105, 80)]))
    outcome = tracker.take_outcomes()[-1]
    assert (outcome.object_id, outcome.outcome) == ("green", "committed")
    assert outcome.hidden_frames == (0 if present else ANSWERED - ASKED + 1)


def test_forgetting_ends_a_correction_under_way(checkpoint: ModelEntry) -> None:
    tracker = a_run_until(ANSWERED, Sam2Tracker(SLICED, checkpoint))
    tracker.prompt(ELSEWHERE)
    tracker.forget("red")
    assert all(tracker.step(frame) == () for frame in a_clip(FRAMES)[ANSWERED + 1 :])
    assert [outcome.outcome for outcome in tracker.take_outcomes()] == ["committed"]


def test_of_answers_out_of_order_the_one_about_the_newest_frame_wins(checkpoint: ModelEntry) -> None:
    newer, older = points("red", ASKED + 2, [(105, 80)]), points("red", ASKED, [(20, 20)])
    tracker = a_run_until(ANSWERED, Sam2Tracker(SLICED, checkpoint))
    assert tracker.prompt(newer) is None
    with pytest.raises(StalePrompt):
        tracker.prompt(older)
    in_order = a_run_until(ANSWERED, Sam2Tracker(SLICED, checkpoint))
    in_order.prompt(older)
    in_order.prompt(newer)
    for frame in a_clip(FRAMES)[ANSWERED + 1 :]:
        (mask,), (expected,) = tracker.step(frame), in_order.step(frame)
        assert np.array_equal(mask.mask, expected.mask)
    outcomes = [(outcome.stamp_ns, outcome.outcome) for outcome in in_order.take_outcomes()]
    assert outcomes[1:] == [(older.stamp_ns, "superseded"), (newer.stamp_ns, "committed")]


def test_a_prompt_that_fails_leaves_the_old_track_alone(
    checkpoint: ModelEntry, uncorrected: list[dict[str, Array]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = a_run_until(ASKED, Sam2Tracker(EXACT, checkpoint))
    with monkeypatch.context() as patch:
        patch.setattr(engine.Sam2Engine, "follow", _out_of_memory)
        with pytest.raises(MemoryError):
            tracker.prompt(points("red", 3, [(100, 80)]))
    assert np.array_equal(tracker.step(a_clip(ASKED + 2)[-1])[0].mask, uncorrected[ASKED + 1]["red"])


def _out_of_memory(*arguments: object) -> None:
    raise MemoryError
