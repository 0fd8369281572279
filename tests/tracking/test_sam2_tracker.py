"""An endless stream in which objects come, go and are replaced."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence, Sized

import numpy as np
import pytest
import torch
from clips import HEIGHT, WIDTH, a_box, a_checkpoint, a_clip, a_frame, points, stamp_of
from streamed import Streamed, assert_same

from referent.config import TrackerConfig
from referent.errors import BadInstruction, BadMessage, FrameExpired
from referent.tracking import build
from referent.tracking.engine import Sightings
from referent.tracking.features import FrameFeatures
from referent.tracking.memory import MemoryEntry, MemoryReading
from referent.tracking.model import build_sam2
from referent.tracking.prompts import PromptInputs
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, Prompt, RgbdFrame, TrackedMask
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
    masks: list[TrackedMask | None] = []
    for index, frame in enumerate(clip):
        found = tracker.step(frame)
        masks += [tracker.prompt(start)] if index == 0 else [m for m in found if m.object_id == start.object_id]
    return [mask for mask in masks if mask is not None]


class InstantEngine:
    """Stands in for the model: masks and signs that come and go, of the right shapes, at once."""

    image_size, device, overlaps = 64, torch.device("cpu"), False

    def __init__(self, model: object, **settings: object) -> None: ...

    def encode(self, rgb: Array) -> tuple[torch.Tensor, ...]:
        return (torch.zeros(1, 2, 4, 4),)

    def start(self, frame: FrameFeatures, inputs: PromptInputs) -> Sightings:
        return self._sightings(frame.index, 1)

    def refine(
        self, frame: FrameFeatures, inputs: PromptInputs, reading: MemoryReading, previous_logits: torch.Tensor
    ) -> Sightings:
        return self._sightings(frame.index, 1)

    def follow(self, frame: FrameFeatures, readings: Sequence[MemoryReading]) -> Sightings:
        assert all(reading.spatial for reading in readings)
        return self._sightings(frame.index, len(readings))

    def _sightings(self, index: int, count: int) -> Sightings:
        logits = torch.full((count, 1, 16, 16), -1.0)
        logits[..., index % 8 : index % 8 + 4] = 1.0
        present, alone = (5.0 if index % 50 < 40 else -5.0), (0.5 if index % 7 == 0 else 1.0)
        signals = torch.tensor([[present, 0.9, 1.0, alone, 0.25]]).expand(count, -1)
        memories, pointers = torch.zeros(count, 16, 4, dtype=torch.bfloat16), torch.zeros(count, 8)
        return Sightings(logits, signals, tuple(map(MemoryEntry, memories, pointers)))


def sizes_of(thing: object, name: str = "tracker") -> dict[str, int]:
    """How much each container and tensor within an object of ours holds, by where it is."""
    if isinstance(thing, torch.Tensor):
        return {name: thing.untyped_storage().nbytes()}
    if isinstance(thing, Mapping):
        parts = enumerate(thing.values())
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        parts = enumerate(thing)
    elif type(thing).__module__.startswith("referent."):
        parts = iter(vars(thing).items())  # type: ignore[assignment]
    else:
        return {}
    inner = {key: size for part, value in parts for key, size in sizes_of(value, f"{name}.{part}").items()}
    return inner | {name: len(thing)} if isinstance(thing, Sized) else inner


@pytest.mark.parametrize(("policy", "frames"), [("official", 10_000), ("anchored", 3000)])
def test_state_after_ten_thousand_frames_is_state_after_a_hundred_whatever_happens_meanwhile(
    policy: str, frames: int, checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects come and go, are corrected late, at once and in vain."""
    monkeypatch.setattr(build, "Sam2Engine", InstantEngine)
    config = TrackerConfig(history_frames=20, image_size=64, agreement_iou=0.9, memory_policy=policy)
    tracker, frame, sizes = Sam2Tracker(config, checkpoint), a_frame(0, np.zeros((24, 32, 3), np.uint8)), {}
    for index in range(frames + 1):
        tracker.step(dataclasses.replace(frame, stamp_ns=stamp_of(index)))
        if index % 10 == 0:
            tracker.pin(stamp_of(index))
            tracker.prompt(points(f"new {index}", index, [(8, 8)]))
            tracker.prompt(points("steady", index, [(8, 8)]))
            tracker.forget(f"new {index - 20}")
        if index % 10 == 8 and index > 20:
            tracker.prompt(dataclasses.replace(points("steady", index - 8, [(9, 9)]), refine=True))
            tracker.prompt(points("other", index - 9, [(8, 8)]))
        if index % 10 == 9:
            tracker.release(stamp_of(index - 9))
            tracker.take_outcomes()
        if index in (100, 200, frames - 100, frames):
            sizes[index] = sizes_of(tracker)
    assert sizes[frames - 100] == sizes[100]
    assert sizes[frames] == sizes[200]
    assert tracker.memory_bytes < 1_000_000


