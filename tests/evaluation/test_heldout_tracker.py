"""The judge of trackers: a perfect one scores one, one that stays behind or sees nothing is found out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from judged_clips import a_clip, from_truth, that_never_moves, that_sees_nothing
from PIL import Image

from referent.config import TrackerConfig
from referent.evaluation.heldout.clips import render_clip
from referent.evaluation.heldout.follows import Follower, by_tracker, follows_in
from referent.evaluation.heldout.official import official_follower
from referent.evaluation.heldout.sheets import write_tracker_sheets
from referent.evaluation.heldout.tracker import TrackerJudgement, judge_tracker, object_lines, tracker_rows
from referent.ports import PromptOutcome
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Prompt, RgbdFrame, TrackedMask
from referent.weights import resolve

GONE = range(5, 8)


def judged(follower: Follower, rival: Follower | None = None) -> TrackerJudgement:
    """Two clips: in one the sliding square is gone for three frames."""
    return judge_tracker(
        follower,
        rival,
        first_seed=0,
        clips=2,
        rival_clips=1,
        render=lambda seed: a_clip(seed, gone=GONE if seed else range(0)),
    )


def measured(judgement: TrackerJudgement) -> dict[str, float | None]:
    return {row.name: None if row.measured is None else row.measured.value for row in tracker_rows(judgement)}


def test_a_perfect_tracker_scores_one_everywhere() -> None:
    found = measured(judged(from_truth))
    assert found == {
        "J, objects never occluded": 1.0,
        "J, all visible frames": 1.0,
        "J, after full occlusion and return": 1.0,
        "absent frames recognised": 1.0,
        "visible frames denied": 0.0,
        "J&F": 1.0,
    }


def test_a_mask_left_behind_loses_the_square_that_slides() -> None:
    found = measured(judged(that_never_moves))
    sliding = [max(0.0, (20 - 3 * n) / (20 + 3 * n)) for n in range(1, 12)]
    whole = [*sliding, *[1.0] * 22]  # both squares of the first clip, and the still one of the second
    assert found["J, objects never occluded"] == pytest.approx(np.mean(whole))
    assert found["J, after full occlusion and return"] == pytest.approx(np.mean(sliding[7:]))
    assert found["absent frames recognised"] == 0.0


def test_one_that_denies_everything_is_right_about_absence_alone() -> None:
    found = measured(judged(that_sees_nothing))
    assert (found["absent frames recognised"], found["visible frames denied"]) == (1.0, 1.0)
    assert found["J, all visible frames"] == 0.0
    gone, stays = object_lines(judged(that_sees_nothing))[2:]
    assert (gone["absent_frames"], gone["absent_denied"], gone["never_occluded"]) == (3, 3, False)
    assert gone["j_and_f"] == pytest.approx(3 / 11, abs=1e-4)  # as DAVIS counts: right where nothing is to be seen
    assert (stays["j_and_f"], stays["never_occluded"]) == (0.0, True)


def test_the_frame_that_carries_the_box_does_not_count() -> None:
    (follow, _) = follows_in(a_clip(frames=2), that_never_moves)
    assert follow.j.tolist() == [pytest.approx(17 / 23)]


def test_a_better_rival_is_not_equal() -> None:
    rows = {row.name: row for row in tracker_rows(judged(that_never_moves, from_truth))}
    assert rows["J&F of the official predictor"].measured is not None
    assert rows["J&F of the official predictor"].measured.value == 1.0
    assert rows["J&F of the official predictor"].measured.count == 2  # objects of one clip
    assert rows["ours less official (equal)"].reached is False
    same = {row.name: row for row in tracker_rows(judged(that_never_moves, that_never_moves))}
    assert same["ours less official (equal)"].reached is True


class LateTracker:
    """Knows an object only once it was prompted, and shows it where it was prompted."""

    def __init__(self) -> None:
        self.resets = 0
        self._boxes: dict[str, np.ndarray] = {}
        self._shape = (0, 0)

    def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
        self._shape = frame.rgb.shape[:2]
        return tuple(self._mask(object_id) for object_id in self._boxes)

    def prompt(self, prompt: Prompt) -> TrackedMask:
        assert prompt.box_xyxy is not None
        self._boxes[prompt.object_id] = prompt.box_xyxy.astype(int)
        return self._mask(prompt.object_id)

    def _mask(self, object_id: str) -> TrackedMask:
        mask = np.zeros(self._shape, bool)
        x1, y1, x2, y2 = self._boxes[object_id]
        mask[y1:y2, x1:x2] = True
        return TrackedMask(object_id, mask, 1.0, 1.0, 1.0)

    def take_outcomes(self) -> tuple[PromptOutcome, ...]:
        return ()

    def prefetch(self, frame: RgbdFrame) -> None: ...

    def pin(self, stamp_ns: int) -> None: ...

    def release(self, stamp_ns: int) -> None: ...

    def forget(self, object_id: str) -> None: ...

    def reset(self) -> None:
        self.resets += 1
        self._boxes.clear()


def test_a_tracker_is_shown_a_clip_as_it_comes_from_a_camera() -> None:
    tracker = LateTracker()
    judgement = judged(by_tracker(tracker))
    assert tracker.resets == 2
    assert measured(judgement) == measured(judged(that_never_moves))  # tight boxes of squares are the squares


def test_the_bundled_model_follows_as_the_official_predictor_does() -> None:
    config = TrackerConfig(device="cpu")
    clip = render_clip(7, frames=6)
    ours = follows_in(clip, by_tracker(Sam2Tracker(config, resolve(config.model))))
    rivals = follows_in(clip, official_follower(config))
    assert [follow.instance_id for follow in ours] == [follow.instance_id for follow in rivals] != []
    for our, rival in zip(ours, rivals, strict=True):
        assert our.j_and_f == pytest.approx(rival.j_and_f, abs=0.01)
    assert np.mean([follow.j_and_f for follow in ours]) > 0.6


def test_strips_show_good_and_bad_ones(tmp_path: Path) -> None:
    files = write_tracker_sheets(judged(that_never_moves), tmp_path)
    assert [file.name for file in files] == ["tracker_good.jpg", "tracker_bad.jpg"]
    for file in files:
        assert file.stat().st_size < 1_000_000
        with Image.open(file) as sheet:
            assert sheet.width > 6 * 128
