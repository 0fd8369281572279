"""A grounder's answers against the boxes that are right: the judge of any grounder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from referent.errors import UnreadableReply
from referent.evaluation.heldout.questions import Question, is_near_miss
from referent.evaluation.lines import Line, rounded
from referent.grounding.boxes import box_iou, mask_box_xyxy
from referent.ports import Grounder
from referent.types import Array, Grounding, GroundingItem, GroundingRequest, RegroundReason, RgbdFrame, Target, Turn

RIGHT_IOU = 0.5
NEVER = np.zeros(4, np.float32)  # overlaps nothing: an answer without extent, such as a point


@dataclass(frozen=True, eq=False)
class Answer:
    """What a grounder said; `grounding` is None when it cannot be read."""

    grounding: Grounding | None
    latency_s: float

    @property
    def boxes(self) -> tuple[Array, ...]:
        """A (4,) box for each region."""
        return () if self.grounding is None else tuple(_box_of(item) for item in self.grounding.items)

    @property
    def nothing(self) -> bool:
        """Whether it says that nothing matches."""
        return self.grounding is not None and self.grounding.nothing_reason is not None


@dataclass(frozen=True, eq=False)
class Outcome:
    """One question, and how the answer compares with the truth. Boxes are (4,) in pixels of the picture."""

    case: str
    seed: int
    kind: str
    near_miss: bool
    text: str
    history: tuple[Turn, ...]
    wanted: tuple[Array, ...]
    answered: tuple[Array, ...]
    nothing: bool  # it says that nothing matches
    parsed: bool
    found: int  # true boxes that have an answered one of IoU >= 0.5, one to one
    iou: float  # mean over the true boxes of the best matching ones; 0 when nothing is to be found
    latency_s: float

    @property
    def right(self) -> bool:
        """Exactly the right boxes, each with IoU >= 0.5; "nothing" for what is not there."""
        if not self.wanted:
            return self.nothing
        return self.found == len(self.wanted) == len(self.answered)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall of the set of boxes; of an empty set, whether nothing is said."""
        if not self.wanted:
            return float(self.right)
        return 2 * self.found / (len(self.answered) + len(self.wanted))

    @property
    def credit(self) -> float:
        """F1 where several boxes are right, else 1 for a right answer."""
        return self.f1 if len(self.wanted) > 1 else float(self.right)

    def line(self) -> Line:
        """The outcome as JSON values."""
        return {
            "case": self.case,
            "seed": self.seed,
            "kind": self.kind,
            "near_miss": self.near_miss,
            "history": [[turn.question, turn.answer] for turn in self.history],
            "text": self.text,
            "wanted_xyxy": [rounded(box) for box in self.wanted],
            "answered_xyxy": [rounded(box) for box in self.answered],
            "nothing": self.nothing,
            "parsed": self.parsed,
            "right": self.right,
            "f1": round(self.f1, 4),
            "iou": round(self.iou, 4),
            "latency_s": round(self.latency_s, 4),
        }


def ask(grounder: Grounder, frame: RgbdFrame, text: str, history: tuple[Turn, ...] = ()) -> Answer:
    """The grounder's answer. Raises GrounderUnavailable."""
    request = GroundingRequest((Target("1", text),), frame, RegroundReason.NEW, history)
    started_s = time.perf_counter()
    try:
        grounding = grounder.ground(request)
    except UnreadableReply:
        return Answer(None, time.perf_counter() - started_s)
    return Answer(grounding, time.perf_counter() - started_s)


def asked(grounder: Grounder, question: Question, *, shown: RgbdFrame | None = None) -> Outcome:
    """Ask, about `shown` in place of the question's own picture if given, and judge."""
    frame = question.picture.frame if shown is None else shown
    return judged(question, ask(grounder, frame, question.expression.text, question.history))


def judged(question: Question, answer: Answer) -> Outcome:
    """How an answer compares with the truth."""
    overlaps = [overlap for _, _, overlap in matched(question.boxes, answer.boxes)]
    return Outcome(
        case=question.case,
        seed=question.picture.seed,
        kind=question.expression.kind,
        near_miss=is_near_miss(question),
        text=question.expression.text,
        history=question.history,
        wanted=question.boxes,
        answered=answer.boxes,
        nothing=answer.nothing,
        parsed=answer.grounding is not None,
        found=sum(overlap >= RIGHT_IOU for overlap in overlaps),
        iou=sum(overlaps) / len(question.boxes) if question.boxes else 0.0,
        latency_s=answer.latency_s,
    )


def matched(truth: Sequence[Array], boxes: Sequence[Array]) -> list[tuple[int, int, float]]:
    """(true, answered, IoU) one to one: as many as possible with IoU >= 0.5, then as much overlap as possible."""
    overlaps = np.array([[box_iou(a, b) for b in boxes] for a in truth]).reshape(len(truth), len(boxes))
    worth = overlaps + (overlaps >= RIGHT_IOU) * (1 + min(overlaps.shape))
    rows, columns = linear_sum_assignment(-worth)
    return [(int(i), int(j), float(overlaps[i, j])) for i, j in zip(rows, columns, strict=True)]


def _box_of(item: GroundingItem) -> Array:
    if item.box_xyxy is not None:
        return item.box_xyxy
    box = None if item.mask is None else mask_box_xyxy(item.mask)
    return NEVER if box is None else box
