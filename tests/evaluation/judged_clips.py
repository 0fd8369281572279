"""Clips drawn by hand, for judging trackers whose right answers are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from referent.evaluation.heldout.clips import JudgedClip
from referent.types import Array, Intrinsics, Prompt, RgbdFrame

SIDE_PX = 20
HEIGHT_PX, WIDTH_PX = 96, 128


def a_clip(seed: int = 0, *, frames: int = 12, gone: range = range(0)) -> JudgedClip:
    """A bright square (instance 1) that slides to the right and is not there during `gone`; instance 2 stays."""
    ids = np.zeros((frames, HEIGHT_PX, WIDTH_PX), np.uint8)
    rgb = np.full((frames, HEIGHT_PX, WIDTH_PX, 3), 40, np.uint8)
    for number in range(frames):
        places = {2: (60, 90)} if number in gone else {1: (20, 10 + 3 * number), 2: (60, 90)}
        for value, (top, left) in places.items():
            ids[number, top : top + SIDE_PX, left : left + SIDE_PX] = value
            rgb[number, top : top + SIDE_PX, left : left + SIDE_PX] = (220, 60 * value, 30)
    camera = Intrinsics(WIDTH_PX, HEIGHT_PX, 100.0, 100.0, WIDTH_PX / 2, HEIGHT_PX / 2)
    shown = tuple(RgbdFrame(1 + number, "camera", rgb[number], None, camera) for number in range(frames))
    seen = np.array([number not in gone for number in range(frames)], float)
    return JudgedClip(seed, shown, ids, {1: seen, 2: np.ones(frames)})


def from_truth(clip: JudgedClip, prompts: Sequence[Prompt]) -> Array:
    """A perfect follower."""
    return np.stack([clip.instance_ids == int(prompt.object_id) for prompt in prompts])


def that_never_moves(clip: JudgedClip, prompts: Sequence[Prompt]) -> Array:
    """A follower that leaves the first mask where it was."""
    masks = from_truth(clip, prompts)
    return np.repeat(masks[:, :1], masks.shape[1], axis=1)


def that_sees_nothing(clip: JudgedClip, prompts: Sequence[Prompt]) -> Array:
    """A follower that denies everything."""
    return np.zeros_like(from_truth(clip, prompts))
