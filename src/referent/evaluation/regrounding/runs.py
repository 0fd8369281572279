"""One episode through the pipeline under one policy and one latency of the grounder, held against the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from referent.config import Config
from referent.errors import UnreadableReply
from referent.evaluation.regrounding.episodes import Played
from referent.grounding.boxes import box_iou, mask_box_xyxy
from referent.grounding.workers import ReplayWorker
from referent.pipeline import Pipeline
from referent.ports import Grounder
from referent.tracking.build import Engine
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, FrameResult, Grounding, GroundingRequest
from referent.weights import resolve

RIGHT_IOU = 0.5
NOTHING, ELSEWHERE = 0, -1  # what a mask is mostly on, beside instance ids: there is none; the background
NOT_THERE_SHARE = 0.05  # of the target's silhouette: what shows less cannot be found


@dataclass(frozen=True, eq=False)
class Run:
    """What became of an episode; one entry per frame."""

    policy: str
    latency_s: float
    overlaps: Array  # (T,) IoU of what is published with the target; 1 where there is neither
    on: Array  # (T,) the instance that what is published is mostly on, or NOTHING, ELSEWHERE
    verified: Array  # (T,) bool: what is published was just verified
    questions: int
    surenesses: tuple[tuple[float, bool], ...]  # of what was answered: how probable the grounder said it is, was it so


@dataclass(eq=False)
class Witness:
    """A grounder whose answers are held against the truth as they come, and whose questions are counted."""

    grounder: Grounder
    played: Played
    questions: int = 0
    surenesses: list[tuple[float, bool]] = field(default_factory=list)

    def ground(self, request: GroundingRequest) -> Grounding:
        """The grounder's answer. Raises what it raises."""
        self.questions += 1
        try:
            answer = self.grounder.ground(request)
        except UnreadableReply:
            self.surenesses.append((0.0, False))
            raise
        self._note(answer)
        return answer

    def close(self) -> None:
        """The grounder goes on: it serves the next run too."""

    def _note(self, answer: Grounding) -> None:
        if answer.request.kind != "ground":
            return
        played = self.played
        number = next(i for i, f in enumerate(played.frames) if f.stamp_ns == answer.request.frame.stamp_ns)
        truth = mask_box_xyxy(played.instance_ids[number] == played.target)
        if not answer.items and answer.nothing_score is not None:
            self.surenesses.append((answer.nothing_score, bool(played.seen_share[number] < NOT_THERE_SHARE)))
        for item in answer.items:
            if item.score is not None and item.box_xyxy is not None:
                right = truth is not None and box_iou(item.box_xyxy, truth) >= RIGHT_IOU
                self.surenesses.append((item.score, bool(right)))


def run_episode(
    played: Played,
    config: Config,
    grounder: Grounder,
    *,
    policy: str,
    latency_s: float,
    adapt_engine: Callable[[Engine], Engine],
) -> Run:
    """Follow the target from the first frame to the last. Raises WeightsMissing."""
    witness = Witness(grounder, played)
    tracker = Sam2Tracker(config.tracker, resolve(config.tracker.model), adapt_engine=adapt_engine)
    worker = ReplayWorker(witness, latency_ns=round(latency_s * 1e9))
    pipeline = Pipeline(config, tracker=tracker, worker=worker)
    try:
        pipeline.instruct(played.expression)
        seen = _Seen(played)
        for frame in played.frames:
            seen.add(pipeline.process(frame))
    finally:
        pipeline.close()
    return Run(
        policy=policy,
        latency_s=latency_s,
        overlaps=np.array(seen.overlaps),
        on=np.array(seen.on),
        verified=np.array(seen.verified),
        questions=witness.questions,
        surenesses=tuple(witness.surenesses),
    )


class _Seen:
    """Compares what is published with the truth, frame by frame."""

    def __init__(self, played: Played) -> None:
        self._played = played
        self._newest_verified_ns = 0
        self.overlaps: list[float] = []
        self.on: list[int] = []
        self.verified: list[bool] = []

    def add(self, result: FrameResult) -> None:
        ids = self._played.instance_ids[len(self.overlaps)]
        published = np.zeros(ids.shape, bool)
        for thing in result.objects:  # several that may be meant count together
            if thing.mask is not None:
                published |= thing.mask.mask
        self.overlaps.append(_iou(published, ids == self._played.target))
        self.on.append(mostly_on(published, ids))
        newest_ns = max((thing.verified_stamp_ns or 0 for thing in result.objects), default=0)
        self.verified.append(newest_ns > self._newest_verified_ns)
        self._newest_verified_ns = newest_ns


def mostly_on(mask: Array, instance_ids: Array) -> int:
    """The instance that most of a mask (H, W) lies on; ELSEWHERE for the background, NOTHING for an empty mask."""
    if not mask.any():
        return NOTHING
    return int(np.bincount(instance_ids[mask]).argmax()) or ELSEWHERE


def _iou(mask: Array, truth: Array) -> float:
    union = int((mask | truth).sum())
    return 1.0 if union == 0 else int((mask & truth).sum()) / union
