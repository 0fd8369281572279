"""How an answer of the grounder, and what the tracker made of it, changes the record of one target: pure functions."""

from __future__ import annotations

from dataclasses import replace

from referent.config import GroundingConfig
from referent.grounding.confidence import belief_after, combined_score, evidence_of, probability_of
from referent.grounding.policy import Doubt, Trust, backoff_s, doubt_pause_s
from referent.grounding.records import WAITING, Placement, Suspicion, TargetRecord, unseen
from referent.ports import PromptOutcome
from referent.types import RegroundReason, TrackState


def verified(
    record: TargetRecord,
    config: GroundingConfig,
    *,
    stamp_ns: int,
    now_ns: int,
    speaks_for: float,
    box_px: float | None = None,
) -> TargetRecord:
    """The grounder agreed with the track at `stamp_ns`: that dispels what was suspected by then, no more.

    `box_px` is the area of the box it gave. An agreement too weak to dispel a suspicion only adds to the belief.
    """
    belief = belief_after(max(record.belief, 0.0), speaks_for, config)
    if record.suspicion is not None and probability_of(belief) < config.dispels:
        return _hardly_believed(record, config, belief=belief, stamp_ns=stamp_ns, now_ns=now_ns)
    clean = replace(
        record,
        verified_stamp_ns=max(stamp_ns, record.verified_stamp_ns or 0),
        corrected=False,
        again=None,
        conflict_ns=None,
        denials=0,
        fruitless=0,
        known_px=box_px or record.known_px,
    )
    if record.absent_frames == 0:
        clean = replace(clean, observed_ns=None)
    in_doubt = record.suspicion is not None or not record.trust.believed
    if record.suspicion is not None and record.suspicion.since_ns > stamp_ns:
        return clean
    doubts = record.doubts + 1 if in_doubt else max(record.doubts - 1, 0)
    calm_ns = now_ns + round(doubt_pause_s(doubts, config) * 1e9)
    return replace(
        clean,
        suspicion=None,
        trust=Trust(),
        belief=belief,
        doubts=doubts,
        not_before_ns=calm_ns,
        trusted_until_ns=calm_ns,
    )


def _hardly_believed(
    record: TargetRecord, config: GroundingConfig, *, belief: float, stamp_ns: int, now_ns: int
) -> TargetRecord:
    """The grounder agreed, but so unsurely that it is asked again soon; what it says then adds up."""
    count = record.fruitless + 1
    pause_until_ns = _pause_until(record, backoff_s(count, config), stamp_ns=stamp_ns, now_ns=now_ns)
    return replace(record, belief=belief, fruitless=count, again=None, not_before_ns=pause_until_ns)


def contradicted(record: TargetRecord, config: GroundingConfig, *, by: float) -> TargetRecord:
    """An answer speaks against the track, by so many log-odds, without ending it."""
    return replace(record, belief=belief_after(record.belief, -by, config))


def denied(record: TargetRecord, config: GroundingConfig, *, stamp_ns: int, now_ns: int, words: str) -> TargetRecord:
    """The grounder says that nothing matched at `stamp_ns`, though the target was seen."""
    denials, doubts = record.denials + 1, record.doubts + 1
    soon = record.suspicion is not None  # then the next such answer ends it
    pause_s = backoff_s(denials, config) if soon else doubt_pause_s(doubts, config)
    pause_until_ns = _pause_until(record, pause_s, stamp_ns=stamp_ns, now_ns=now_ns)
    return replace(record, denials=denials, doubts=doubts, again=None, not_before_ns=pause_until_ns, reason=words)


def fruitless(record: TargetRecord, config: GroundingConfig, *, stamp_ns: int, now_ns: int, words: str) -> TargetRecord:
    """An answer about `stamp_ns` did not help: it is asked again after a pause, a longer one while it is seen."""
    count = record.fruitless + 1
    glimpsed = record.size_ratio < 1 / config.uncertain_size_factor
    pause_s = backoff_s(count, config) if unseen(record) or glimpsed else doubt_pause_s(count, config)
    reason = words if unseen(record) or record.corrected else record.reason
    pause_until_ns = _pause_until(record, pause_s, stamp_ns=stamp_ns, now_ns=now_ns)
    return replace(record, fruitless=count, again=None, not_before_ns=pause_until_ns, reason=reason)


