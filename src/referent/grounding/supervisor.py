"""Owns what is being looked for: the targets, the one question in flight, and what each answer changes.

Belongs to the pipeline thread. It never touches the tracker: it hands out prompts and is told what became of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from referent.config import GroundingConfig
from referent.errors import BadInstruction
from referent.grounding.boxes import box_iou, mask_box_xyxy
from referent.grounding.policy import Evidence, backoff_s, doubt, reason_to_ask, state_of
from referent.types import (
    Array,
    Grounding,
    GroundingEvent,
    GroundingFailure,
    GroundingItem,
    GroundingRequest,
    LiveTrack,
    Prompt,
    PromptOutcome,
    RegroundReason,
    RgbdFrame,
    Target,
    TrackedMask,
    TrackState,
    Worker,
)

MAX_INSTRUCTION_CHARS = 1000
SAME_OBJECT_IOU = 0.5


@dataclass(frozen=True)
class TargetRecord:
    """One target and what has happened to it so far."""

    target: Target
    label: str
    state: TrackState = TrackState.SEARCHING
    absent_frames: int = 0
    grounded_stamp_ns: int | None = None
    verified_stamp_ns: int | None = None
    reason: str = "waiting for the grounder"


@dataclass(frozen=True, eq=False)
class Decision:
    """What an answer leads to: prompts for the tracker, and the event for the record."""

    prompts: tuple[Prompt, ...]
    event: GroundingEvent


@dataclass(frozen=True)
class _Placement:
    """Where a target was found, until the tracker has taken it over."""

    label: str
    stamp_ns: int
    reason: str


class GroundingSupervisor:
    """Asks when the policy says so and turns answers into prompts."""

    def __init__(self, config: GroundingConfig, worker: Worker, *, max_objects: int) -> None:
        self._config = config
        self._worker = worker
        self._max_objects = max_objects
        self._records: dict[str, TargetRecord] = {}
        self._placements: dict[str, _Placement] = {}  # of targets whose prompt the tracker still works on
        self._in_flight: GroundingRequest | None = None
        self._next_id = 1
        self._generation = 0
        self._unanswered = 0
        self._not_before_ns = 0

    @property
    def records(self) -> tuple[TargetRecord, ...]:
        """All targets, in the order they were added."""
        return tuple(self._records.values())

    def instruct(self, instruction: str) -> tuple[str, ...]:
        """Look for something new instead; returns the ids that are no longer wanted. Raises BadInstruction."""
        expression = clean_instruction(instruction)
        unwanted = tuple(self._records)
        self._start_over()
        self._add_target(expression)
        return unwanted

    def follow_box(self, expression: str, box_xyxy: Array, stamp_ns: int) -> Prompt:
        """Add a target whose place is already known, without asking anyone."""
        target = self._add_target(expression)
        self._place_at(target.id, _Placement(expression, stamp_ns, "given as a box"))
        return Prompt(object_id=target.id, stamp_ns=stamp_ns, box_xyxy=box_xyxy)

    def forget(self, object_id: str) -> bool:
        """Stop following one target; False when there is none of that id."""
        self._placements.pop(object_id, None)
        return self._records.pop(object_id, None) is not None

    def search_again(self) -> tuple[str, ...]:
        """Time jumped: keep what is looked for, drop all tracks; returns the ids to forget."""
        unwanted = tuple(self._records)
        expressions = dict.fromkeys(record.target.expression for record in self._records.values())
        self._start_over()
        for expression in expressions:
            self._add_target(expression)
        return unwanted

    def clear(self) -> tuple[str, ...]:
        """Look for nothing; returns the ids to forget."""
        unwanted = tuple(self._records)
        self._start_over()
        return unwanted

    def cancel(self) -> GroundingRequest | None:
        """Throw away the question in flight and return it."""
        cancelled, self._in_flight = self._in_flight, None
        if cancelled is not None:
            self._worker.cancel()
        return cancelled

    def observe(self, masks: Sequence[TrackedMask]) -> None:
        """Bring every target's state up to the present frame."""
        by_id = {mask.object_id: mask for mask in masks}
        for object_id, record in self._records.items():
            self._records[object_id] = self._observed(record, by_id.get(object_id))

    def ask_if_needed(self, frame: RgbdFrame, masks: Sequence[TrackedMask]) -> GroundingRequest | None:
        """Put at most one question to the worker; returns it when one was asked."""
        if self._worker.busy or not self._records:
            return None
        reason = reason_to_ask(
            (record.state for record in self._settled),
            now_ns=frame.stamp_ns,
            not_before_ns=self._not_before_ns,
        )
        if reason is None:
            return None
        wanted = _wanted(self._settled, reason)
        self._in_flight = GroundingRequest(wanted, frame, reason, tracks=_live_tracks(self.records, masks))
        self._worker.submit(self._in_flight)
        return self._in_flight

    def poll(self, now_ns: int) -> Grounding | GroundingFailure | None:
        """The answer to the question in flight, once it is in."""
        answer = self._worker.poll(now_ns)
        if answer is None or self._in_flight is None or answer.request is not self._in_flight:
            return None
        self._in_flight = None
        return answer

    def decide(self, answer: Grounding | GroundingFailure, now_ns: int) -> Decision:
        """What to do with an answer; the targets' records follow."""
        if isinstance(answer, GroundingFailure):
            return self._no_result(answer, now_ns, "failed", answer.message)
        if not answer.items:
            return self._no_result(answer, now_ns, "nothing", answer.nothing_reason or "")
        self._unanswered, self._not_before_ns = 0, now_ns
        prompts = tuple(self._place(answer))
        outcome = "found" if prompts else "confirmed"
        return Decision(prompts, _event(answer, now_ns, outcome, answer.raw, answer.items))

    def withdraw(self, object_id: str, why: str) -> None:
        """A prompt was not taken, or came to nothing: its target stands as before, and is looked for as before."""
        if self._placements.pop(object_id, None) is not None:
            self._records[object_id] = replace(self._records[object_id], reason=why)

    def settle(self, outcome: PromptOutcome) -> None:
        """Learn what became of a prompt that was taken."""
        placed = self._placements.get(outcome.object_id)
        if placed is None or placed.stamp_ns != outcome.stamp_ns or outcome.outcome == "superseded":
            return  # a newer prompt for the same target is still to come
        if outcome.outcome == "rejected":
            self.withdraw(outcome.object_id, "what was found could not be followed")
            return
        del self._placements[outcome.object_id]
        self._records[outcome.object_id] = replace(
            self._records[outcome.object_id],
            label=placed.label,
            state=TrackState.TRACKING,
            absent_frames=0,
            grounded_stamp_ns=placed.stamp_ns,
            verified_stamp_ns=placed.stamp_ns,
            reason=placed.reason,
        )

    def close(self) -> None:
        """Stop the worker."""
        self._worker.close()

    @property
    def _settled(self) -> list[TargetRecord]:
        """The targets that may be asked about: the tracker is not at work on an answer for them."""
        return [record for object_id, record in self._records.items() if object_id not in self._placements]

    def _start_over(self) -> None:
        self._records.clear()
        self._placements.clear()
        self._unanswered, self._not_before_ns = 0, 0
        self._generation += 1

    def _add_target(self, expression: str) -> Target:
        target = Target(id=str(self._next_id), expression=expression, generation=self._generation)
        self._next_id += 1
        self._records[target.id] = TargetRecord(target, label=expression)
        return target

    def _observed(self, record: TargetRecord, mask: TrackedMask | None) -> TargetRecord:
        if record.grounded_stamp_ns is None:
            return record
        seen = mask is not None and bool(mask.mask.any())
        evidence = Evidence(
            grounded=True,
            score=mask.score if mask is not None else 0.0,
            absent_frames=0 if seen else record.absent_frames + 1,
            health=mask.health if mask is not None else None,
        )
        state = state_of(evidence, self._config)
        reason = _why(state, evidence, self._config)
        return replace(record, state=state, absent_frames=evidence.absent_frames, reason=reason)

    def _no_result(self, answer: Grounding | GroundingFailure, now_ns: int, outcome: str, detail: str) -> Decision:
        self._unanswered += 1
        self._not_before_ns = now_ns + round(backoff_s(self._unanswered, self._config) * 1e9)
        said = "nothing matches" if outcome == "nothing" else "no answer"
        for object_id, record in self._records.items():
            if record.state in (TrackState.SEARCHING, TrackState.LOST):
                self._records[object_id] = replace(record, reason=f"{said}: {detail}" if detail else said)
        return Decision((), _event(answer, now_ns, outcome, detail, ()))

    def _place(self, answer: Grounding) -> list[Prompt]:
        """Give each item to the live track it agrees with, else to a target that waits for one, else to a new one."""
        request, stamp_ns = answer.request, answer.request.frame.stamp_ns
        waiting = [t.id for t in request.targets if t.id in self._records and self._waits(t.id)]
        prompts: list[Prompt] = []
        for item in answer.items:
            confirmed = _agreeing_track(item, request.tracks)
            if confirmed is not None:
                self._note_verified(confirmed, stamp_ns)
            elif waiting:
                prompts.append(self._prompt_for(waiting.pop(0), item, stamp_ns))
            elif request.reason is RegroundReason.NEW and len(self._records) < self._max_objects:
                prompts.append(self._prompt_for(self._add_target(request.expression).id, item, stamp_ns))
        return prompts

    def _waits(self, object_id: str) -> bool:
        return self._records[object_id].state in (TrackState.SEARCHING, TrackState.LOST)

    def _prompt_for(self, object_id: str, item: GroundingItem, stamp_ns: int) -> Prompt:
        self._place_at(object_id, _Placement(item.label, stamp_ns, "found by the grounder"))
        return prompt_from_item(item, object_id=object_id, stamp_ns=stamp_ns)

    def _place_at(self, object_id: str, placement: _Placement) -> None:
        self._placements[object_id] = placement
        self._records[object_id] = replace(self._records[object_id], reason=f"{placement.reason}, catching up")

    def _note_verified(self, object_id: str, stamp_ns: int) -> None:
        record = self._records.get(object_id)
        if record is not None:
            self._records[object_id] = replace(record, verified_stamp_ns=stamp_ns)


