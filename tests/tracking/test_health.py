"""What is told of a track's health, of random weights and of made-up numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from clips import a_box, a_checkpoint, a_clip, a_frame

from referent.config import TrackerConfig
from referent.tracking.health import AREAS_KEPT, AreaHistory
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import TrackedMask
from referent.weights import ModelEntry


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return a_checkpoint(tmp_path_factory.mktemp("weights"))


def test_areas_are_compared_with_the_median_of_the_last_ten_in_which_the_object_was_seen() -> None:
    history = AreaHistory()
    assert history.add(0.1) == 1.0
    assert [history.add(0.1) for _ in range(9)] == pytest.approx([1.0] * 9)
    assert history.add(0.2) == pytest.approx(2.0)
    assert history.add(0.0) == 0.0
    assert history.add(0.05) == pytest.approx(0.5)
    for _ in range(100):
        history.add(0.4)
    assert history.add(0.4) == pytest.approx(1.0)
    assert len(history) == AREAS_KEPT


def test_every_mask_comes_with_its_health(checkpoint: ModelEntry) -> None:
    tracker = Sam2Tracker(TrackerConfig(commit_max_area=1.0), checkpoint)
    told: list[TrackedMask] = []
    for index, frame in enumerate(a_clip(12)):
        told += tracker.step(frame)
        if index == 0:
            prompts = (a_box("red", 0, (10, 40, 50, 80)), a_box("again", 0, (9, 41, 51, 79)))
            told += [mask for prompt in prompts if (mask := tracker.prompt(prompt)) is not None]
    assert len(told) == 24
    for mask in told:
        assert mask.health is not None
        values = dataclasses.asdict(mask.health)
        assert all(np.isfinite(value) and value >= 0 for value in values.values()), values
        assert all(values[name] <= 1 for name in ("stability", "alternative_iou", "overlap", "scene_cut"))
    assert told[0].health.area_ratio == 1.0  # type: ignore[union-attr]
    assert len({mask.health.area_ratio for mask in told[2:]}) > 10  # type: ignore[union-attr]


def test_overlap_is_that_of_the_masks_shown_right_after_a_replacement_too(checkpoint: ModelEntry) -> None:
    tracker = Sam2Tracker(TrackerConfig(agreement_iou=1.0, commit_max_area=1.0), checkpoint)
    shown: tuple[TrackedMask, ...] = ()
    for index, frame in enumerate(a_clip(9)):
        shown = tracker.step(frame)
        if index == 0:
            tracker.prompt(a_box("a", 0, (10, 40, 50, 80)))
            tracker.prompt(a_box("b", 0, (120, 60, 145, 100)))
        if index == 6:
            tracker.prompt(a_box("b", 1, (20, 40, 60, 80)))  # five frames behind: replaced in frame 8
    a, b = (mask.mask for mask in shown)
    iou = (a & b).sum() / (a | b).sum()
    assert [outcome.outcome for outcome in tracker.take_outcomes()] == ["committed"] * 3
    for mask in shown:
        assert mask.health is not None
        assert mask.health.overlap == pytest.approx(iou, abs=0.05), "measured on the low-resolution masks"


def test_one_object_overlaps_nothing(checkpoint: ModelEntry) -> None:
    tracker = Sam2Tracker(TrackerConfig(), checkpoint)
    tracker.step(a_clip(1)[0])
    mask = tracker.prompt(a_box("red", 0, (10, 40, 50, 80)))
    assert mask is not None
    assert mask.health is not None
    assert mask.health.overlap == 0.0


def test_a_cut_shows_in_the_frame_it_happens_in(checkpoint: ModelEntry) -> None:
    tracker = Sam2Tracker(TrackerConfig(), checkpoint)
    cuts = []
    for index in range(6):
        picture = np.full((120, 160, 3), (20, 20, 200) if index < 4 else (200, 180, 10), np.uint8)
        masks = tracker.step(a_frame(index, picture))
        if index == 0:
            tracker.prompt(a_box("red", 0, (10, 40, 50, 80)))
        cuts += [mask.health.scene_cut for mask in masks if mask.health is not None]
    assert cuts == pytest.approx([0, 0, 0, 1, 0])


def test_signs_and_masks_of_all_objects_cost_one_transfer_each(
    checkpoint: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Sam2Tracker(TrackerConfig(history_frames=3), checkpoint)
    for index, frame in enumerate(a_clip(6)):
        tracker.step(frame)
        for number in range(5 if index == 0 else 0):
            tracker.prompt(a_box(str(number), 0, (10 + number, 40, 50, 80)))
    transfers: list[tuple[int, ...]] = []
    tolist = torch.Tensor.tolist

    def counting(tensor: torch.Tensor) -> list[object]:
        transfers.append(tuple(tensor.shape))
        return tolist(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", counting)
    tracker.step(a_frame(6, a_clip(1)[0].rgb))
    assert transfers == [(5, 6)]
