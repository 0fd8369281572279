"""When is a track what, and when is the grounder asked: pure functions of evidence and settings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from referent.config import GroundingConfig
from referent.types import Array, RegroundReason, TrackHealth, TrackState

PRIORITY = (  # of reasons to ask, most urgent first
    RegroundReason.CORRECTED,
    RegroundReason.NEW,
    RegroundReason.SCENE_CUT,
    RegroundReason.LOST,
    RegroundReason.AMBIGUOUS,
    RegroundReason.UNCERTAIN,
    RegroundReason.STALE,
)
MINUTE_NS = 60_000_000_000
# DAM4SAM (arXiv 2411.17576): a look-alike shows as a rival outline of a mask that is good and of its usual size.
LOOKALIKE_PREDICTED_IOU = 0.8
LOOKALIKE_AREA_CHANGE = 0.2


@dataclass(frozen=True)
class Evidence:
    """What one frame says about one target that the grounder has found."""

    score: float  # mask score, in [0, 1]
    absent_frames: int  # frames in a row without the object, up to and including this one
    predicted_iou: float = 0.0
    size_ratio: float = 1.0  # area of its box, to that when the grounder last saw it
    health: TrackHealth | None = None  # where the tracker tells


@dataclass(frozen=True)
class Doubt:
    """Why what is followed may not be the target."""

    reason: RegroundReason  # how it is to be asked about
    words: str  # for people


@dataclass(frozen=True)
class Trust:
    """Whether a seen track is believed; it takes some doubtful frames to lose that and some sound ones to regain it."""

    believed: bool = True
    doubtful_frames: int = 0
    sound_frames: int = 0


@dataclass(frozen=True)
class Standing:
    """What the need to ask about one target depends on."""

    object_id: str
    state: TrackState
    corrected: bool = False  # the user said what else is meant, and the grounder has not been asked yet
    again: RegroundReason | None = None  # the last answer was unsure: once more, at once
    demanded: bool = False  # a person wants it asked about now
    suspicion: RegroundReason | None = None  # of something that happened since it was last verified
    settling: bool = False  # it began to look doubtful, or vanished, just now: what is being hidden is not found either
    waits_for_user: bool = False  # only a person can say which of several is meant
    denied: bool = False  # the grounder's last word was that nothing matches, though it is seen
    belief: float = 0.0  # log-odds that the track is the target
    vouched_ns: int = 0  # newest frame at which the grounder was asked or agreed
    asked_ns: int = 0  # newest frame at which it was asked about
    frames_since_asked: int = 0
    not_before_ns: int = 0  # end of the back-off
    changed: bool = False  # the picture is another than the one last asked about


@dataclass(frozen=True)
class Need:
    """A target and why the grounder should be asked about it."""

    object_id: str
    reason: RegroundReason


def state_of(evidence: Evidence, trust: Trust, config: GroundingConfig) -> TrackState:
    """The state of a target that was found; one that was not is SEARCHING."""
    if evidence.absent_frames >= config.lost_after_frames:
        return TrackState.LOST
    if evidence.absent_frames > 0:
        return TrackState.OCCLUDED
    return TrackState.TRACKING if trust.believed else TrackState.UNCERTAIN


def doubt(evidence: Evidence, config: GroundingConfig) -> Doubt | None:
    """Why an object that is seen may not be what is followed; None when there is no reason."""
    uncertain, health = RegroundReason.UNCERTAIN, evidence.health
    if evidence.score < config.uncertain_score:
        return Doubt(uncertain, f"mask score {evidence.score:.2f}")
    if not is_whole(evidence.size_ratio, config):
        return Doubt(uncertain, f"its box is {evidence.size_ratio:.2f} of what the grounder saw")
    if health is None:
        return None
    if not 1 / config.uncertain_area_factor <= health.area_ratio <= config.uncertain_area_factor:
        return Doubt(uncertain, f"its area is {health.area_ratio:.2f} of what it was")
    if health.stability < config.uncertain_stability:
        return Doubt(uncertain, f"its outline is vague (stability {health.stability:.2f})")
    if health.overlap > config.uncertain_overlap:
        return Doubt(RegroundReason.AMBIGUOUS, f"it covers another target (IoU {health.overlap:.2f})")
    return None


def lookalike(evidence: Evidence, config: GroundingConfig) -> Doubt | None:
    """DAM4SAM's sign of a look-alike beside a track that is doing well; None without one."""
    health = evidence.health
    if health is None or evidence.predicted_iou <= LOOKALIKE_PREDICTED_IOU:
        return None
    if abs(health.area_ratio - 1) > LOOKALIKE_AREA_CHANGE or health.alternative_iou > config.lookalike_iou:
        return None
    return Doubt(
        RegroundReason.AMBIGUOUS, f"something like it is near (rival outline, IoU {health.alternative_iou:.2f})"
    )


def is_whole(size_ratio: float, config: GroundingConfig) -> bool:
    """Whether something is seen about as large as the grounder last saw it, so neither half hidden nor run over."""
    return 1 / config.uncertain_size_factor <= size_ratio <= config.uncertain_size_factor


def leap(before_xyxy: Sequence[float] | None, box_xyxy: Array | None) -> Doubt | None:
    """What is seen is nowhere near where it was last seen: another thing, or the same one moved while unseen."""
    if before_xyxy is None or box_xyxy is None:
        return None
    apart_px = np.maximum(box_xyxy[:2] - before_xyxy[2:], before_xyxy[:2] - box_xyxy[2:])
    if (apart_px < 0).all():
        return None
    return Doubt(RegroundReason.UNCERTAIN, f"it leapt {max(apart_px):.0f} px clear of where it was")


