"""The supervisor: answers are matched with tracks as they were at the question's frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from doubles import ScriptedWorker
from painted import painted

from referent.config import GroundingConfig
from referent.grounding.boxes import box_iou, mask_box_xyxy
from referent.grounding.supervisor import GroundingSupervisor, prompt_from_item
from referent.types import (
    Array,
    Grounding,
    GroundingItem,
    GroundingRequest,
    PromptOutcome,
    RegroundReason,
    TrackedMask,
    TrackState,
)

LEFT, RIGHT, MIDDLE = (2, 2, 12, 12), (40, 2, 50, 12), (20, 20, 30, 30)
Answer = Callable[[GroundingRequest], Grounding]


def a_box(xyxy: Sequence[float]) -> Array:
    return np.array(xyxy, np.float32)


def found(*boxes: Sequence[float]) -> Answer:
    items = tuple(GroundingItem("block", box_xyxy=a_box(box)) for box in boxes)
    return lambda request: Grounding(request, items)


def seen(object_id: str, box: tuple[int, int, int, int]) -> TrackedMask:
    mask = np.zeros((48, 64), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return TrackedMask(object_id, mask, 0.9, 0.9, 5.0)


def unseen(object_id: str) -> TrackedMask:
    return TrackedMask(object_id, np.zeros((48, 64), bool), 0.0, 0.5, -5.0)


def a_supervisor(*answers: Answer) -> tuple[GroundingSupervisor, ScriptedWorker]:
    worker = ScriptedWorker(answers)
    return GroundingSupervisor(GroundingConfig(lost_after_frames=2), worker, max_objects=3), worker


def take_answer(supervisor: GroundingSupervisor, now_ns: int) -> tuple[list[str], str]:
    answer = supervisor.poll(now_ns)
    assert answer is not None
    decision = supervisor.decide(answer, now_ns)
    for prompt in decision.prompts:
        supervisor.settle(PromptOutcome(prompt.object_id, prompt.stamp_ns, "committed", now_ns))
    return [prompt.object_id for prompt in decision.prompts], decision.event.outcome


def two_blocks(*later: Answer) -> tuple[GroundingSupervisor, ScriptedWorker]:
    """Two objects of one expression, tracked; the second one then gets lost."""
    supervisor, worker = a_supervisor(found(LEFT, RIGHT), *later)
    supervisor.instruct("the blocks")
    supervisor.ask_if_needed(painted(0, {}), ())
    assert take_answer(supervisor, painted(0, {}).stamp_ns) == (["1", "2"], "found")
    for _ in range(2):
        supervisor.observe([seen("1", LEFT), unseen("2")])
    assert [record.state for record in supervisor.records] == [TrackState.TRACKING, TrackState.LOST]
    return supervisor, worker


def test_an_item_that_agrees_with_a_live_track_verifies_it_and_prompts_nothing() -> None:
    supervisor, worker = two_blocks(found(LEFT))
    supervisor.ask_if_needed(painted(5, {}), [seen("1", LEFT), unseen("2")])
    assert worker.asked[1].reason is RegroundReason.LOST
    assert [target.id for target in worker.asked[1].targets] == ["2"]
    assert [track.id for track in worker.asked[1].tracks] == ["1"]
    assert take_answer(supervisor, painted(6, {}).stamp_ns) == ([], "confirmed")
    assert supervisor.records[0].verified_stamp_ns == painted(5, {}).stamp_ns
    assert supervisor.records[1].state is TrackState.LOST


def test_the_lost_one_gets_the_item_that_no_live_track_explains_and_keeps_its_id() -> None:
    supervisor, _ = two_blocks(found(LEFT, MIDDLE))
    supervisor.ask_if_needed(painted(5, {}), [seen("1", LEFT), unseen("2")])
    assert take_answer(supervisor, painted(6, {}).stamp_ns) == (["2"], "found")


def test_looking_for_a_lost_one_never_adds_objects() -> None:
    supervisor, _ = two_blocks(found(LEFT, MIDDLE, RIGHT))
    supervisor.ask_if_needed(painted(5, {}), [seen("1", LEFT), unseen("2")])
    take_answer(supervisor, painted(6, {}).stamp_ns)
    assert [record.target.id for record in supervisor.records] == ["1", "2"]


def test_no_more_objects_than_allowed_are_followed() -> None:
    supervisor, _ = a_supervisor(found(LEFT, RIGHT, MIDDLE, (2, 30, 12, 40)))
    supervisor.instruct("the blocks")
    supervisor.ask_if_needed(painted(0, {}), ())
    assert take_answer(supervisor, 10**10)[0] == ["1", "2", "3"]


def test_one_question_at_a_time_and_cancelling_forgets_it() -> None:
    supervisor, worker = a_supervisor(found(LEFT), found(RIGHT))
    supervisor.instruct("the block")
    asked = supervisor.ask_if_needed(painted(0, {}), ())
    assert supervisor.ask_if_needed(painted(1, {}), ()) is None
    assert supervisor.cancel() is asked
    assert supervisor.cancel() is None
    assert worker.cancelled == 1
    assert supervisor.poll(10**10) is None


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 50 / 150),
        ((0, 0, 10, 10), (20, 20, 30, 30), 0.0),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0.0),
    ],
)
def test_box_iou(a: Sequence[float], b: Sequence[float], iou: float) -> None:
    assert box_iou(a_box(a), a_box(b)) == pytest.approx(iou)


def test_the_box_of_a_mask_is_tight_and_of_none_is_none() -> None:
    assert tuple(mask_box_xyxy(seen("1", MIDDLE).mask)) == MIDDLE  # type: ignore[arg-type]
    assert mask_box_xyxy(np.zeros((4, 4), bool)) is None


def test_points_of_a_grounder_are_positive_clicks() -> None:
    item = GroundingItem("block", points_xy=np.array([[3, 4], [5, 6]], np.float32))
    prompt = prompt_from_item(item, object_id="1", stamp_ns=7)
    assert prompt.point_labels is not None
    assert prompt.point_labels.tolist() == [1, 1]
