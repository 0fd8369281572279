"""What follows from an answer, for each target: a pure function of the answer, the records and the tracks back then.

Nothing is changed here. `conclude` says what the supervisor is to do, so that every rule can be tested by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from referent.config import GroundingConfig
from referent.grounding.association import Association, Link, associate, item_area_px, item_box_xyxy, usable_items
from referent.grounding.boxes import box_area_px
from referent.grounding.confidence import Action, ItemEvidence, action_on, combined_score, evidence_of
from referent.grounding.records import TargetRecord, siblings_of
from referent.grounding.wording import is_lasting, rival_names, wants_one, which_one
from referent.types import Grounding, GroundingItem, LiveTrack, RegroundReason, TrackState


@dataclass(frozen=True, eq=False)
class Placed:
    """A region to follow as a target; `object_id` None = as a new one."""

    item: GroundingItem
    object_id: str | None
    evidence: ItemEvidence
    refine: bool = False
    overrules: bool = False


@dataclass(frozen=True)
class Verified:
    """A target whose track the answer agrees with."""

    object_id: str
    speaks_for: float  # log-odds
    box_px: float | None = None  # area of the box that the answer gives


@dataclass(frozen=True, eq=False)
class Conclusion:
    """What follows from an answer, by the ids of targets; `words` are for people."""

    outcome: str  # see GroundingEvent.outcome
    words: str = ""
    verified: tuple[Verified, ...] = ()
    against: tuple[tuple[str, float], ...] = ()  # targets that go on, and the log-odds that speak against them
    placed: tuple[Placed, ...] = ()
    rivals: bool = False  # what is placed, and what is not yet, are candidates for one meaning
    unsure: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    fruitless: tuple[str, ...] = ()
    conflicts: tuple[tuple[str, str], ...] = ()  # (target asked about, target on whose track the answer lies)
    dropped: tuple[str, ...] = ()  # no longer meant
    to_verify: Link | None = None  # to be asked about by its cut-out before anything else follows
    drops: Mapping[str, int] = field(default_factory=dict)  # what was thrown away, by kind


@dataclass(frozen=True)
class Scene:
    """What an answer is judged by: the targets as they are now, the tracks in the frame it is applied to."""

    records: Mapping[str, TargetRecord]
    asked: tuple[str, ...]  # targets of the question that are still wanted as they were
    tracks: tuple[LiveTrack, ...]
    room: int  # how many targets may be added

    def seen(self, object_id: str) -> bool:
        """Whether a target's track saw something."""
        return any(track.id == object_id for track in self.tracks)

    def shows(self, object_id: str, config: GroundingConfig) -> bool:
        """Whether a target's track saw something, and not just what an occluder leaves of it for a moment."""
        known_px = self.records[object_id].known_px if self.records[object_id].fruitless == 0 else None
        boxes = [track.box_xyxy for track in self.tracks if track.id == object_id]
        return any(not known_px or box_area_px(box) * config.uncertain_size_factor >= known_px for box in boxes)

    @property
    def siblings(self) -> tuple[str, ...]:
        """Targets of the same meaning that were not asked about."""
        others = siblings_of(self.records[self.asked[0]], self.records)
        return tuple(object_id for object_id in others if object_id not in self.asked)


def conclude(answer: Grounding, scene: Scene, config: GroundingConfig, *, verified: float | None = None) -> Conclusion:
    """What follows from `answer`; `verified` is what asking about the cut-out of its one region brought."""
    if not scene.asked:
        return Conclusion("discarded", "its targets are no longer wanted", drops={"answers_about_removed": 1})
    if not answer.items:
        return _nothing(answer, scene, config)
    height, width = answer.request.frame.rgb.shape[:2]
    items = usable_items(answer.items, width=width, height=height, limit=scene.room + len(scene.records))
    lost = len(answer.items) - len(items)
    drops = {"answer_items_dropped": lost} if lost else {}
    if not items:
        words = f"none of the {lost} regions lies in the picture"
        return Conclusion("discarded", words, fruitless=scene.asked, drops=drops)
    one = wants_one(answer.request.expression)
    rivals = _rivals(items, config) if one else items
    found = associate(
        rivals,
        asked=scene.asked,
        siblings=scene.siblings,
        tracks=scene.tracks,
        confirm_iou=config.confirm_iou,
        touch_iou=config.refine_iou,
    )
    if one and len(found.unclaimed) + len(found.elsewhere) + len(found.agreed) > max(_meant(scene), 1):
        concluded = _several(found, answer, scene, config)
    else:
        concluded = _regular(found, answer, scene, config, verified=verified)
    return replace(concluded, drops={**drops, **concluded.drops})


