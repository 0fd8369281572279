"""Contestants take turns on every frame of one clip; their times are compared in pairs, their masks too."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from referent.types import Array
from tracker_bench.clip import Clip
from tracker_bench.contestants import Contestant
from tracker_bench.memory import GpuMeter

BOOTSTRAP_DRAWS = 2000


@dataclass
class Agreement:
    """How one contestant's masks compare with the reference's, over all tracked frames."""

    frames: int = 0
    equal_frames: int = 0  # every mask of the frame equal in every pixel
    ious: list[float] = field(default_factory=list)  # per frame and object

    def add(self, masks: Sequence[Array], reference: Sequence[Array]) -> None:
        """Take in one tracked frame."""
        pairs = list(zip(masks, reference, strict=True))
        self.frames += 1
        self.equal_frames += all(np.array_equal(a, b) for a, b in pairs)
        self.ious += [iou(a, b) for a, b in pairs]

    def summary(self) -> dict[str, float]:
        """As it is written into the report."""
        return {
            "frames": self.frames,
            "equal_frames": self.equal_frames,
            "mean_iou": float(np.mean(self.ious)),
            "min_iou": float(np.min(self.ious)),
        }


@dataclass
class Laps:
    """What one race brought: seconds of every frame, warm-up left out, and agreement with the reference."""

    seconds: dict[str, list[float]]
    agreement: dict[str, Agreement]


def take_turns(
    contestants: Mapping[str, Contestant],
    clip: Clip,
    frames: Iterable[int],
    *,
    skip: int,
    reference: str,
    wait: Callable[[], None],
    meter: GpuMeter | None = None,
) -> Laps:
    """Show `frames` to all, one contestant after the other on each, another one first every time.

    The first `skip` frames are not timed. `wait` returns when the device is idle: it runs before and after every step.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    agreement = {name: Agreement() for name in contestants if name != reference}
    order = list(contestants)
    for turn, index in enumerate(frames):
        frame, masks = clip.frame(index), {}
        for name in order:
            prepared = contestants[name].prepare(frame)
            with contextlib.nullcontext() if meter is None else meter.of(name):
                wait()
                started = time.perf_counter()
                masks[name] = contestants[name].step(prepared)
                wait()
                elapsed = time.perf_counter() - started
            if turn >= skip:
                seconds[name].append(elapsed)
        for name, found in agreement.items() if masks[reference] else ():
            found.add(masks[name], masks[reference])
        order.append(order.pop(0))
    return Laps(seconds, agreement)


def iou(mask: Array, other: Array) -> float:
    """Intersection over union of two bool masks; two empty masks agree fully."""
    union = np.count_nonzero(mask | other)
    return np.count_nonzero(mask & other) / union if union else 1.0


def ratio_of_medians(slow: Sequence[float], fast: Sequence[float], *, seed: int = 0) -> dict[str, float]:
    """Median of `slow` / median of `fast` with a 95 % interval: frames are drawn in pairs (percentile bootstrap)."""
    pairs = np.array([slow, fast])
    draws = np.random.default_rng(seed).integers(0, pairs.shape[1], (BOOTSTRAP_DRAWS, pairs.shape[1]))
    above, below = np.median(pairs[:, draws], axis=-1)
    low, high = np.quantile(above / below, [0.025, 0.975])
    ratio = float(np.median(pairs[0]) / np.median(pairs[1]))
    # with very few frames the quantiles of the draws can miss the ratio itself by an interpolation
    return {"ratio": ratio, "low": min(float(low), ratio), "high": max(float(high), ratio)}


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Median, p95 and all times in milliseconds, and frames per second over the whole."""
    return {
        "median_ms": 1e3 * float(np.median(seconds)),
        "p95_ms": 1e3 * float(np.quantile(seconds, 0.95)),
        "fps": len(seconds) / sum(seconds),
        "ms": [round(1e3 * second, 3) for second in seconds],
    }


def device_wait(device: str) -> Callable[[], None]:
    """What returns when the device has nothing left to do."""
    return torch.cuda.synchronize if device == "cuda" else _return


def _return() -> None:
    """A CPU is done when the call returns."""