def clean_instruction(instruction: str) -> str:
    """The instruction with its whitespace tidied. Raises BadInstruction when nothing or far too much is left."""
    text = " ".join(instruction.split())
    if not text:
        raise BadInstruction(f"the instruction {instruction!r} is empty; say what to look for, e.g. 'the red mug'")
    if len(text) > MAX_INSTRUCTION_CHARS:
        raise BadInstruction(f"the instruction has {len(text)} characters, at most {MAX_INSTRUCTION_CHARS} are taken")
    return text


def prompt_from_item(item: GroundingItem, *, object_id: str, stamp_ns: int) -> Prompt:
    """A grounder's region as a prompt for the tracker; all its points lie inside the object."""
    labels = None if item.points_xy is None else np.ones(len(item.points_xy), np.int32)
    return Prompt(
        object_id=object_id,
        stamp_ns=stamp_ns,
        box_xyxy=item.box_xyxy,
        points_xy=item.points_xy,
        point_labels=labels,
        mask=item.mask,
        embedding=item.embedding,
    )


def _wanted(records: Sequence[TargetRecord], reason: RegroundReason) -> tuple[Target, ...]:
    """The targets one question can be about: those that share the expression of the first one in need."""
    state = TrackState.SEARCHING if reason is RegroundReason.NEW else TrackState.LOST
    in_need = [record.target for record in records if record.state is state]
    return tuple(target for target in in_need if target.expression == in_need[0].expression)