def test_state_stays_bounded_under_pins_nobody_releases_and_outcomes_nobody_takes(
    checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "Sam2Engine", InstantEngine)
    # agreement 0: every prompt is a confirmation
    tracker = Sam2Tracker(TrackerConfig(history_frames=20, agreement_iou=0.0, max_cond_frames=3), checkpoint)
    frame, sizes = a_frame(0, np.zeros((24, 32, 3), np.uint8)), {}
    for index in range(3001):
        tracker.step(dataclasses.replace(frame, stamp_ns=stamp_of(index)))
        tracker.pin(stamp_of(index))
        tracker.prompt(points("red", index, [(8, 6)]))
        if index in (1500, 3000):
            sizes[index] = sizes_of(tracker)
    assert sizes[1500] == sizes[3000]


def test_memory_of_a_model_fills_up_and_stays(tracker: Sam2Tracker) -> None:
    clip = a_clip(20)
    sizes = {}
    for index in range(80):
        tracker.step(dataclasses.replace(clip[index % 20], stamp_ns=stamp_of(index)))
        if index == 0:
            tracker.prompt(RED)
            tracker.prompt(GREEN)
        sizes[index] = (tracker.memory_bytes, tracker.history_bytes)
    assert sizes[39] == sizes[79]
    assert sizes[10] < sizes[39]


