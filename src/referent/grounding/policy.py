"""When is a track what, and when is the grounder asked: pure functions of evidence and settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from referent.config import GroundingConfig
from referent.types import RegroundReason, TrackHealth, TrackState


@dataclass(frozen=True)
class Evidence:
    """What the frames so far say about one target."""

    grounded: bool  # the grounder has found it at least once
    score: float  # mask score of this frame, in [0, 1]
    absent_frames: int  # frames in a row without the object, up to and including this one
    health: TrackHealth | None = None  # of this frame, where the tracker tells


def state_of(evidence: Evidence, config: GroundingConfig) -> TrackState:
    """The state that follows from the evidence."""
    if not evidence.grounded:
        return TrackState.SEARCHING
    if evidence.absent_frames >= config.lost_after_frames:
        return TrackState.LOST
    if evidence.absent_frames > 0:
        return TrackState.OCCLUDED
    return TrackState.TRACKING if doubt(evidence, config) is None else TrackState.UNCERTAIN


def doubt(evidence: Evidence, config: GroundingConfig) -> str | None:
    """Why an object that is seen may not be what is followed, for people; None when there is no reason."""
    if evidence.score < config.uncertain_score:
        return f"mask score {evidence.score:.2f}"
    health = evidence.health
    if health is None:
        return None
    if not 1 / config.uncertain_area_factor <= health.area_ratio <= config.uncertain_area_factor:
        return f"its area is {health.area_ratio:.2f} of what it was"
    if health.stability < config.uncertain_stability:
        return f"its outline is vague (stability {health.stability:.2f})"
    if health.overlap > config.uncertain_overlap:
        return f"it covers another target (IoU {health.overlap:.2f})"
    return None


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
