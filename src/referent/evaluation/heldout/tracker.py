"""Judges a tracker on held-out clips, alone and beside the official predictor with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from referent.evaluation.heldout.clips import JudgedClip, render_clip
from referent.evaluation.heldout.estimates import Estimate, mean_of
from referent.evaluation.heldout.follows import (
    Follow,
    Follower,
    follows_in,
    mean_j,
    mean_j_and_f,
    share_denied,
)
from referent.evaluation.heldout.rows import Row
from referent.evaluation.lines import Line
from referent.types import Array

GROUP = "tracker"
SHOWN_FRAMES = 6  # of a clip, in a strip of pictures
EQUAL_POINTS = 0.5  # of J&F: rounding differs, and now and then tips a decision


@dataclass(frozen=True, eq=False)
class TrackerJudgement:
    """What was followed, by ours and, in the first clips, by the rival; `shown` holds frames as JPEG, by seed."""

    ours: tuple[Follow, ...]
    rivals: tuple[Follow, ...]
    shown: dict[int, tuple[tuple[int, bytes, Array], ...]]  # (frame number, JPEG, (H, W) instance ids)


def judge_tracker(
    ours: Follower,
    rival: Follower | None,
    *,
    first_seed: int,
    clips: int,
    rival_clips: int,
    render: Callable[[int], JudgedClip] = render_clip,
) -> TrackerJudgement:
    """Follow everything in `clips` clips, and in the first `rival_clips` of them with the rival too."""
    found: list[Follow] = []
    theirs: list[Follow] = []
    shown: dict[int, tuple[tuple[int, bytes, Array], ...]] = {}
    for number in tqdm(range(clips), desc="tracker", unit="clip", disable=None):
        clip = render(first_seed + number)
        found += follows_in(clip, ours)
        if rival is not None and number < rival_clips:
            theirs += follows_in(clip, rival)
        shown[clip.seed] = tuple(_shown(clip))
    return TrackerJudgement(tuple(found), tuple(theirs), shown)


def _shown(clip: JudgedClip) -> list[tuple[int, bytes, Array]]:
    numbers = np.linspace(0, len(clip.frames) - 1, SHOWN_FRAMES).round().astype(int)
    frames = []
    for number in numbers.tolist():
        bgr = cv2.cvtColor(clip.frames[number].rgb, cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
        frames.append((number, jpeg, clip.instance_ids[number].copy()))
    return frames


def tracker_rows(judgement: TrackerJudgement) -> list[Row]:
    """The tracker's lines of the table."""
    ours = judgement.ours
    whole = [follow for follow in ours if follow.never_occluded]
    seen = mean_j(ours, lambda follow: follow.visible)
    back = mean_j(ours, lambda follow: follow.returned)
    return [
        Row(GROUP, "J, objects never occluded", mean_j(whole, lambda f: f.visible), 0.82, 0.88),
        Row(GROUP, "J, all visible frames", seen, 0.72, 0.80),
        Row(GROUP, "J, after full occlusion and return", back, 0.50, 0.65),
        Row(GROUP, "absent frames recognised", share_denied(ours, lambda f: f.absent)),
        Row(GROUP, "visible frames denied", share_denied(ours, lambda f: f.visible)),
        Row(GROUP, "J&F", mean_j_and_f(ours)),
        *_rows_beside_rival(ours, judgement.rivals),
    ]


def _rows_beside_rival(ours: Sequence[Follow], rivals: Sequence[Follow]) -> list[Row]:
    if not rivals:
        return []
    known = {(follow.seed, follow.instance_id): follow for follow in ours}
    pairs = [(known[rival.seed, rival.instance_id], rival) for rival in rivals]
    points = [100 * (our.j_and_f - rival.j_and_f) for our, rival in pairs]
    apart = mean_of(points, [rival.seed for rival in rivals])
    return [
        Row(GROUP, "J&F of the official predictor", mean_j_and_f(rivals)),
        Row(GROUP, "J&F of ours, same clips", mean_j_and_f([our for our, _ in pairs])),
        Row(GROUP, "ours less official (equal)", apart, EQUAL_POINTS, within=True, unit="points"),
    ]


def object_lines(judgement: TrackerJudgement) -> list[Line]:
    """Every followed object as JSON values."""
    return [
        {
            "seed": follow.seed,
            "instance_id": follow.instance_id,
            "j_visible": _rounded(mean_j([follow], lambda f: f.visible)),
            "j_returned": _rounded(mean_j([follow], lambda f: f.returned)),
            "j_and_f": round(follow.j_and_f, 4),
            "absent_frames": int(follow.absent.sum()),
            "absent_denied": int((follow.absent & follow.denied).sum()),
            "never_occluded": follow.never_occluded,
        }
        for follow in judgement.ours
    ]


def _rounded(estimate: Estimate | None) -> float | None:
    return None if estimate is None else round(estimate.value, 4)
