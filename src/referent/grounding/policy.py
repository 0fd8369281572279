"""When is a track what, and when is the grounder asked: pure functions of evidence and settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from referent.config import GroundingConfig
from referent.types import RegroundReason, TrackState


@dataclass(frozen=True)
class Evidence:
    """What the frames so far say about one target."""

    grounded: bool  # the grounder has found it at least once
    score: float  # mask score of this frame, in [0, 1]
    absent_frames: int  # frames in a row without the object, up to and including this one


def state_of(evidence: Evidence, config: GroundingConfig) -> TrackState:
    """The state that follows from the evidence."""
    if not evidence.grounded:
        return TrackState.SEARCHING
    if evidence.absent_frames >= config.lost_after_frames:
        return TrackState.LOST
    if evidence.absent_frames > 0:
        return TrackState.OCCLUDED
    return TrackState.UNCERTAIN if evidence.score < config.uncertain_score else TrackState.TRACKING


def reason_to_ask(states: Iterable[TrackState], *, now_ns: int, not_before_ns: int) -> RegroundReason | None:
    """Why the grounder should be asked now, or None. `not_before_ns` is the end of the back-off."""
    if now_ns < not_before_ns:
        return None
    present = set(states)
    if TrackState.SEARCHING in present:
        return RegroundReason.NEW
    return RegroundReason.LOST if TrackState.LOST in present else None


def backoff_s(unanswered: int, config: GroundingConfig) -> float:
    """The pause after `unanswered` questions in a row brought nothing: doubling, bounded."""
    if unanswered == 0:
        return 0.0
    exponent = min(unanswered - 1, 32)
    return float(min(config.backoff_first_s * 2.0**exponent, config.backoff_max_s))