def scene_cut(evidence: Evidence, config: GroundingConfig) -> Doubt | None:
    """The whole picture changed: whatever is followed needs a new look."""
    change = 0.0 if evidence.health is None else evidence.health.scene_cut
    return Doubt(RegroundReason.SCENE_CUT, f"the picture changed ({change:.2f})") if change > config.scene_cut else None


def trust_after(trust: Trust, evidence: Evidence, found: Doubt | None, config: GroundingConfig) -> Trust:
    """Trust one seen frame later; `found` is what `doubt` said of it."""
    doubtful = trust.doubtful_frames + 1 if found is not None else 0
    sound = trust.sound_frames + 1 if found is None and evidence.score >= config.certain_score else 0
    keeps, regains = doubtful < config.uncertain_after_frames, sound >= config.certain_after_frames
    return Trust(keeps if trust.believed else regains, doubtful, sound)


def need_of(standing: Standing, config: GroundingConfig, *, now_ns: int) -> Need | None:
    """Why the grounder should be asked about a target now, or None."""
    policy = config.reground_policy
    if standing.demanded:
        return Need(standing.object_id, _DEMANDED.get(standing.state, RegroundReason.UNCERTAIN))
    if standing.corrected:
        reason: RegroundReason | None = RegroundReason.CORRECTED
    elif standing.state is TrackState.SEARCHING:
        reason = RegroundReason.NEW
    elif policy == "evidence":
        reason = _reason_by_evidence(standing, config, now_ns=now_ns)
    else:
        due = policy == "every_answer" or (
            policy == "interval" and standing.frames_since_asked >= config.reground_interval_frames
        )
        reason = (RegroundReason.LOST if standing.state is TrackState.LOST else RegroundReason.STALE) if due else None
        return None if reason is None else Need(standing.object_id, reason)
    waits = now_ns < _pause_end_ns(standing, config) and standing.again is None and policy != "every_answer"
    return None if reason is None or waits else Need(standing.object_id, reason)


_DEMANDED = {TrackState.SEARCHING: RegroundReason.NEW, TrackState.LOST: RegroundReason.LOST}


def most_urgent(standings: Iterable[Standing], config: GroundingConfig, *, now_ns: int) -> Need | None:
    """The need that comes first: by reason, then what was asked about longest ago."""
    found = ((standing, need_of(standing, config, now_ns=now_ns)) for standing in standings)
    needs = [(PRIORITY.index(need.reason), standing.asked_ns, need) for standing, need in found if need is not None]
    return min(needs, key=lambda entry: entry[:2])[2] if needs else None


def affordable(reason: RegroundReason, asked_ns: Sequence[int], config: GroundingConfig, *, now_ns: int) -> bool:
    """Whether the budget of questions per minute allows one more; `asked_ns` are the frames asked about.

    The policies that others use know no budget.
    """
    if config.reground_policy in ("interval", "every_answer"):
        return True
    recent = sum(now_ns - stamp_ns < MINUTE_NS for stamp_ns in asked_ns)
    if reason is RegroundReason.STALE:
        return recent < config.routine_questions_per_minute
    if reason in (RegroundReason.AMBIGUOUS, RegroundReason.UNCERTAIN):
        return recent < config.doubt_questions_per_minute
    return recent < config.questions_per_minute


def backoff_s(unanswered: int, config: GroundingConfig) -> float:
    """The pause after `unanswered` questions in a row brought nothing: doubling, bounded."""
    return _doubling(unanswered, config.backoff_first_s, config.backoff_max_s)


def doubt_pause_s(doubts: int, config: GroundingConfig) -> float:
    """How long a track whose doubts were dispelled `doubts` times is left alone: doubling, bounded."""
    return _doubling(doubts, config.doubt_pause_first_s, config.stale_after_s)


def stale_after_s(belief: float, config: GroundingConfig) -> float:
    """How long a track that is believed in so far (log-odds) goes without being verified."""
    share = belief / math.log(config.belief_cap / (1 - config.belief_cap)) if config.belief_cap > 0.5 else 1.0
    return config.stale_after_s * min(max(share, 0.25), 1.0)


def _pause_end_ns(standing: Standing, config: GroundingConfig) -> int:
    """The end of the back-off: what was not found in one picture may be in another, so a change cuts it short."""
    unseen = standing.state in (TrackState.SEARCHING, TrackState.LOST)
    if not (unseen and standing.changed and config.reground_policy == "evidence"):
        return standing.not_before_ns
    return min(standing.not_before_ns, standing.asked_ns + round(config.backoff_changed_s * 1e9))


def _reason_by_evidence(standing: Standing, config: GroundingConfig, *, now_ns: int) -> RegroundReason | None:
    is_due = now_ns - standing.vouched_ns >= round(stale_after_s(standing.belief, config) * 1e9)
    if standing.state is TrackState.OCCLUDED:
        return None  # it comes back, or it is lost in a moment
    waits = standing.waits_for_user or standing.settling
    uncertain = (standing.denied and not standing.settling) or (standing.state is TrackState.UNCERTAIN and not waits)
    reasons = [
        standing.again,
        None if standing.settling else standing.suspicion,
        RegroundReason.LOST if standing.state is TrackState.LOST and not standing.settling else None,
        RegroundReason.UNCERTAIN if uncertain else None,
        RegroundReason.STALE if is_due and not standing.settling else None,
    ]
    return min((reason for reason in reasons if reason is not None), key=PRIORITY.index, default=None)


def _doubling(times: int, first_s: float, max_s: float) -> float:
    return float(min(first_s * 2.0 ** min(times - 1, 32), max_s)) if times > 0 else 0.0
