"""A supervisor with a scripted worker, frame by frame: what tests of the loop share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from doubles import ScriptedWorker
from painted import FRAME_NS, painted

from referent.config import GroundingConfig
from referent.grounding.events import Decision
from referent.grounding.records import TargetRecord
from referent.grounding.supervisor import GroundingSupervisor
from referent.ports import GroundingFailure, PromptOutcome
from referent.types import (
    Array,
    Grounding,
    GroundingItem,
    GroundingRequest,
    Prompt,
    TrackedMask,
    TrackHealth,
    TrackState,
)

Box = tuple[int, int, int, int]
Answer = Callable[[GroundingRequest], Grounding | GroundingFailure]
LEFT, RIGHT, MIDDLE, BELOW = (2, 2, 12, 12), (40, 2, 50, 12), (20, 20, 30, 30), (2, 34, 12, 44)


def stamp(number: float) -> int:
    """The stamp of a painted frame."""
    return 1_000_000_000 + round(number * FRAME_NS)


def a_box(xyxy: Sequence[float]) -> Array:
    return np.array(xyxy, np.float32)


def found(*boxes: Sequence[float], score: float | None = None, words: str = "the answer") -> Answer:
    items = tuple(GroundingItem("block", box_xyxy=a_box(box), score=score) for box in boxes)
    return lambda request: Grounding(request, items, raw=words)


def nothing(score: float | None = None) -> Answer:
    return lambda request: Grounding(request, (), nothing_reason="none in view", nothing_score=score)


def failed(request: GroundingRequest) -> GroundingFailure:
    return GroundingFailure(request, "server said 500")


def seen(object_id: str, box: Box, *, score: float = 0.9, health: TrackHealth | None = None) -> TrackedMask:
    mask = np.zeros((48, 64), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return TrackedMask(object_id, mask, score, 0.9, 5.0, health)


def unseen(object_id: str) -> TrackedMask:
    return TrackedMask(object_id, np.zeros((48, 64), bool), 0.0, 0.5, -5.0)


class Asking:
    """One supervisor; masks are whatever the test says, prompts are taken as they come unless `outcome` says else."""

    def __init__(self, *answers: Answer, delay_frames: int = 0, max_objects: int = 16, **settings: object) -> None:
        self.worker = ScriptedWorker(answers, delay_ns=delay_frames * FRAME_NS)
        impatient = {"lost_after_frames": 2, "doubt_patience_s": 0.0, "lost_patience_s": 0.0}
        config = GroundingConfig(**{**impatient, **settings})  # type: ignore[arg-type]
        self.supervisor = GroundingSupervisor(config, self.worker, max_objects=max_objects)
        self.decisions: list[Decision] = []
        self.prompts: list[Prompt] = []
        self.outcome, self.hidden_frames = "committed", 0  # what becomes of prompts
        self.picture: Mapping[str, Box] = {}  # what is painted in the frames to come
        self.number = -1

    def say(self, instruction: str) -> tuple[str, ...]:
        unwanted = self.supervisor.instruct(instruction)
        self.supervisor.cancel_outdated()
        return unwanted

    def frame(self, where: Mapping[str, Box | None] | None = None, **fields: object) -> Asking:
        """One frame later, with these objects seen there (None = not seen; the rest LEFT); `fields` as of `seen`."""
        self.number += 1
        now_ns = stamp(self.number)

        def masks() -> list[TrackedMask]:
            tracked = [r for r in self.supervisor.records if r.state is not TrackState.SEARCHING]
            followed = [r.target.id for r in tracked]
            boxes = {i: (where or {}).get(i, LEFT) for i in followed}
            return [unseen(i) if box is None else seen(i, box, **fields) for i, box in boxes.items()]  # type: ignore[arg-type]

        self._take(now_ns, masks())
        self.supervisor.observe(masks(), now_ns)
        asked = self.supervisor.ask_if_needed(painted(self.number, self.picture), masks())
        if asked is not None and self._take(now_ns, masks()):
            self.supervisor.observe(masks(), now_ns)
        return self

    def frames(self, count: int, where: Mapping[str, Box | None] | None = None, **fields: object) -> Asking:
        for _ in range(count):
            self.frame(where, **fields)
        return self

    def __getitem__(self, object_id: str) -> TargetRecord:
        return next(record for record in self.supervisor.records if record.target.id == object_id)

    @property
    def ids(self) -> list[str]:
        return [record.target.id for record in self.supervisor.records]

    @property
    def states(self) -> list[TrackState]:
        return [record.state for record in self.supervisor.records]

    @property
    def outcomes(self) -> list[str]:
        return [decision.event.outcome for decision in self.decisions]

    @property
    def reasons(self) -> list[str]:
        return [request.reason.value for request in self.worker.asked]

    def _take(self, now_ns: int, masks: Sequence[TrackedMask]) -> bool:
        answer = self.supervisor.poll(now_ns)
        if answer is None:
            return False
        decision = self.supervisor.decide(answer, now_ns, masks)
        self.decisions.append(decision)
        self.prompts += decision.prompts
        for prompt in decision.prompts:
            told = PromptOutcome(
                prompt.object_id, prompt.stamp_ns, self.outcome, now_ns, hidden_frames=self.hidden_frames
            )
            self.supervisor.settle(told)
        return True


def one_block(*later: Answer, expression: str = "the red block", **settings: object) -> Asking:
    """One object, found on the left in frame 0 and tracked there."""
    asking = Asking(found(LEFT), *later, **settings)  # type: ignore[arg-type]
    asking.say(expression)
    asking.frame()
    return asking.frame({"1": LEFT})


def two_blocks(*later: Answer, **settings: object) -> Asking:
    """Two objects of one expression, tracked; the second one then gets lost."""
    asking = Asking(found(LEFT, RIGHT), *later, **settings)  # type: ignore[arg-type]
    asking.say("the blocks")
    asking.frame()
    assert asking.outcomes == ["found"]
    return asking.frames(2, {"1": LEFT, "2": None})
