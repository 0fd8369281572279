"""Owns what is being looked for: the targets, the one question in flight, and what each answer changes.

Belongs to the pipeline thread. It never touches the tracker: it hands out prompts and is told what became of them.
Asking is decided by `policy`, what an answer means by `conclusions`, what an instruction means by `instructions`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from referent.config import GroundingConfig
from referent.grounding import instructions, records, verdicts
from referent.grounding.association import item_area_px, item_box_xyxy
from referent.grounding.conclusions import Conclusion, Placed, Scene, conclude
from referent.grounding.confidence import probability_of
from referent.grounding.conversation import Conversation
from referent.grounding.dialogue import understand
from referent.grounding.events import Decision, event_of
from referent.grounding.novelty import AskedPictures
from referent.grounding.policy import affordable, backoff_s, most_urgent
from referent.grounding.records import Meaning, Placement, TargetRecord
from referent.grounding.regions import GivenRegion, prompt_from_item
from referent.grounding.targets import Numbering, Targets
from referent.grounding.verification import KIND, cut_out_request, probability_of_yes
from referent.grounding.wording import rival_names
from referent.ports import GroundingFailure, PromptOutcome, Worker
from referent.types import (
    Array,
    Grounding,
    GroundingRequest,
    Prompt,
    Provenance,
    RegroundReason,
    RgbdFrame,
    Target,
    TrackedMask,
    TrackState,
)

NOT_KNOWN = 0.5  # what a verification says that failed


@dataclass(frozen=True, eq=False)
class _OnHold:
    """An answer that waits until its one region was asked about by its cut-out."""

    answer: Grounding
    box_xyxy: Array


class GroundingSupervisor:
    """Asks when the policy says so and turns answers into prompts."""

    def __init__(self, config: GroundingConfig, worker: Worker, *, max_objects: int) -> None:
        self._config = config
        self._worker = worker
        self.numbering = Numbering()
        self._targets = Targets(config, max_objects=max_objects, numbering=self.numbering)
        self._conversation = Conversation(turns=config.history_turns, numbering=self.numbering)
        self._in_flight: GroundingRequest | None = None
        self._on_hold: _OnHold | None = None
        self._asked_ns: deque[int] = deque(maxlen=config.questions_per_minute)
        self._failures = 0  # of the grounder, in a row
        self._not_before_ns = 0
        self._newest_ns = 0
        self._asked_pictures = AskedPictures()

    @property
    def records(self) -> tuple[TargetRecord, ...]:
        """All targets, in the order they were added."""
        return tuple(self._targets)

    @property
    def asking(self) -> bool:
        """Whether a question about targets is in flight."""
        return self._in_flight is not None

    def instruct(self, instruction: str) -> tuple[str, ...]:
        """Change what is looked for; returns the ids whose tracks are to be dropped. Raises BadInstruction."""
        text = instructions.clean_instruction(instruction)
        act = understand(text, [record.target.expression for record in self._targets])
        self._not_before_ns = 0
        return instructions.carry_out(act, self._targets, self._conversation, now_ns=self._newest_ns)

    def follow(self, instruction: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Take a goal; returns the ids it is about and those of tracks to be dropped. Raises BadInstruction."""
        followed, unwanted = instructions.follow(instruction, self._targets, self._conversation)
        self._not_before_ns = 0
        return followed, unwanted

    def correct(self, object_id: str, text: str) -> tuple[str, ...]:
        """Take words about one target; returns the ids whose tracks are to be dropped. Raises BadInstruction."""
        unwanted = instructions.correct(object_id, text, self._targets, self._conversation, now_ns=self._newest_ns)
        self._not_before_ns = 0
        return unwanted

    def point_out(
        self, object_id: str, region: GivenRegion, stamp_ns: int, *, refine: bool
    ) -> tuple[Prompt, tuple[str, ...]]:
        """A person shows a target: the prompt, and the ids of rivals that are to be dropped. Raises BadInstruction."""
        return instructions.point_out(object_id, region, self._targets, stamp_ns=stamp_ns, refine=refine)

    def reground(self, object_id: str = "") -> tuple[str, ...]:
        """Ask about one target, or all, with the next frame, whatever the policy thinks; returns their ids.

        Raises BadInstruction when it is not followed.
        """
        self._not_before_ns = 0
        return instructions.ask_again(object_id, self._targets)

    def reconfigure(self, config: GroundingConfig) -> None:
        """Go on with other thresholds."""
        self._config = config
        self._asked_ns = deque(self._asked_ns, maxlen=config.questions_per_minute)
        self._targets.reconfigure(config)

    def follow_box(self, expression: str, box_xyxy: Array, stamp_ns: int) -> Prompt:
        """Add a target whose place is already known, without asking anyone."""
        meaning = Meaning(Target("", expression), self._conversation.instruction_id)
        object_id = self._targets.add(meaning).target.id
        source = Provenance("box", "given", stamp_ns, self._conversation.instruction_id)
        self._targets.place(object_id, Placement(expression, stamp_ns, source))
        return Prompt(object_id=object_id, stamp_ns=stamp_ns, box_xyxy=box_xyxy)

    def forget(self, object_id: str) -> bool:
        """Stop following one target; False when there is none of that id."""
        return self._targets.remove(object_id)

    def search_again(self) -> tuple[str, ...]:
        """Time jumped: keep what is looked for, drop all tracks and all that was said; returns the ids to forget."""
        meant = {record.meaning.key: record.meaning for record in self._targets}
        unwanted = self.clear()
        for meaning in meant.values():
            expression = meaning.root or meaning.target.expression
            self._targets.add(Meaning(replace(meaning.target, expression=expression), meaning.instruction_id))
        return unwanted

    def clear(self) -> tuple[str, ...]:
        """Look for nothing; returns the ids to forget."""
        self._conversation.forget()
        self._asked_ns.clear()
        self._failures, self._not_before_ns, self._newest_ns = 0, 0, 0
        return self._targets.clear()

    def cancel_outdated(self) -> GroundingRequest | None:
        """Throw away the question in flight, and return it, when nothing it asks about is wanted as it was."""
        request = self._in_flight
        if request is None or self._still_asked(request):
            return None
        self._in_flight = self._on_hold = None
        self._worker.cancel()
        return request

    def observe(self, masks: Sequence[TrackedMask], now_ns: int) -> None:
        """Bring every target's state up to the present frame."""
        self._newest_ns = now_ns
        self._targets.observe(masks, now_ns)

    def ask_if_needed(self, frame: RgbdFrame, masks: Sequence[TrackedMask]) -> GroundingRequest | None:
        """Put at most one question to the worker; returns it when one was asked. It may be about an earlier frame."""
        if self._worker.busy or self._in_flight is not None or frame.stamp_ns < self._not_before_ns:
            return None
        request = self._verifying_request() or self._needed_request(frame, masks)
        if request is None:
            return None
        asked = tuple(target.id for target in request.targets)
        self._asked_pictures.note(asked, frame.rgb, live=self._targets.by_id)
        self._targets.change(asked, lambda record: records.asked(record, frame.stamp_ns))
        self._asked_ns.append(frame.stamp_ns)
        self._in_flight = request
        self._worker.submit(request)
        return request

    def poll(self, now_ns: int) -> Grounding | GroundingFailure | None:
        """The answer to the question in flight, once it is in; a failure when it is long overdue."""
        answer = self._worker.poll(now_ns)
        request = self._in_flight
        if request is None:
            return None
        if answer is not None and answer.request is request:
            self._in_flight = None
            return answer
        if now_ns - request.frame.stamp_ns > round(self._config.answer_deadline_s * 1e9):
            self._in_flight = None
            self._worker.cancel()
            return GroundingFailure(request, f"no answer within {self._config.answer_deadline_s:g} s of frames")
        return None

    def decide(self, answer: Grounding | GroundingFailure, now_ns: int, masks: Sequence[TrackedMask] = ()) -> Decision:
        """What to do with an answer; the targets' records follow. `masks` are those of the present frame."""
        verified = None
        if answer.request.kind == KIND and self._on_hold is not None:
            verified = NOT_KNOWN if isinstance(answer, GroundingFailure) else probability_of_yes(answer)
            answer, self._on_hold = self._on_hold.answer, None
        if isinstance(answer, GroundingFailure):
            return self._failed(answer, now_ns)
        self._failures = 0
        scene = self._scene(answer.request, masks)
        concluded = conclude(answer, scene, self._config, verified=verified)
        return self._carry_out(concluded, answer, scene, now_ns)

    def withdraw(self, object_id: str, why: str) -> None:
        """A prompt was not taken: its target stands as before, and is looked for as before."""
        self._targets.withdraw(object_id, why)

    def settle(self, outcome: PromptOutcome) -> None:
        """Learn what became of a prompt that was taken."""
        self._targets.settle(outcome)

    def close(self) -> None:
        """Stop the worker."""
        self._worker.close()

    def _still_asked(self, request: GroundingRequest) -> tuple[str, ...]:
        """The targets of a question that still mean what they meant."""
        wanted = self._targets.by_id
        return tuple(
            target.id
            for target in request.targets
            if target.id in wanted and wanted[target.id].target.generation == target.generation
        )

    def _needed_request(self, frame: RgbdFrame, masks: Sequence[TrackedMask]) -> GroundingRequest | None:
        """The question that evidence and budget ask for, about all targets that share it."""
        settled = {record.target.id: record for record in self._targets.settled}
        unseen = [object_id for object_id, record in settled.items() if records.unseen(record)]
        changed = self._asked_pictures.changed(unseen, frame.rgb, by=self._config.picture_change)
        standings = [
            records.standing_of(record, self._config, now_ns=frame.stamp_ns, changed=object_id in changed)
            for object_id, record in settled.items()
        ]
        need = most_urgent(standings, self._config, now_ns=frame.stamp_ns)
        if need is None or not affordable(need.reason, self._asked_ns, self._config, now_ns=frame.stamp_ns):
            return None
        first = settled[need.object_id]
        expression, history = records.asked_as(first, need.reason)
        shared = [first, *(r for r in records.same_question(list(settled.values()), first) if r is not first)]
        wanted = [r for r in shared if need.reason in _REASONS_FOR_ALL or r.state is first.state]
        targets = tuple(replace(record.target, expression=expression) for record in wanted)
        return GroundingRequest(targets, frame, need.reason, history, self._targets.live_tracks(masks))

    def _verifying_request(self) -> GroundingRequest | None:
        held = self._on_hold
        if held is None or not self._still_asked(held.answer.request):
            self._on_hold = None
            return None
        return cut_out_request(held.answer.request, held.box_xyxy)

    def _scene(self, request: GroundingRequest, masks: Sequence[TrackedMask]) -> Scene:
        settled = {record.target.id for record in self._targets.settled}
        asked = tuple(object_id for object_id in self._still_asked(request) if object_id in settled)
        tracks = request.tracks if self._config.time_travel else self._targets.live_tracks(masks)
        return Scene(self._targets.by_id, asked, tracks, self._targets.room)

    def _failed(self, answer: GroundingFailure, now_ns: int) -> Decision:
        self._failures += 1
        self._not_before_ns = now_ns + round(backoff_s(self._failures, self._config) * 1e9)
        words = f"no answer: {answer.message}"
        waiting = [r.target.id for r in self._targets if r.state in (TrackState.SEARCHING, TrackState.LOST)]
        self._targets.change(waiting, lambda record: replace(record, reason=words))
        return Decision(event_of(answer, now_ns, "failed", answer.message))

    def _carry_out(self, concluded: Conclusion, answer: Grounding, scene: Scene, now_ns: int) -> Decision:
        """Change the records as was concluded."""
        config, reason, words = self._config, answer.request.reason, concluded.words
        stamp_ns = answer.request.frame.stamp_ns if config.time_travel else now_ns
        change = self._targets.change
        if concluded.to_verify is not None:
            self._hold(answer, concluded)
        if answer.items and reason in _REASONS_OF_WORDS and scene.asked:
            self._conversation.note(answer.request.expression, answer.raw)
        for one in concluded.verified:
            agrees = partial(verdicts.verified, config=config, stamp_ns=stamp_ns, now_ns=now_ns)
            change((one.object_id,), partial(agrees, speaks_for=one.speaks_for, box_px=one.box_px))
        for object_id, log_odds in concluded.against:
            change((object_id,), partial(verdicts.contradicted, config=config, by=log_odds))
        change(concluded.unsure, lambda r: verdicts.unsure(r, reason, "the grounder is not sure yet"))
        helpless = partial(verdicts.fruitless, config=config, stamp_ns=stamp_ns, now_ns=now_ns, words=words)
        change(concluded.fruitless, helpless)
        self._flag_conflicts(concluded, now_ns)
        prompts = [self._place(placed, scene, stamp_ns, reason) for placed in concluded.placed]
        if concluded.rivals:
            self._name_rivals(concluded, scene)
        for object_id in concluded.dropped:
            self._targets.remove(object_id)
        unwanted = (*concluded.dropped, *self._deny(concluded, stamp_ns, now_ns))
        detail = words if concluded.outcome not in ("found", "confirmed", "corrected") else answer.raw
        event = event_of(answer, now_ns, concluded.outcome, detail)
        return Decision(event, tuple(prompts), unwanted, concluded.drops)

    def _place(self, placed: Placed, scene: Scene, stamp_ns: int, reason: RegroundReason) -> Prompt:
        object_id = placed.object_id
        if object_id is None:
            object_id = self._targets.add(self._targets[scene.asked[0]].meaning).target.id
        instruction_id = self._targets[object_id].meaning.instruction_id
        source = Provenance("grounder", reason.value, stamp_ns, instruction_id)
        placement = Placement(placed.item.label, stamp_ns, source, placed.evidence, item_area_px(placed.item))
        self._targets.place(object_id, placement)
        return prompt_from_item(
            placed.item, object_id=object_id, stamp_ns=stamp_ns, refine=placed.refine, overrules=placed.overrules
        )

    def _name_rivals(self, concluded: Conclusion, scene: Scene) -> None:
        """All that may be meant are candidates from now on; their names follow them from frame to frame."""
        key = self._targets[scene.asked[0]].meaning.key
        group = [record.target.id for record in self._targets if record.meaning.key == key]
        boxes = [item_box_xyxy(placed.item) for placed in concluded.placed]
        known = [box for box in boxes if box is not None]
        names = rival_names(known) if len(known) == len(group) else tuple(f"number {i}" for i in group)
        if len(group) > 1:
            self._targets.change(group, lambda record: replace(record, corrected=False))
            self._targets.make_candidates(group, names)

    def _flag_conflicts(self, concluded: Conclusion, now_ns: int) -> None:
        """What answers to one target lies on another's track: that one is asked about before anything is taken."""
        for object_id, other in concluded.conflicts:
            self._targets.change((object_id,), partial(verdicts.conflicting, other=other, now_ns=now_ns))
            self._targets.change((other,), partial(verdicts.contested, by=object_id, now_ns=now_ns))

    def _deny(self, concluded: Conclusion, stamp_ns: int, now_ns: int) -> tuple[str, ...]:
        """Nothing matches what is seen: a track that something else speaks against too is given up after a while."""
        ended = []
        for object_id in concluded.denied:
            spoken_against = self._targets[object_id].suspicion is not None
            denied = partial(
                verdicts.denied, config=self._config, stamp_ns=stamp_ns, now_ns=now_ns, words=concluded.words
            )
            self._targets.change((object_id,), denied)
            if spoken_against and self._is_refuted(self._targets[object_id]):
                ends = partial(verdicts.given_up, config=self._config, now_ns=now_ns, words=concluded.words)
                self._targets.change((object_id,), ends)
                ended.append(object_id)
        return tuple(ended)

    def _is_refuted(self, record: TargetRecord) -> bool:
        return record.denials >= self._config.denials or probability_of(record.belief) < self._config.refuted

    def _hold(self, answer: Grounding, concluded: Conclusion) -> None:
        box = None if concluded.to_verify is None else item_box_xyxy(concluded.to_verify.item)
        if box is not None:
            self._on_hold = _OnHold(answer, box)


_REASONS_OF_WORDS = (RegroundReason.NEW, RegroundReason.CORRECTED)
_REASONS_FOR_ALL = (RegroundReason.SCENE_CUT, RegroundReason.STALE, RegroundReason.CORRECTED)