def _nothing(answer: Grounding, scene: Scene, config: GroundingConfig) -> Conclusion:
    """Nothing matches: of what was seen it is a denial, if it is sure enough; of the rest just no help."""
    sure = answer.nothing_score is None or answer.nothing_score >= config.absent_score
    seen = [i for i in scene.asked if sure and scene.shows(i, config) and _can_be_denied(scene.records[i])]
    others = [i for i in scene.asked if i not in seen]
    said = f"nothing matches: {answer.nothing_reason}" if answer.nothing_reason else "nothing matches"
    words = said if answer.nothing_score is None else f"{said} ({answer.nothing_score:.0%} sure)"
    against = tuple((object_id, evidence_of(answer.nothing_score)) for object_id in seen)
    return Conclusion("nothing", words, denied=tuple(seen), fruitless=tuple(others), against=against)


def _can_be_denied(record: TargetRecord) -> bool:
    """Whether "nothing matches" is about what is followed, not about words that no longer fit or are new."""
    return not record.corrected and (is_lasting(record.target.expression) or not record.sound)


def _rivals(items: Sequence[GroundingItem], config: GroundingConfig) -> tuple[GroundingItem, ...]:
    """Without those the grounder is much less sure of than of its best."""
    best = max((item.score for item in items if item.score is not None), default=None)
    if best is None:
        return tuple(items)
    least = best - config.candidate_score_gap
    return tuple(item for item in items if item.score is None or item.score >= least)


def _meant(scene: Scene) -> int:
    """How many regions an answer may hold for a meaning of one: those of its candidates, while it has some."""
    return len([i for i in (*scene.asked, *scene.siblings) if scene.records[i].candidates])


def _several(found: Association, answer: Grounding, scene: Scene, config: GroundingConfig) -> Conclusion:
    """More regions than are meant. What is followed and among them goes on; it only cannot be told from the others."""
    links = (*found.agreed, *found.elsewhere)
    items = [*(link.item for link in links), *found.unclaimed]
    boxes = [box for item in items if (box := item_box_xyxy(item)) is not None]
    words = which_one(answer.request.expression, rival_names(boxes)) if len(boxes) == len(items) else "several match"
    kept = {link.object_id for link in found.agreed} | {i for i in scene.asked if scene.seen(i)}
    known = kept or any(scene.records[i].grounded_stamp_ns is not None for i in scene.asked)  # it was told apart before
    if known and answer.request.reason is not RegroundReason.CORRECTED:
        return Conclusion("ambiguous", words, fruitless=scene.asked)
    room = min(scene.room, config.max_candidates - len(links))
    added = [Placed(item, None, _evidence(item)) for item in found.unclaimed[: max(room, 0)]]
    moved = [Placed(link.item, link.object_id, _evidence(link.item)) for link in found.elsewhere]
    lost = len(found.unclaimed) - len(added)
    drops = {"answer_items_dropped": lost} if lost else {}
    agreed = tuple(link.object_id for link in found.agreed)
    return Conclusion("ambiguous", words, fruitless=agreed, placed=(*moved, *added), rivals=True, drops=drops)


def _regular(
    found: Association, answer: Grounding, scene: Scene, config: GroundingConfig, *, verified: float | None
) -> Conclusion:
    """As many regions as can be meant: each target is confirmed, corrected, found again, or not helped."""
    agreed = tuple(link.object_id for link in found.agreed)
    elsewhere = [*found.elsewhere, *_granted(found.conflicts, scene)]
    scores = {link.object_id: combined_score(_evidence(link.item, verified)) for link in elsewhere}
    actions = [(link, _action(link, scores[link.object_id], scene, config)) for link in elsewhere]
    kept = [link for link, action in actions if action is not Action.ACT]
    against = [link.object_id for link in kept if _contradicts(link, scene, config)]
    unsure = [link for link, action in actions if action is Action.ASK_AGAIN]
    if config.verify and verified is None and len(unsure) == len(answer.items) == 1:
        return Conclusion("unsure", "asking about its cut-out", to_verify=unsure[0])
    placed = [_placed(link, scene, config, verified) for link, action in actions if action is Action.ACT]
    new = _new(found, answer, scene)
    helped = {*agreed, *(link.object_id for link, action in actions if action is not Action.KEEP)}
    replaced = answer.request.reason is RegroundReason.CORRECTED and bool(agreed or placed)
    left = tuple(i for i in scene.asked if i not in helped)
    refused = [link for link in found.conflicts if not _is_granted(link, scene)]
    conflicts = tuple((left[0], link.object_id) for link in refused if left)
    return Conclusion(
        outcome=_outcome(agreed, placed, new, unsure, conflicts, scene),
        words=answer.raw,
        verified=tuple(
            Verified(link.object_id, evidence_of(link.item.score), item_area_px(link.item)) for link in found.agreed
        ),
        against=tuple((object_id, evidence_of(scores[object_id])) for object_id in against),
        placed=(*placed, *new),
        unsure=tuple(link.object_id for link in unsure),
        fruitless=() if replaced else left,
        conflicts=conflicts,
        dropped=left if replaced else _ruled_out(answer, helped, scene, config),
        drops={"answer_items_dropped": dropped} if (dropped := len(found.unclaimed) - len(new)) else {},
    )