def _pause_until(record: TargetRecord, pause_s: float, *, stamp_ns: int, now_ns: int) -> int:
    """When it may be asked about again; at once where something happened that the answer cannot know of."""
    return record.not_before_ns if record.event_ns > stamp_ns else now_ns + round(pause_s * 1e9)


def unsure(record: TargetRecord, reason: RegroundReason, words: str) -> TargetRecord:
    """An answer was not believed alone: the next frame is asked about too, which is no routine any more."""
    again = RegroundReason.UNCERTAIN if reason is RegroundReason.STALE else reason
    return replace(record, again=again, reason=words if unseen(record) else record.reason)


def conflicting(record: TargetRecord, other: str, now_ns: int) -> TargetRecord:
    """The answer for it lies on another target's track, which is asked about first."""
    since = record.conflict_ns if record.conflict_ns is not None else now_ns
    return replace(record, conflict_ns=since, reason=f"what matches is followed as {other} already")


def contested(record: TargetRecord, by: str, now_ns: int) -> TargetRecord:
    """The answer for another target lies on its track."""
    words = f"what it follows may be {by}"
    if record.suspicion is not None and record.suspicion.found.reason is RegroundReason.AMBIGUOUS:
        return record
    return replace(record, suspicion=Suspicion(Doubt(RegroundReason.AMBIGUOUS, words), now_ns), not_before_ns=0)


def given_up(record: TargetRecord, config: GroundingConfig, *, now_ns: int, words: str) -> TargetRecord:
    """What was followed is not the target: it is searched for again, under its id."""
    anew = replace(record, state=TrackState.SEARCHING, trust=Trust(), suspicion=None, denials=0, doubts=0)
    return fruitless(replace(anew, absent_frames=0, fruitless=0), config, stamp_ns=now_ns, now_ns=now_ns, words=words)


def grounded(record: TargetRecord, placed: Placement, outcome: PromptOutcome, config: GroundingConfig) -> TargetRecord:
    """The tracker has taken over where the target was found."""
    evidence = replace(placed.evidence, round_trip_iou=outcome.round_trip_iou)
    score = combined_score(evidence)
    misfit = outcome.round_trip_iou is not None and score is not None and score < config.act_score
    words = f"its outline does not fill the box it was found in (IoU {outcome.round_trip_iou or 0.0:.2f})"
    suspicion = Suspicion(Doubt(RegroundReason.UNCERTAIN, words), outcome.settled_stamp_ns) if misfit else None
    hidden = _hidden_meanwhile(outcome, config)
    doubts = record.doubts + 1 if misfit else 0
    spoken = record.meaning.instruction_id != placed.provenance.instruction_id  # the user, while the tracker caught up
    corrected = spoken and record.corrected
    return replace(
        record,
        label=placed.label,
        state=TrackState.UNCERTAIN if corrected else TrackState.TRACKING,
        reason=f"corrected by the user, {WAITING}" if corrected else placed.provenance.why,
        absent_frames=0,
        observed_ns=None,
        trust=Trust(),
        belief=belief_after(0.0, evidence_of(score), config),
        suspicion=suspicion or hidden or _later_cut(record, placed.stamp_ns),
        corrected=corrected,
        again=None,
        conflict_ns=None,
        denials=0,
        fruitless=0,
        doubts=doubts,
        not_before_ns=outcome.settled_stamp_ns + round(doubt_pause_s(doubts, config) * 1e9),
        grounded_stamp_ns=placed.stamp_ns,
        last_box=None,
        known_px=placed.box_px,
        size_ratio=1.0,
        verified_stamp_ns=placed.stamp_ns,
        grounding_score=score,
        created=record.created or placed.provenance,
        changed=record.changed if spoken else placed.provenance,
    )


def _hidden_meanwhile(outcome: PromptOutcome, config: GroundingConfig) -> Suspicion | None:
    """What was lost after the frame asked about, and is seen again, may be something else by now."""
    if outcome.hidden_frames < config.lost_after_frames:
        return None
    words = f"not seen for {outcome.hidden_frames} frames since it was found, not verified yet"
    return Suspicion(Doubt(RegroundReason.UNCERTAIN, words), outcome.settled_stamp_ns)


def _later_cut(record: TargetRecord, stamp_ns: int) -> Suspicion | None:
    """A change of the whole picture after the frame asked about holds for the new track too."""
    past = record.suspicion
    is_cut = past is not None and past.found.reason is RegroundReason.SCENE_CUT
    return past if past is not None and is_cut and past.since_ns > stamp_ns else None
