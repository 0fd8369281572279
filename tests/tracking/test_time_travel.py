"""A prompt about a past frame lands on that frame and catches up through kept features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from clips import SMALL_YAML, a_box, a_checkpoint, a_clip, a_mask, points, stamp_of
from official import official_predictor, official_video

from referent.config import TrackerConfig
from referent.errors import FrameExpired
from referent.tracking import sam2_tracker
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, Prompt
from referent.weights import ModelEntry

FRAMES, ASKED, ANSWERED = 26, 9, 17
START = a_box("red", 0, (10, 40, 50, 80))
ELSEWHERE = points("red", ASKED, [(105, 80)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return a_checkpoint(tmp_path_factory.mktemp("weights"))


def run(
    entry: ModelEntry, late: Prompt, *, config: TrackerConfig | None = None, answered: int = ANSWERED
) -> list[dict[str, Array]]:
    """Masks of every frame when `START` is prompted at once and `late` is answered at frame `answered`."""
    tracker = Sam2Tracker(config or TrackerConfig(), entry)
    masks = []
    for index, frame in enumerate(a_clip(FRAMES)):
        found = {mask.object_id: mask.mask for mask in tracker.step(frame)}
        prompts = [START] * (index == 0) + [late] * (index == answered)
        masks.append(found | {mask.object_id: mask.mask for mask in map(tracker.prompt, prompts)})
    return masks


def assert_equal_from(index: int, ours: list[dict[str, Array]], truth: dict[int, dict[str, torch.Tensor]]) -> None:
    for i in range(index, FRAMES):
        for name, logits in truth[i].items():
            assert np.array_equal(ours[i][name], (logits > 0).numpy()), f"{name} in frame {i}"


def test_a_late_new_object_equals_the_official_object_prompted_in_time(checkpoint: ModelEntry, tmp_path: Path) -> None:
    late = points("green", ASKED, [(105, 80)])
    official = official_video(
        official_predictor(SMALL_YAML, checkpoint.weights_path), a_clip(FRAMES), tmp_path / "jpeg"
    )
    official.prompt(late, index=ASKED)
    assert_equal_from(ANSWERED, run(checkpoint, late), official.propagate(ASKED, FRAMES - 1))


def test_a_late_correction_elsewhere_equals_official_correct_then_propagate(
    checkpoint: ModelEntry, tmp_path: Path
) -> None:
    official = official_video(
        official_predictor(SMALL_YAML, checkpoint.weights_path), a_clip(FRAMES), tmp_path / "jpeg"
    )
    official.prompt(ELSEWHERE, index=ASKED)
    corrected = run(checkpoint, ELSEWHERE)
    assert_equal_from(ANSWERED, corrected, official.propagate(ASKED, FRAMES - 1))
    uncorrected = run(checkpoint, ELSEWHERE, answered=-1)
    assert any((corrected[i]["red"] != uncorrected[i]["red"]).any() for i in range(ANSWERED, FRAMES))


def test_a_late_confirmation_keeps_the_first_prompted_frame_too(checkpoint: ModelEntry, tmp_path: Path) -> None:
    alike = TrackerConfig(agreement_iou=0.3)  # random masks lose fine detail on the way through the picture's size
    seen = run(checkpoint, ELSEWHERE, answered=-1)[ASKED]["red"]
    same = Prompt("red", stamp_of(ASKED), mask=seen)
    official = official_video(
        official_predictor(SMALL_YAML, checkpoint.weights_path), a_clip(FRAMES), tmp_path / "jpeg"
    )
    official.prompt(START, index=0)
    official.propagate(0, ASKED - 1)
    official.prompt(same, index=ASKED)
    official.forget_tracked_frames("red")
    assert_equal_from(ANSWERED, run(checkpoint, same, config=alike), official.propagate(ASKED, FRAMES - 1))


@pytest.mark.parametrize("late", [ELSEWHERE, a_mask("red", ASKED, (45, 42, 85, 78))], ids=["points", "mask"])
def test_the_answers_delay_does_not_change_later_masks(late: Prompt, checkpoint: ModelEntry) -> None:
    at_once, delayed = run(checkpoint, late, answered=ASKED), run(checkpoint, late)
    for index in range(ANSWERED, FRAMES):
        assert np.array_equal(at_once[index]["red"], delayed[index]["red"])


def test_catching_up_runs_no_image_encoder(checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    encode = sam2_tracker.Sam2Engine.encode
    monkeypatch.setattr(sam2_tracker.Sam2Engine, "encode", lambda self, rgb: encoded.append(rgb) or encode(self, rgb))
    run(checkpoint, ELSEWHERE)
    assert len(encoded) == FRAMES


def test_a_frame_that_left_the_history_is_refused_and_nothing_changes(checkpoint: ModelEntry) -> None:
    tracker = Sam2Tracker(TrackerConfig(history_frames=5), checkpoint)
    clip = a_clip(12)
    for frame in clip[:10]:
        tracker.step(frame)
        if frame is clip[0]:
            tracker.prompt(START)
    with pytest.raises(FrameExpired, match="history_frames"):
        tracker.prompt(points("red", 3, [(100, 80)]))
    masks = [frame_masks[0].mask for frame_masks in map(tracker.step, clip[10:])]
    undisturbed = run(checkpoint, ELSEWHERE, answered=-1)
    assert all(np.array_equal(mask, undisturbed[10 + i]["red"]) for i, mask in enumerate(masks))


def test_a_pinned_frame_outlasts_the_history_until_it_is_released(checkpoint: ModelEntry) -> None:
    tracker = Sam2Tracker(TrackerConfig(history_frames=5), checkpoint)
    clip = a_clip(20)
    for index, frame in enumerate(clip):
        tracker.step(frame)
        if index == 2:
            tracker.pin(frame.stamp_ns)
    assert tracker.prompt(a_box("red", 2, (18, 40, 58, 80))).mask.shape == clip[0].rgb.shape[:2]
    tracker.release(clip[2].stamp_ns)
    assert len(tracker.step(a_clip(21)[20])) == 1
    with pytest.raises(FrameExpired):
        tracker.prompt(a_box("red", 2, (18, 40, 58, 80)))


def test_a_prompt_that_fails_leaves_the_old_track_alone(
    checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Sam2Tracker(TrackerConfig(), checkpoint)
    clip = a_clip(12)
    for frame in clip[:10]:
        tracker.step(frame)
        if frame is clip[0]:
            tracker.prompt(START)
    with monkeypatch.context() as patch:
        patch.setattr(sam2_tracker.Sam2Engine, "follow", _out_of_memory)
        with pytest.raises(MemoryError):
            tracker.prompt(points("red", 3, [(100, 80)]))
    undisturbed = run(checkpoint, ELSEWHERE, answered=-1)
    assert np.array_equal(tracker.step(clip[10])[0].mask, undisturbed[10]["red"])


def _out_of_memory(*arguments: object) -> None:
    raise MemoryError