def _ruled_out(answer: Grounding, helped: Collection[str], scene: Scene, config: GroundingConfig) -> tuple[str, ...]:
    """Candidates that could be seen, where an answer surely means just another one of them."""
    surely = len(answer.items) == 1 and (answer.items[0].score or 0.0) >= config.lost_act_score
    if not surely or not helped:
        return ()
    alike = (*scene.asked, *scene.siblings)
    return tuple(i for i in alike if i not in helped and scene.records[i].candidates and scene.seen(i))


def _action(link: Link, score: float | None, scene: Scene, config: GroundingConfig) -> Action:
    record, contradicts = scene.records[link.object_id], _contradicts(link, scene, config)
    elsewhere = scene.seen(link.object_id) and link.iou < config.refine_iou
    if record.sound and elsewhere and not contradicts:
        return Action.KEEP  # what is left or nearest by now says nothing about what was then
    if config.reground_policy in ("interval", "every_answer"):
        return Action.ACT  # as others do
    belief = record.belief if record.sound else min(record.belief, 0.0)
    return action_on(
        score,
        config,
        belief=belief if contradicts else None,
        second_look=record.again is not None,
        followed_before=record.state is TrackState.LOST,
    )


def _contradicts(link: Link, scene: Scene, config: GroundingConfig) -> bool:
    """Whether a region elsewhere says that the track is not the target, rather than where its border is."""
    record = scene.records[link.object_id]
    still_holds = is_lasting(record.target.expression) or not record.sound
    return scene.seen(link.object_id) and link.iou < config.refine_iou and still_holds and not record.corrected


def _placed(link: Link, scene: Scene, config: GroundingConfig, verified: float | None) -> Placed:
    seen = scene.seen(link.object_id)
    refine = seen and link.iou >= config.refine_iou and config.confirm_iou < 1
    evidence = _evidence(link.item, verified)
    score = combined_score(evidence)
    sure = score is None or score >= config.act_score
    return Placed(link.item, link.object_id, evidence, refine=refine, overrules=seen and sure and not refine)


def _new(found: Association, answer: Grounding, scene: Scene) -> list[Placed]:
    """Regions that no target explains are new ones, where the question was what there is at all."""
    asks_for_all = answer.request.reason in (RegroundReason.NEW, RegroundReason.CORRECTED)
    items = found.unclaimed[: scene.room] if asks_for_all else ()
    return [Placed(item, None, _evidence(item)) for item in items]


def _granted(conflicts: Sequence[Link], scene: Scene) -> list[Link]:
    """Regions on another target's track which the grounder, asked about that one, has meanwhile put there too."""
    free = [i for i in scene.asked if not scene.seen(i)]
    granted = [link for link in conflicts if _is_granted(link, scene)]
    return [replace(link, object_id=object_id, iou=0.0) for link, object_id in zip(granted, free, strict=False)]


def _is_granted(link: Link, scene: Scene) -> bool:
    since_ns = scene.records[scene.asked[0]].conflict_ns
    other = scene.records.get(link.object_id)
    verified_ns = None if other is None else other.verified_stamp_ns
    return since_ns is not None and verified_ns is not None and verified_ns >= since_ns


def _outcome(
    agreed: Sequence[str],
    placed: Sequence[Placed],
    new: Sequence[Placed],
    unsure: Sequence[Link],
    conflicts: Sequence[tuple[str, str]],
    scene: Scene,
) -> str:
    if any(one.object_id is not None and scene.seen(one.object_id) for one in placed):
        return "corrected"
    if placed or new:
        return "found"
    if agreed:
        return "confirmed"
    if conflicts:
        return "conflict"
    return "unsure" if unsure else "discarded"


def _evidence(item: GroundingItem, verified: float | None = None) -> ItemEvidence:
    return ItemEvidence(score=item.score, verified=verified)
