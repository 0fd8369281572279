"""Builders of what the re-grounding suite measures: episodes painted by hand, and numbers of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from painted import COLORS, HEIGHT, WIDTH, painted

from referent.evaluation.regrounding.episodes import FPS, Episode, Played
from referent.evaluation.regrounding.measures import Judged
from referent.evaluation.regrounding.policies import OURS
from referent.evaluation.regrounding.rows import LATENCY_S
from referent.evaluation.regrounding.runs import Run
from referent.types import Array

Box = tuple[int, int, int, int]
TARGET, OTHER = 1, 2  # instance ids of what is painted red and blue
WHERE = {TARGET: (8, 8, 28, 28), OTHER: (36, 16, 58, 38)}
NAMES = {TARGET: "red", OTHER: "blue"}


def played(shown: Sequence[Sequence[int]], *, swaps: Sequence[int] = (), judged_from: int = 0) -> Played:
    """An episode in whose frames these instances are painted; `swaps` and `judged_from` are numbers of frames."""
    frames = [painted(n, {NAMES[i]: WHERE[i] for i in ids}, depth=False) for n, ids in enumerate(shown)]
    episode = Episode("painted", 0, len(shown) / FPS, judged_from_s=judged_from / FPS)
    return Played(
        episode,
        "the red block",
        TARGET,
        tuple(frames),
        np.stack([_ids(frame.rgb) for frame in frames]),
        np.array([float(TARGET in ids) for ids in shown]),
        tuple(frames[number].stamp_ns for number in swaps),
    )


def _ids(rgb: Array) -> Array:
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    for instance, name in NAMES.items():
        ids[(rgb == np.array(COLORS[name], np.uint8)).all(axis=2)] = instance
    return ids


def a_run(frames: int, **fields: object) -> Run:
    """A run that follows the target and is never asked about."""
    sound = Run(OURS, 0.5, np.ones(frames), np.full(frames, TARGET), np.zeros(frames, bool), 0, ())
    return replace(sound, **fields)  # type: ignore[arg-type]


def judged(policy: str = OURS, latency_s: float = LATENCY_S, **fields: object) -> Judged:
    """The numbers of one run of a minute over a trial."""
    one = Judged(
        policy=policy,
        latency_s=latency_s,
        scene="occlusion",
        seed=1,
        seconds=60.0,
        overlap=0.8,
        switches=0,
        returns_s=(),
        questions=4,
        verified=0,
        falsely_verified=0,
        surenesses=(),
    )
    return replace(one, **fields)  # type: ignore[arg-type]