def _live_tracks(records: Sequence[TargetRecord], masks: Sequence[TrackedMask]) -> tuple[LiveTrack, ...]:
    labels = {record.target.id: record.label for record in records}
    boxes = ((mask.object_id, mask_box_xyxy(mask.mask)) for mask in masks if mask.object_id in labels)
    return tuple(LiveTrack(object_id, labels[object_id], box) for object_id, box in boxes if box is not None)


def _agreeing_track(item: GroundingItem, tracks: Sequence[LiveTrack]) -> str | None:
    """The live track an item means, judged where both were at the question's frame."""
    box = item.box_xyxy if item.mask is None else mask_box_xyxy(item.mask)
    if box is None or not tracks:
        return None
    best = max(tracks, key=lambda track: box_iou(box, track.box_xyxy))
    return best.id if box_iou(box, best.box_xyxy) >= SAME_OBJECT_IOU else None


def _why(state: TrackState, evidence: Evidence, config: GroundingConfig) -> str:
    if state is TrackState.TRACKING:
        return ""
    if state is TrackState.UNCERTAIN:
        return doubt(evidence, config) or ""
    return f"not seen for {evidence.absent_frames} frames"


def _event(
    answer: Grounding | GroundingFailure, now_ns: int, outcome: str, detail: str, items: Sequence[GroundingItem]
) -> GroundingEvent:
    boxes = tuple(tuple(float(v) for v in item.box_xyxy) for item in items if item.box_xyxy is not None)
    return GroundingEvent(
        stamp_ns=answer.request.frame.stamp_ns,
        answered_stamp_ns=now_ns,
        expression=answer.request.expression,
        reason=answer.request.reason,
        latency_s=answer.latency_s,
        outcome=outcome,
        detail=detail,
        boxes_xyxy=boxes,  # type: ignore[arg-type]
    )
