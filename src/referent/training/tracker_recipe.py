"""What the training of the tracker does when: stages, batch shapes, prompts and rates over the spent time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from referent.training.tracker_batches import Batch, BatchShape, draw_points
from referent.training.tracker_unroll import Prompting

# All follows the spent share of the time budget, not the step count, so a run on a slow machine ends in time too.
IMAGE_STAGE_END = 0.17
SHORT_CLIPS_END = 0.60
FINE_START = 0.80  # from here on at the size of use, which costs twice as much a frame
LONG_CLIP_SHARE = 0.08  # of the steps after SHORT_CLIPS_END: whole 12-16 frame clips, for objects that leave and return


@dataclass(frozen=True)
class Plan:
    """What one step does."""

    shape: BatchShape
    truth: float  # probability that an object's memory is the true one
    rate: float  # factor on the learning rates


def plan_step(fraction: float, side_px: int, final_side_px: int, rng: np.random.Generator) -> Plan:
    """The step to take when `fraction` (0 to 1) of the time is spent, at `side_px` and later at `final_side_px`."""
    rate = rate_factor(fraction)
    side_px = final_side_px if fraction >= FINE_START else side_px
    if fraction < IMAGE_STAGE_END:
        return Plan(BatchShape(8, 3, 1, side_px), 1.0, rate)
    if fraction < SHORT_CLIPS_END:
        done = (fraction - IMAGE_STAGE_END) / (SHORT_CLIPS_END - IMAGE_STAGE_END)
        return Plan(BatchShape(4, 3, int(rng.integers(2, 5)), side_px), 0.89 * max(0.0, 1 - 1.1 * done), rate)
    if rng.random() < LONG_CLIP_SHARE:
        return Plan(BatchShape(1, 3, int(rng.integers(12, 17)), side_px), 0.05, rate)
    return Plan(BatchShape(3, 3, int(rng.integers(4, 9)), side_px), 0.05, rate)


def rate_factor(fraction: float) -> float:
    """1 until 30 % of the time, then half a cosine down to 0.03."""
    done = min(max((fraction - 0.3) / 0.7, 0.0), 1.0)
    return 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * done))


def draw_prompting(batch: Batch, rng: np.random.Generator) -> Prompting:
    """Mostly boxes, as a grounder gives them; also masks and clicks; one clip of eight is corrected by a second box."""
    first = batch.masks[:, 0]
    draw = rng.random()
    if draw < 0.58:
        points = draw_points(first, "box", 0, rng)
    elif draw < 0.80:
        points = None
    else:
        points = draw_points(first, "click", int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])), rng)
    again_at = _corrected_frame(batch, rng)
    again = None if again_at is None else draw_points(batch.masks[:, again_at], "box", 0, rng)
    return Prompting(points, again_at, again)


def _corrected_frame(batch: Batch, rng: np.random.Generator) -> int | None:
    """A later frame that shows every object well enough for a box."""
    shown = (batch.visible_px >= 12).all(dim=0).cpu().numpy()
    later = np.flatnonzero(shown[1:]) + 1
    return int(rng.choice(later)) if len(later) and rng.random() < 0.125 else None
