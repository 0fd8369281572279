"""A question to the grounder and what became of it: for the record, and for the tracker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from referent.ports import GroundingFailure
from referent.types import Grounding, GroundingEvent, GroundingItem, Prompt


@dataclass(frozen=True, eq=False)
class Decision:
    """What an answer leads to: prompts for the tracker, tracks to drop, the event for the record, what was lost."""

    event: GroundingEvent
    prompts: tuple[Prompt, ...] = ()
    unwanted: tuple[str, ...] = ()  # ids
    drops: Mapping[str, int] = field(default_factory=dict)


def event_of(answer: Grounding | GroundingFailure, now_ns: int, outcome: str, detail: str) -> GroundingEvent:
    """The event of an answer that was taken during the frame `now_ns`."""
    items: Sequence[GroundingItem] = answer.items if isinstance(answer, Grounding) else ()
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
