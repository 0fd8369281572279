"""What is known about each target, and how one frame changes it: a frozen record and pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from referent.config import GroundingConfig
from referent.grounding.boxes import box_area_px, mask_box_xyxy
from referent.grounding.confidence import ItemEvidence
from referent.grounding.policy import (
    Doubt,
    Evidence,
    Standing,
    Trust,
    doubt,
    is_whole,
    leap,
    lookalike,
    scene_cut,
    state_of,
    trust_after,
)
from referent.grounding.wording import is_lasting
from referent.types import Array, Candidate, Provenance, RegroundReason, Target, TrackedMask, TrackState, Turn

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
        return now_ns < record.event_ns + round(config.lost_patience_s * 1e9)
    if suspicion is None or suspicion.found.reason is not RegroundReason.UNCERTAIN:
        return False
    looks_doubtful = not record.trust.believed or not is_whole(record.size_ratio, config)
    return looks_doubtful and now_ns < suspicion.since_ns + round(config.doubt_patience_s * 1e9)


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
