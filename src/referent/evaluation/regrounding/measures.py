"""What runs over episodes show, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from referent.evaluation.heldout.estimates import Estimate, mean_of
from referent.evaluation.regrounding.episodes import FPS, Played
from referent.evaluation.regrounding.runs import RIGHT_IOU, Run
from referent.types import Array

SWITCHED_FRAMES = 3  # in a row on one thing: what a mask is on for a shorter time is not yet what is followed
AWAY_SHARE, BACK_SHARE = 0.05, 0.3  # of the silhouette: less is hidden, more can be found again
AWAY_FRAMES = 5  # in a row without the target that make its coming back a return
MINUTE_S = 60.0


@dataclass(frozen=True, eq=False)
class Judged:
    """One run over one episode, as numbers."""

    policy: str
    latency_s: float
    scene: str
    seed: int
    seconds: float
    overlap: float  # mean J over the judged frames
    switches: int  # from the target to something else
    returns_s: tuple[float, ...]  # after each return: seconds until the mask is right again; inf = never
    questions: int
    verified: int  # after something else was put in the target's place
    falsely_verified: int  # of these, while something else was followed
    surenesses: tuple[tuple[float, bool], ...]
    is_trial: bool = True


def judge_run(played: Played, run: Run) -> Judged:
    """All numbers of a run."""
    verified = run.verified & _after_first_swap(played)
    return Judged(
        policy=run.policy,
        latency_s=run.latency_s,
        scene=played.episode.scene,
        seed=played.episode.seed,
        seconds=played.episode.seconds,
        overlap=float(run.overlaps[played.judged].mean()),
        switches=switches(run.on, played.target),
        returns_s=tuple(frames / FPS for frames in returns(played.seen_share, run.overlaps)),
        questions=run.questions,
        verified=int(verified.sum()),
        falsely_verified=int((verified & (run.on > 0) & (run.on != played.target)).sum()),
        surenesses=run.surenesses,
        is_trial=played.episode.is_trial,
    )


def switches(on: Array, target: int) -> int:
    """How often what is followed changes from the target to another instance, from what masks (T,) are mostly on."""
    followed, held, count = 0, 0, 0
    for before, now in zip([0, *on[:-1]], on, strict=True):
        held = held + 1 if now == before else 1
        if held == SWITCHED_FRAMES and now > 0:
            count += int(followed == target and now != target)
            followed = int(now)
    return count


def returns(seen_share: Array, overlaps: Array) -> list[float]:
    """Frames from each return of the target until the mask is right; inf where it never is before the next absence."""
    found: list[float] = []
    away = 0
    for frame, share in enumerate(seen_share):
        if share >= BACK_SHARE and away >= AWAY_FRAMES:
            stay = _stay(seen_share, frame)
            right = np.flatnonzero(overlaps[frame : frame + stay] >= RIGHT_IOU)
            found += [float(right[0])] if len(right) else [inf]
        away = away + 1 if share < AWAY_SHARE else (away if share < BACK_SHARE else 0)
    return found


def _stay(seen_share: Array, frame: int) -> int:
    gone = np.flatnonzero(seen_share[frame:] < AWAY_SHARE)
    return int(gone[0]) if len(gone) else len(seen_share) - frame


def _after_first_swap(played: Played) -> Array:
    if not played.swaps_ns:
        return np.zeros(len(played.frames), bool)
    return np.array([frame.stamp_ns > played.swaps_ns[0] for frame in played.frames])


def of_policy(judged: Sequence[Judged], policy: str, latency_s: float) -> list[Judged]:
    """The runs under one policy with one latency."""
    return [one for one in judged if one.policy == policy and one.latency_s == latency_s]


def overlap_of(judged: Sequence[Judged]) -> Estimate | None:
    """Mean J over episodes."""
    return mean_of([one.overlap for one in judged], [(one.scene, one.seed) for one in judged])


def overlap_apart(ours: Sequence[Judged], theirs: Sequence[Judged]) -> Estimate | None:
    """Mean J of ours less that of theirs, episode by episode."""
    known = {(one.scene, one.seed): one.overlap for one in theirs}
    pairs = [one for one in ours if (one.scene, one.seed) in known]
    apart = [one.overlap - known[one.scene, one.seed] for one in pairs]
    return mean_of(apart, [(one.scene, one.seed) for one in pairs])


def switches_per_10_min(judged: Sequence[Judged]) -> Estimate | None:
    """From the target to something else, in ten minutes of video."""
    scaled = [one.switches * 10 * MINUTE_S / one.seconds for one in judged]
    return mean_of(scaled, [(one.scene, one.seed) for one in judged])


def questions_per_min(judged: Sequence[Judged]) -> Estimate | None:
    """Questions in a minute of video."""
    scaled = [one.questions * MINUTE_S / one.seconds for one in judged]
    return mean_of(scaled, [(one.scene, one.seed) for one in judged])


def share_falsely_verified(judged: Sequence[Judged]) -> Estimate | None:
    """Of all verifications after a swap, those in which something else was followed; None without any."""
    values = [value for one in judged for value in [1.0] * one.falsely_verified + [0.0] * _rightly(one)]
    groups = [(one.scene, one.seed) for one in judged for _ in range(one.verified)]
    return mean_of(values, groups)


def _rightly(one: Judged) -> int:
    return one.verified - one.falsely_verified
