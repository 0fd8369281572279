"""An endless stream in which objects come, go and are replaced."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from clips import HEIGHT, WIDTH, a_box, a_checkpoint, a_clip, a_frame, points, stamp_of

from referent.config import TrackerConfig
from referent.errors import BadInstruction, BadMessage, FrameExpired
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Prompt, RgbdFrame, TrackedMask
from referent.weights import ModelEntry

RED, GREEN = a_box("red", 0, (10, 40, 50, 80)), a_box("green", 0, (120, 60, 145, 100))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return a_checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def tracker(checkpoint: ModelEntry) -> Sam2Tracker:
    return Sam2Tracker(TrackerConfig(history_frames=20, image_size=64), checkpoint)


def follow(tracker: Sam2Tracker, clip: list[RgbdFrame], *, start: Prompt = RED) -> list[TrackedMask]:
    """The masks of `start`'s object, prompted in the clip's first frame."""
    masks = []
    for index, frame in enumerate(clip):
        found = tracker.step(frame)
        masks += [tracker.prompt(start)] if index == 0 else [m for m in found if m.object_id == start.object_id]
    return masks


def test_memory_after_200_frames_is_memory_after_40(tracker: Sam2Tracker) -> None:
    clip = a_clip(20)
    sizes = {}
    for index in range(200):
        tracker.step(dataclasses.replace(clip[index % 20], stamp_ns=stamp_of(index)))
        if index == 0:
            tracker.prompt(RED)
            tracker.prompt(GREEN)
        sizes[index] = (tracker.memory_bytes, tracker.history_bytes)
    assert sizes[39] == sizes[199]
    assert sizes[10] < sizes[39]


def test_memory_stays_bounded_under_pins_nobody_releases_and_endless_prompts(checkpoint: ModelEntry) -> None:
    # agreement 0: every prompt keeps the earlier prompted frames, as many as there are slots
    tracker = Sam2Tracker(TrackerConfig(history_frames=20, image_size=64, agreement_iou=0.0), checkpoint)
    clip = a_clip(20)
    sizes = {}
    for index in range(120):
        tracker.step(dataclasses.replace(clip[index % 20], stamp_ns=stamp_of(index)))
        tracker.pin(stamp_of(index))
        if index % 3 == 0:
            tracker.prompt(points("red", index, [(80, 60)]))
        sizes[index] = (tracker.memory_bytes, tracker.history_bytes)
    assert sizes[59] == sizes[89] == sizes[119]


def test_others_coming_and_going_leave_an_objects_masks_unchanged(checkpoint: ModelEntry) -> None:
    clip = a_clip(16)
    alone = follow(Sam2Tracker(TrackerConfig(), checkpoint), clip)
    crowded, masks = Sam2Tracker(TrackerConfig(), checkpoint), []
    for index, frame in enumerate(clip):
        found = crowded.step(frame)
        masks.append(crowded.prompt(RED) if index == 0 else next(m for m in found if m.object_id == "red"))
        if index == 4:
            crowded.prompt(points("green", 4, [(115, 80)]))
        if index == 8:
            crowded.prompt(points("green", 6, [(110, 80)]))
        if index == 11:
            crowded.forget("green")
    assert all(np.array_equal(a.mask, b.mask) and a.score == b.score for a, b in zip(alone, masks, strict=True))


def test_masks_come_in_the_order_objects_were_added_also_after_a_replacement(tracker: Sam2Tracker) -> None:
    clip = a_clip(3)
    tracker.step(clip[0])
    for prompt in (GREEN, RED, a_box("green", 0, (10, 40, 50, 80))):
        tracker.prompt(prompt)
    assert [mask.object_id for mask in tracker.step(clip[1])] == ["green", "red"]
    tracker.forget("green")
    tracker.forget("never seen")
    assert [mask.object_id for mask in tracker.step(clip[2])] == ["red"]


def test_a_forgotten_id_starts_with_no_past(checkpoint: ModelEntry) -> None:
    clip = a_clip(12)
    again, fresh = (Sam2Tracker(TrackerConfig(), checkpoint) for _ in range(2))
    for index, frame in enumerate(clip):
        first, second = again.step(frame), fresh.step(frame)
        if index == 0:
            again.prompt(RED)
        if index == 6:
            again.forget("red")
            prompt = Prompt("red", stamp_of(6), mask=first[0].mask if first[0].mask.any() else RED_MASK)
            again.prompt(prompt)
            fresh.prompt(prompt)
    assert np.array_equal(first[0].mask, second[0].mask)
    assert first[0].score == second[0].score


RED_MASK = np.zeros((HEIGHT, WIDTH), bool)
RED_MASK[40:80, 10:50] = True


def test_scores_say_how_sure_and_an_absent_object_has_an_empty_mask(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    gone = Sam2Tracker(TrackerConfig(), a_checkpoint(tmp_path_factory.mktemp("absent"), presence=-5.0))
    for mask in follow(gone, a_clip(4)):
        assert mask.object_score < 0
        assert not mask.mask.any()
        assert mask.score < 0.5
    seen = Sam2Tracker(TrackerConfig(), a_checkpoint(tmp_path_factory.mktemp("seen"), presence=8.0))
    for mask in follow(seen, a_clip(4)):
        assert mask.object_score > 0
        assert mask.score == pytest.approx(mask.predicted_iou / (1 + np.exp(-mask.object_score)))


def test_a_frame_of_the_past_is_refused_and_corrupts_nothing(checkpoint: ModelEntry) -> None:
    clip = a_clip(10)
    steady, shaken = (Sam2Tracker(TrackerConfig(), checkpoint) for _ in range(2))
    expected = follow(steady, clip)
    follow(shaken, clip[:6])
    for old in (clip[5], clip[2]):
        with pytest.raises(BadMessage, match="reset"):
            shaken.step(old)
    actual = [shaken.step(frame)[0] for frame in clip[6:]]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(expected[6:], actual, strict=True))


def test_after_a_reset_time_may_start_again_and_nothing_is_remembered(tracker: Sam2Tracker) -> None:
    clip = a_clip(4)
    first = follow(tracker, clip)
    tracker.reset()
    assert (tracker.memory_bytes, tracker.history_bytes) == (0, 0)
    with pytest.raises(FrameExpired):
        tracker.prompt(RED)
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(first, follow(tracker, clip), strict=True))


def test_one_object_too_many_is_refused_by_name_of_the_setting(checkpoint: ModelEntry) -> None:
    tracker = Sam2Tracker(TrackerConfig(max_objects=1), checkpoint)
    tracker.step(a_clip(1)[0])
    tracker.prompt(RED)
    with pytest.raises(BadInstruction, match=r"tracker\.max_objects"):
        tracker.prompt(GREEN)
    tracker.prompt(a_box("red", 0, (120, 60, 145, 100)))


def test_pictures_may_change_size_and_be_read_only(tracker: Sam2Tracker) -> None:
    tracker.step(a_clip(1)[0])
    tracker.prompt(RED)
    tall = np.zeros((90, 40, 3), np.uint8)
    tall.setflags(write=False)
    assert tracker.step(a_frame(1, tall))[0].mask.shape == (90, 40)


@pytest.mark.parametrize(
    "bad",
    [
        Prompt("x", stamp_of(0), box_xyxy=np.array([5, 5, 5, 9], np.float32)),
        Prompt("x", stamp_of(0), box_xyxy=np.array([500, 5, 600, 9], np.float32)),
        Prompt("x", stamp_of(0), box_xyxy=np.array([np.nan, 5, 6, 9], np.float32)),
        Prompt("x", stamp_of(0), points_xy=np.zeros((0, 2), np.float32), point_labels=np.zeros(0, np.int32)),
        Prompt("x", stamp_of(0), points_xy=np.ones((1, 2), np.float32), point_labels=np.array([7], np.int32)),
        Prompt("x", stamp_of(0), mask=np.zeros((HEIGHT, WIDTH), bool)),
        Prompt("x", stamp_of(0), mask=np.ones((3, 3), bool)),
        Prompt("x", stamp_of(0), embedding=np.ones((1, 64), np.float32)),
    ],
    ids=[
        "flat box",
        "box outside",
        "box of nan",
        "no points",
        "unknown label",
        "empty mask",
        "small mask",
        "embedding",
    ],
)
def test_a_prompt_with_nothing_in_it_is_refused_in_one_line(bad: Prompt, tracker: Sam2Tracker) -> None:
    tracker.step(a_clip(1)[0])
    with pytest.raises(BadInstruction, match="prompt for 'x'") as caught:
        tracker.prompt(bad)
    assert "\n" not in str(caught.value)
    assert tracker.step(a_clip(2)[1]) == ()
