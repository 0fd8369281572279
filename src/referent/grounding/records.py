"""What is known about each target, and how one frame or one answer changes it: a frozen record and pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from referent.config import GroundingConfig
from referent.grounding.boxes import box_area_px, mask_box_xyxy
from referent.grounding.confidence import ItemEvidence, belief_after, combined_score, evidence_of, probability_of
from referent.grounding.policy import (
    Doubt,
    Evidence,
    Standing,
    Trust,
    backoff_s,
    doubt,
    doubt_pause_s,
    is_whole,
    leap,
    lookalike,
    scene_cut,
    state_of,
    trust_after,
)
from referent.grounding.wording import is_lasting
from referent.types import (
    Array,
    Candidate,
    PromptOutcome,
    Provenance,
    RegroundReason,
    Target,
    TrackedMask,
    TrackState,
    Turn,
)

WAITING = "waiting for the grounder"


@dataclass(frozen=True)
class Meaning:
    """What a target stands for: its expression, and the dialogue without which that cannot be understood."""

    target: Target
    instruction_id: int  # targets of one instruction, role and expression are siblings: one question is about all
    history: tuple[Turn, ...] = ()
    root: str = ""  # the expression that a dialogue began with and that this one narrows; "" = it stands alone

    @property
    def key(self) -> tuple[int, str, str]:
        """Equal for siblings."""
        return self.instruction_id, self.target.role, self.target.expression


@dataclass(frozen=True)
class Suspicion:
    """Something that happened to a track, after which only the grounder can say whether it is still the target."""

    found: Doubt
    since_ns: int


@dataclass(frozen=True)
class TargetRecord:
    """One target and what has happened to it so far."""

    meaning: Meaning
    label: str
    state: TrackState = TrackState.SEARCHING
    reason: str = WAITING
    absent_frames: int = 0
    trust: Trust = field(default_factory=Trust)
    belief: float = 0.0  # log-odds that what is followed is the target, by the grounder's answers
    suspicion: Suspicion | None = None
    corrected: bool = False  # the user said what else is meant; the grounder has not answered yet
    again: RegroundReason | None = None  # the last answer was unsure and is to be asked for once more
    demanded: bool = False  # a person wants it asked about now
    conflict_ns: int | None = None  # since when the answers for it lie on another target's track
    denials: int = 0  # answers in a row that nothing matches, though it was seen
    fruitless: int = 0  # answers in a row that did not find it
    doubts: int = 0  # doubts in a row that the grounder dispelled
    known_px: float | None = None  # area of its box when the grounder last saw it
    size_ratio: float = 1.0  # of its box now to that
    last_box: tuple[float, float, float, float] | None = None  # x1, y1, x2, y2 where it was last seen
    observed_ns: int | None = None  # the frame it was brought up to; None = it has changed since
    asked_ns: int = 0
    frames_since_asked: int = 0
    not_before_ns: int = 0  # end of the back-off
    event_ns: int = 0  # the newest frame in which something happened that no earlier answer knows of
    trusted_until_ns: int = 0  # the grounder just agreed: signs of doubt are not counted
    grounded_stamp_ns: int | None = None
    verified_stamp_ns: int | None = None
    grounding_score: float | None = None
    candidates: tuple[Candidate, ...] = ()
    created: Provenance | None = None
    changed: Provenance | None = None

    @property
    def target(self) -> Target:
        """Who it is."""
        return self.meaning.target

    @property
    def sound(self) -> bool:
        """Whether it is seen and nothing speaks against its being the target."""
        seen = self.state is TrackState.TRACKING and self.trust.believed
        return seen and self.suspicion is None and not self.corrected and self.conflict_ns is None


@dataclass(frozen=True)
class Placement:
    """Where a target was found, until the tracker has taken it over."""

    label: str
    stamp_ns: int
    provenance: Provenance
    evidence: ItemEvidence = field(default_factory=ItemEvidence)
    box_px: float | None = None  # area of the box it was found in


def standing_of(record: TargetRecord, config: GroundingConfig, *, now_ns: int, changed: bool = False) -> Standing:
    """What the policy looks at; `changed`: the picture is another than the one last asked about."""
    suspicion = record.suspicion
    vouched = (record.asked_ns, record.grounded_stamp_ns or 0, record.verified_stamp_ns or 0)
    return Standing(
        object_id=record.target.id,
        state=record.state,
        corrected=record.corrected,
        again=record.again,
        demanded=record.demanded,
        suspicion=None if suspicion is None else suspicion.found.reason,
        settling=_is_settling(record, config, now_ns=now_ns),
        waits_for_user=bool(record.candidates),
        denied=record.denials > 0,
        belief=record.belief,
        vouched_ns=max(vouched),
        asked_ns=record.asked_ns,
        frames_since_asked=record.frames_since_asked,
        not_before_ns=record.not_before_ns,
        changed=changed,
    )


def _is_settling(record: TargetRecord, config: GroundingConfig, *, now_ns: int) -> bool:
    """Whether it began to look doubtful or vanished just now, and may look better in a moment."""
    suspicion = record.suspicion
    if suspicion is not None and suspicion.found.reason is RegroundReason.SCENE_CUT:
        return False
    if record.state is TrackState.LOST:
        return now_ns < record.event_ns + _ns(config.lost_patience_s)
    if suspicion is None or suspicion.found.reason is not RegroundReason.UNCERTAIN:
        return False
    looks_doubtful = not record.trust.believed or not is_whole(record.size_ratio, config)
    return looks_doubtful and now_ns < suspicion.since_ns + _ns(config.doubt_patience_s)


def observed(record: TargetRecord, mask: TrackedMask | None, config: GroundingConfig, *, now_ns: int) -> TargetRecord:
    """The record one frame later."""
    if record.observed_ns == now_ns:
        return record
    since_asked = 0 if record.asked_ns == now_ns else record.frames_since_asked + 1
    record = replace(record, observed_ns=now_ns, frames_since_asked=since_asked)
    if record.grounded_stamp_ns is None or record.state is TrackState.SEARCHING:
        return record
    seen = mask is not None and bool(mask.mask.any())
    box = None if mask is None else mask_box_xyxy(mask.mask)
    evidence = Evidence(
        score=mask.score if mask is not None else 0.0,
        absent_frames=0 if seen else record.absent_frames + 1,
        predicted_iou=mask.predicted_iou if mask is not None else 0.0,
        size_ratio=_size_ratio(record, box),
        health=mask.health if mask is not None else None,
    )
    found = doubt(evidence, config) if seen and now_ns >= record.trusted_until_ns else None
    trust = trust_after(record.trust, evidence, found, config) if seen else record.trust
    event = _event(record, evidence, box, config, now_ns=now_ns)
    belief = record.belief if event is None else min(record.belief, 0.0)
    suspicion = event or record.suspicion
    if suspicion is None and seen and now_ns >= record.trusted_until_ns:
        sign = lookalike(evidence, config) if trust.believed else found
        suspicion = None if sign is None else Suspicion(sign, now_ns)
    believed = trust.believed and belief >= 0 and not record.corrected and not record.candidates
    state = state_of(evidence, replace(trust, believed=believed), config)
    if event is not None or (state is TrackState.LOST and record.state is not TrackState.LOST):
        record = replace(record, not_before_ns=0, fruitless=0, event_ns=now_ns)  # what pauses were for is past
    updated = replace(
        record,
        state=state,
        absent_frames=evidence.absent_frames,
        trust=trust,
        belief=belief,
        suspicion=suspicion,
        size_ratio=evidence.size_ratio,
        last_box=record.last_box if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
    )
    return replace(updated, reason=_why(updated, found))


def _size_ratio(record: TargetRecord, box: Array | None) -> float:
    """Of the box now to the one the grounder last saw; 1 where either is not known."""
    return 1.0 if box is None or not record.known_px else box_area_px(box) / record.known_px


def asked(record: TargetRecord, stamp_ns: int) -> TargetRecord:
    """The record once a question about it was put."""
    return replace(record, asked_ns=stamp_ns, frames_since_asked=0, demanded=False)


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
    calm_ns = now_ns + _ns(doubt_pause_s(doubts, config))
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
    return record.not_before_ns if record.event_ns > stamp_ns else now_ns + _ns(pause_s)


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
        not_before_ns=outcome.settled_stamp_ns + _ns(doubt_pause_s(doubts, config)),
        grounded_stamp_ns=placed.stamp_ns,
        last_box=None,
        known_px=placed.box_px,
        size_ratio=1.0,
        verified_stamp_ns=placed.stamp_ns,
        grounding_score=score,
        created=record.created or placed.provenance,
        changed=record.changed if spoken else placed.provenance,
    )


def unseen(record: TargetRecord) -> bool:
    """Whether there is nothing of it to look at."""
    return record.state in (TrackState.SEARCHING, TrackState.LOST, TrackState.OCCLUDED)


def asked_as(record: TargetRecord, reason: RegroundReason) -> tuple[str, tuple[Turn, ...]]:
    """The expression and dialogue to ask with.

    "The left one" said long ago says nothing about where to look now: a target of such words that is lost is looked
    for by what the dialogue began with.
    """
    meaning = record.meaning
    if meaning.root and reason is not RegroundReason.CORRECTED and not is_lasting(meaning.target.expression):
        return meaning.root, ()
    return meaning.target.expression, meaning.history


def siblings_of(record: TargetRecord, records: Mapping[str, TargetRecord]) -> tuple[str, ...]:
    """The other targets that one question means along with this one."""
    key = record.meaning.key
    return tuple(i for i, other in records.items() if other.meaning.key == key and i != record.target.id)


def same_question(records: Sequence[TargetRecord], first: TargetRecord) -> list[TargetRecord]:
    """Those of `records` that the same question is about."""
    return [record for record in records if record.meaning.key == first.meaning.key]


def _event(
    record: TargetRecord, evidence: Evidence, box: Array | None, config: GroundingConfig, *, now_ns: int
) -> Suspicion | None:
    """What happened in this frame and makes everything said before it uncertain."""
    happened = scene_cut(evidence, config)
    if happened is None and (record.absent_frames > 0 or now_ns >= record.trusted_until_ns):
        happened = leap(record.last_box, box)  # what moves fast leaps all the time: once confirmed, that is no news
    if happened is None and evidence.absent_frames == 0 and record.state is TrackState.LOST:
        words = f"seen again after {record.absent_frames} frames, not verified yet"
        happened = Doubt(RegroundReason.UNCERTAIN, words)
    return None if happened is None else Suspicion(happened, now_ns)


def _why(record: TargetRecord, found: Doubt | None) -> str:
    """For people: the reason of the state."""
    if record.absent_frames:
        return f"not seen for {record.absent_frames} frames"
    if record.state is TrackState.TRACKING:
        return ""
    if record.corrected or record.candidates or record.belief < 0:
        return record.reason
    if found is not None:
        return found.words
    return record.reason if record.suspicion is None else record.suspicion.found.words


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


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
