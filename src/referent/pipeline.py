"""The hall: one frame through all rooms. Read `Pipeline.process` first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np

from referent.config import Config
from referent.errors import BadInstruction, BadMessage, FrameExpired, StalePrompt, TransformUnavailable
from referent.frames.transforms import TransformBuffer
from referent.geometry.poses import sensor_covariance
from referent.geometry.tracks import PoseTracks
from referent.grounding.records import TargetRecord
from referent.grounding.regions import GivenRegion
from referent.grounding.shared_worker import SharedWorker
from referent.grounding.supervisor import GroundingSupervisor
from referent.grounding.workers import Answer
from referent.ports import Tracker, Worker
from referent.types import (
    Array,
    FrameResult,
    GroundingEvent,
    GroundingRequest,
    ObjectPose,
    Prompt,
    RgbdFrame,
    TrackedMask,
    TrackedObject,
    TrackState,
)

REFUSALS = {  # why the tracker may not take an answer, and how it is counted
    FrameExpired: "answers_too_late",
    StalePrompt: "answers_stale",
    BadInstruction: "answers_unusable",
}


class Pipeline:
    """Everything that happens to a frame. Belongs to one thread; frames come in order of time."""

    def __init__(
        self, config: Config, *, tracker: Tracker, worker: Worker, transforms: TransformBuffer | None = None
    ) -> None:
        self._config = config
        self._tracker = tracker
        self._worker = SharedWorker(worker)
        self._supervisor = GroundingSupervisor(config.grounding, self._worker, max_objects=config.tracker.max_objects)
        self.numbering = self._supervisor.numbering
        self._transforms = transforms
        self._poses = PoseTracks(config.geometry)
        self._output_covariance = sensor_covariance(config.output.camera_sigma_m, config.output.camera_sigma_deg)
        self._pending_boxes: list[tuple[str, Array]] = []
        self._newest_ns: int | None = None
        self._newest_masks: Mapping[str, TrackedMask] = {}
        self._drops: Counter[str] = Counter()

    def process(self, frame: RgbdFrame) -> FrameResult:
        """The answer for `frame`. Raises BadMessage when the frame was already processed."""
        clock = _Stopwatch()
        self._check_time(frame.stamp_ns)
        masks = {mask.object_id: mask for mask in self._tracker.step(frame)}
        self._follow_given_boxes(frame.stamp_ns, masks)
        self._settle()
        clock.lap("track")
        events = self._take_answer(frame.stamp_ns, masks)
        self._supervisor.observe(tuple(masks.values()), frame.stamp_ns)
        events += self._ask(frame, masks)
        self._newest_masks = masks
        clock.lap("ground")
        world_from_camera = self._lookup(self._config.output.world_frame, frame.camera_frame, frame.stamp_ns)
        objects = tuple(self._located(record, frame, masks, world_from_camera) for record in self._supervisor.records)
        output_from_camera = self._lookup(self._config.output.frame, frame.camera_frame, frame.stamp_ns)
        clock.lap("locate")
        return FrameResult(
            stamp_ns=frame.stamp_ns,
            camera_frame=frame.camera_frame,
            objects=objects,
            timings_s=clock.laps(),
            drops=dict(self._drops),
            groundings=tuple(events),
            output_frame=self._config.output.frame,
            output_from_camera=output_from_camera,
            output_covariance=self._output_covariance,
            grounder=self._worker.health,
        )

    def prefetch(self, frame: RgbdFrame) -> None:
        """Begin with a frame that will be processed next, if that costs the present one nothing."""
        self._tracker.prefetch(frame)

    def instruct(self, instruction: str) -> None:
        """Take an instruction in the context of what was said before, from the next frame on. Raises BadInstruction."""
        self._abandon(self._supervisor.instruct(instruction))

    def follow_box(self, expression: str, box_xyxy: Array) -> None:
        """Follow what is inside this box of the next frame; no grounder is asked."""
        self._pending_boxes.append((expression, np.asarray(box_xyxy, np.float32)))

    def follow(self, instruction: str) -> tuple[str, ...]:
        """Take a goal: it replaces all that is followed, or adds; the ids it is about. Raises BadInstruction."""
        followed, unwanted = self._supervisor.follow(instruction)
        self._abandon(unwanted)
        return followed

    def correct(
        self, object_id: str, *, text: str = "", region: GivenRegion | None = None, stamp_ns: int | None = None
    ) -> TrackState:
        """What is followed as one object is wrong: say in words, or show in a frame (None: the newest), what is meant.

        Returns the object's state from here on. Raises BadInstruction, and changes no track, when that cannot be done.
        """
        if bool(text) == (region is not None):
            raise BadInstruction("say what is meant by words, points, a box or a mask; exactly one of them")
        if region is None:
            self._abandon(self._supervisor.correct(object_id, text))
        else:
            self._point_out(object_id, region, stamp_ns)
        return next(record.state for record in self._supervisor.records if record.target.id == object_id)

    def reground(self, object_id: str = "") -> tuple[str, ...]:
        """Ask about one target, or all, with the next frame; returns their ids. Raises BadInstruction."""
        return self._supervisor.reground(object_id)

    def ask_aside(self, request: GroundingRequest) -> Future[Answer]:
        """Ask the grounder something that is about no target; answered while frames come, or `wait_aside` is called.

        Raises GrounderUnavailable.
        """
        return self._worker.ask_aside(request)

    def wait_aside(self) -> None:
        """Let questions from beside go on though no frame came."""
        if not self._supervisor.asking:
            self._worker.poll(self._newest_ns or 0)

    def reconfigure(self, config: Config) -> None:
        """Go on with other settings; only those that `config.is_live` says may differ."""
        self._config = config
        self._supervisor.reconfigure(config.grounding)

    def forget(self, object_id: str) -> bool:
        """Stop following one target; False when there is none of that id."""
        known = self._supervisor.forget(object_id)
        self._drop_tracks((object_id,))
        return known

    def reset(self) -> None:
        """Look for nothing and follow nothing."""
        self._abandon(self._supervisor.clear())
        self._tracker.reset()
        self._poses.clear()

    def close(self) -> None:
        """Free the models."""
        self._supervisor.close()
        self._tracker.reset()

    def _point_out(self, object_id: str, region: GivenRegion, stamp_ns: int | None) -> None:
        if self._newest_ns is None:
            raise BadInstruction("no picture has come yet in which something could be shown")
        at_ns = self._newest_ns if stamp_ns is None else stamp_ns
        seen = self._newest_masks.get(object_id)
        refine = at_ns == self._newest_ns and seen is not None and region.refines(seen.mask)
        prompt, rivals = self._supervisor.point_out(object_id, region, at_ns, refine=refine)
        self._tracker.pin(self._newest_ns)  # so that the track can be refined there
        try:
            refusal = self._refusal(prompt, {})
        finally:
            self._tracker.release(self._newest_ns)
        self._abandon(rivals)
        self._settle()
        if refusal is not None:
            raise BadInstruction(refusal)

    def _check_time(self, stamp_ns: int) -> None:
        if stamp_ns == self._newest_ns:
            raise BadMessage(f"the frame at {stamp_ns} ns came twice")
        if self._newest_ns is not None and stamp_ns < self._newest_ns:
            self._drops["time_jumps"] += 1
            self._abandon(self._supervisor.search_again())
            self._tracker.reset()
            self._poses.clear()
        self._newest_ns = stamp_ns

    def _follow_given_boxes(self, stamp_ns: int, masks: dict[str, TrackedMask]) -> None:
        prompts = [self._supervisor.follow_box(text, box, stamp_ns) for text, box in self._pending_boxes]
        self._pending_boxes.clear()
        for prompt in prompts:
            self._prompt(prompt, masks)

    def _take_answer(self, now_ns: int, masks: dict[str, TrackedMask]) -> list[GroundingEvent]:
        """Apply the grounder's answer, if it is in, to the frame it is about; `masks` is brought up to date."""
        answer = self._supervisor.poll(now_ns)
        if answer is None:
            return []
        decision = self._supervisor.decide(answer, now_ns, tuple(masks.values()))
        self._drops.update(decision.drops)
        self._drop_tracks(decision.unwanted)
        for object_id in decision.unwanted:
            masks.pop(object_id, None)
        try:
            refusals = [why for prompt in decision.prompts if (why := self._refusal(prompt, masks)) is not None]
        finally:
            self._tracker.release(answer.request.frame.stamp_ns)
        self._settle()
        if refusals and len(refusals) == len(decision.prompts):
            return [replace(decision.event, outcome="discarded", detail=refusals[0])]
        return [decision.event]

    def _refusal(self, prompt: Prompt, masks: dict[str, TrackedMask]) -> str | None:
        """Give an answer's prompt to the tracker; says why when the tracker does not take it, which is counted."""
        try:
            self._prompt(prompt, masks)
        except tuple(REFUSALS) as error:
            self._drops[REFUSALS[type(error)]] += 1
            self._supervisor.withdraw(prompt.object_id, str(error))
            return str(error)
        return None

    def _prompt(self, prompt: Prompt, masks: dict[str, TrackedMask]) -> None:
        mask = self._tracker.prompt(prompt)
        if mask is not None:  # else it catches up during the next frames
            masks[prompt.object_id] = mask

    def _settle(self) -> None:
        """Pass on what became of prompts, those of earlier frames too."""
        for outcome in self._tracker.take_outcomes():
            if outcome.outcome == "rejected":
                self._drops["corrections_rejected"] += 1
            if outcome.outcome == "committed":  # the mask is another one now, maybe of another object
                self._poses.restart(outcome.object_id)
            self._supervisor.settle(outcome)

    def _ask(self, frame: RgbdFrame, masks: dict[str, TrackedMask]) -> list[GroundingEvent]:
        """Put the question the policy wants, if any; an answer that takes no time is applied at once."""
        request = self._supervisor.ask_if_needed(frame, tuple(masks.values()))
        if request is None:
            return []
        self._tracker.pin(request.frame.stamp_ns)
        events = self._take_answer(frame.stamp_ns, masks)
        if events:
            self._supervisor.observe(tuple(masks.values()), frame.stamp_ns)
        return events

    def _located(
        self, record: TargetRecord, frame: RgbdFrame, masks: Mapping[str, TrackedMask], world_from_camera: Array | None
    ) -> TrackedObject:
        mask = masks.get(record.target.id)
        pose = None if mask is None else self._pose(record, frame, mask, world_from_camera)
        return TrackedObject(
            target=record.target,
            label=record.label,
            state=record.state,
            mask=mask,
            pose=pose,
            grounded_stamp_ns=record.grounded_stamp_ns,
            verified_stamp_ns=record.verified_stamp_ns,
            reason=record.reason,
            candidates=record.candidates,
            created=record.created,
            changed=record.changed,
            grounding_score=record.grounding_score,
        )

    def _pose(
        self, record: TargetRecord, frame: RgbdFrame, mask: TrackedMask, world_from_camera: Array | None
    ) -> ObjectPose | None:
        if frame.depth_m is None or not mask.mask.any():
            return None
        return self._poses.step(
            record.target.id,
            record.label,
            frame,
            mask.mask,
            up_in_camera=None if world_from_camera is None else world_from_camera[2, :3],
            fixed_from_camera=world_from_camera,
        )

    def _lookup(self, target: str, source: str, stamp_ns: int) -> Array | None:
        """The transform at the stamp; None when it is not asked for or not known (counted)."""
        if not target or not source:
            return None
        try:
            if self._transforms is None:
                raise TransformUnavailable(f"no transforms are known from {source} to {target}")
            return self._transforms.lookup(target, source, stamp_ns)
        except TransformUnavailable:
            self._drops["transform_unavailable"] += 1
            return None

    def _abandon(self, object_ids: Sequence[str]) -> None:
        cancelled = self._supervisor.cancel_outdated()
        if cancelled is not None:
            self._tracker.release(cancelled.frame.stamp_ns)
        self._drop_tracks(object_ids)

    def _drop_tracks(self, object_ids: Sequence[str]) -> None:
        for object_id in object_ids:
            self._tracker.forget(object_id)
            self._poses.forget(object_id)


class _Stopwatch:
    """Seconds between laps, and in all; for reporting only, nothing depends on it."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name], self._last = now - self._last, now

    def laps(self) -> dict[str, float]:
        return {**self._laps, "total": time.perf_counter() - self._started}
