"""A frame that is encoded ahead is encoded once, and its masks are those it would have had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from clips import a_box, a_checkpoint, a_clip

from referent.config import TrackerConfig
from referent.tracking.engine import Sam2Engine
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import RgbdFrame, TrackedMask
from referent.weights import ModelEntry


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return a_checkpoint(Path(tmp_path_factory.mktemp("weights")))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pictures that went through the image encoder, by their sum."""
    pictures: list[int] = []
    encode = Sam2Engine.encode
    monkeypatch.setattr(Sam2Engine, "encode", lambda self, rgb: pictures.append(int(rgb.sum())) or encode(self, rgb))
    return pictures


def tracked(entry: ModelEntry, clip: Sequence[RgbdFrame], *, ahead: bool) -> list[TrackedMask]:
    tracker, masks = Sam2Tracker(TrackerConfig(), entry), []
    for frame, following in zip(clip, [*clip[1:], None], strict=True):
        if ahead and following is not None:
            tracker.prefetch(following)
        masks += tracker.step(frame)
        if frame is clip[0]:
            tracker.prompt(a_box("red", 0, (10, 40, 50, 80)))
    return masks


def test_frames_encoded_ahead_give_the_same_masks(
    entry: ModelEntry, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sam2Engine, "overlaps", True)
    clip = a_clip(6)
    plain = tracked(entry, clip, ahead=False)
    encoded.clear()
    ahead = tracked(entry, clip, ahead=True)
    assert len(plain) == len(ahead) == 5
    assert all(np.array_equal(a.mask, b.mask) and a.score == b.score for a, b in zip(plain, ahead, strict=True))
    assert sorted(encoded) == sorted(int(frame.rgb.sum()) for frame in clip), "each frame once"


def test_frames_that_never_come_are_let_go(
    entry: ModelEntry, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sam2Engine, "overlaps", True)
    clip = a_clip(5)
    tracker = Sam2Tracker(TrackerConfig(), entry)
    for frame in clip[:4]:
        tracker.prefetch(frame)
    assert len(encoded) == 2, "only so many wait"
    tracker.step(clip[4])
    tracker.prefetch(clip[0])
    assert len(encoded) == 4, "the skipped ones made room"


def test_on_a_cpu_nothing_is_begun_early(entry: ModelEntry, encoded: list[int]) -> None:
    Sam2Tracker(TrackerConfig(device="cpu"), entry).prefetch(a_clip(1)[0])
    assert encoded == []