def test_three_objects_in_one_batch_are_three_objects_alone(
    checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = {0: [RED, GREEN], 7: [points("third", 7, [(60, 60)])]}
    clip = a_clip(24)
    together = Streamed(monkeypatch, TrackerConfig(), checkpoint).over(clip, starts)
    for index, prompt in ((0, RED), (0, GREEN), (7, starts[7][0])):
        alone = Streamed(monkeypatch, TrackerConfig(), checkpoint).over(clip, {index: [prompt]})
        since = {i: logits for i, logits in alone.logits.items() if i >= index}
        assert_same(together, since)


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
    assert all(nearly_same(a, b) for a, b in zip(alone, masks, strict=True))


def nearly_same(a: TrackedMask, b: TrackedMask) -> bool:
    """But for what sums in another order change."""
    return np.count_nonzero(a.mask != b.mask) <= 2 and abs(a.score - b.score) < 1e-4


def test_removing_one_leaves_the_ids_and_masks_of_the_others(checkpoint: ModelEntry) -> None:
    clip, kept = a_clip(16), Sam2Tracker(TrackerConfig(), checkpoint)
    both, shown = Sam2Tracker(TrackerConfig(), checkpoint), []
    for index, frame in enumerate(clip):
        shown.append((kept.step(frame), both.step(frame)))
        for prompt in (RED, GREEN) if index == 0 else ():
            kept.prompt(prompt)
            both.prompt(prompt)
        if index == 7:
            kept.forget("red")
    for one, two in shown[8:]:
        assert [mask.object_id for mask in one] == ["green"]
        assert nearly_same(one[0], two[1])


def test_an_objects_replacement_equals_the_new_one_alone(
    checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = points("red", 6, [(115, 80)])
    never = TrackerConfig(agreement_iou=1.0, commit_max_area=1.0)
    replaced = Streamed(monkeypatch, never, checkpoint).over(a_clip(16), {0: [RED], 6: [other]})
    alone = Streamed(monkeypatch, never, checkpoint).over(a_clip(16), {6: [other]})
    assert_same(replaced, alone.logits, since=6)


def test_an_embedding_of_what_the_prompt_encoder_makes_of_a_box_is_that_box(checkpoint: ModelEntry) -> None:
    model = build_sam2(checkpoint)
    corners = torch.tensor(RED.box_xyxy).reshape(1, 2, 2) / torch.tensor([WIDTH, HEIGHT]) * model.image_size
    with torch.inference_mode():
        labels = torch.tensor([[2, 3]], dtype=torch.int32)
        tokens, _ = model.sam_prompt_encoder(points=(corners, labels), boxes=None, masks=None)
    embedded = Prompt("red", stamp_of(0), embedding=tokens[0].numpy())
    by_box, by_tokens = (
        follow(Sam2Tracker(TrackerConfig(), checkpoint), a_clip(6), start=start) for start in (RED, embedded)
    )
    assert all(nearly_same(a, b) for a, b in zip(by_box, by_tokens, strict=True))


def test_masks_come_in_the_order_objects_were_added_also_after_a_replacement(tracker: Sam2Tracker) -> None:
    clip = a_clip(3)
    tracker.step(clip[0])
    for prompt in (GREEN, RED, a_box("green", 0, (10, 40, 50, 80))):
        tracker.prompt(prompt)
    assert [mask.object_id for mask in tracker.step(clip[1])] == ["green", "red"]
    tracker.forget("green")
    tracker.forget("never seen")
    assert [mask.object_id for mask in tracker.step(clip[2])] == ["red"]


def test_a_forgotten_id_starts_with_no_past_in_a_later_frame(checkpoint: ModelEntry) -> None:
    clip = a_clip(12)
    again, fresh = (Sam2Tracker(TrackerConfig(), checkpoint) for _ in range(2))
    for index, frame in enumerate(clip):
        first, second = again.step(frame), fresh.step(frame)
        if index == 0:
            again.prompt(RED)
        if index == 6:
            again.forget("red")
        if index == 7:
            again.prompt(Prompt("red", stamp_of(7), mask=RED_MASK))
            fresh.prompt(Prompt("red", stamp_of(7), mask=RED_MASK))
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


def one_pixel() -> Array:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[60, 80] = True
    return mask


@pytest.mark.parametrize(
    "bad",
    [
        Prompt("x", stamp_of(0), box_xyxy=np.array([5, 5, 5, 9], np.float32)),
        Prompt("x", stamp_of(0), box_xyxy=np.array([500, 5, 600, 9], np.float32)),
        Prompt("x", stamp_of(0), box_xyxy=np.array([np.nan, 5, 6, 9], np.float32)),
        Prompt("x", stamp_of(0), points_xy=np.zeros((0, 2), np.float32), point_labels=np.zeros(0, np.int32)),
        Prompt("x", stamp_of(0), points_xy=np.ones((1, 2), np.float32), point_labels=np.array([7], np.int32)),
        Prompt("x", stamp_of(0), points_xy=np.full((1, 2), -1, np.float32), point_labels=np.ones(1, np.int32)),
        Prompt("x", stamp_of(0), mask=np.zeros((HEIGHT, WIDTH), bool)),
        Prompt("x", stamp_of(0), mask=np.ones((3, 3), bool)),
        Prompt("x", stamp_of(0), mask=one_pixel()),
        Prompt("x", stamp_of(0), embedding=np.full((1, 64), np.nan, np.float32)),
    ],
    ids=[
        "flat box",
        "box outside",
        "box of nan",
        "no points",
        "unknown label",
        "point outside",
        "empty mask",
        "small mask",
        "mask of a pixel",
        "embedding of nan",
    ],
)
def test_a_prompt_with_nothing_in_it_is_refused_in_one_line(bad: Prompt, tracker: Sam2Tracker) -> None:
    tracker.step(a_clip(1)[0])
    with pytest.raises(BadInstruction, match="prompt for 'x'") as caught:
        tracker.prompt(bad)
    assert "\n" not in str(caught.value)
    assert tracker.step(a_clip(2)[1]) == ()


def test_an_embedding_of_another_width_is_refused_in_one_line_and_nothing_changes(tracker: Sam2Tracker) -> None:
    tracker.step(a_clip(1)[0])
    with pytest.raises(BadInstruction, match="an embedding of 7 channels") as caught:
        tracker.prompt(Prompt("x", stamp_of(0), embedding=np.zeros((1, 7), np.float32)))
    assert "\n" not in str(caught.value)
    assert tracker.step(a_clip(2)[1]) == ()
