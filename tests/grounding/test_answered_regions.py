"""The regions of an answer: boxes within the picture, their overlap, and what a tracker is prompted with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from asking import MIDDLE, Asking, a_box, found, seen, stamp

from referent.grounding.boxes import box_iou, mask_box_xyxy
from referent.grounding.regions import prompt_from_item
from referent.types import GroundingItem


@pytest.mark.parametrize(
    "box", [(70, 5, 90, 20), (-30, -30, -2, -2), (5, 5, 5, 20), (float("nan"), 5, 10, 20), (20, 20, 10, 10)]
)
def test_a_box_outside_the_picture_is_no_answer(box: Sequence[float]) -> None:
    asking = Asking(found(box))
    asking.say("the red block")
    asking.frame()
    assert asking.outcomes == ["discarded"]
    assert asking.decisions[0].drops == {"answer_items_dropped": 1}
    assert asking.prompts == []
    assert asking["1"].not_before_ns > stamp(0)


def test_a_box_partly_outside_is_cut_to_the_picture() -> None:
    asking = Asking(found((-10, -10, 20, 20)))
    asking.say("the red block")
    asking.frame()
    (prompt,) = asking.prompts
    assert prompt.box_xyxy is not None
    assert prompt.box_xyxy.tolist() == [0, 0, 20, 20]


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
