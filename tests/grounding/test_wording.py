"""What the words of an expression tell by themselves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from asking import BELOW, LEFT, MIDDLE, RIGHT, Box, a_box

from referent.grounding.wording import chosen_name, is_lasting, rival_names, wants_one, which_one


@pytest.mark.parametrize(
    "expression",
    [
        "the red mug",
        "a red mug",
        "red mug",
        "pick up the red block",
        "the glass with stripes",
        "the mug next to the bowls",
        "the mug that has two handles"[:12],
        "the scissors",
        "the handle of the blue mug",
        "",
    ],
)
def test_one_is_wanted(expression: str) -> None:
    assert wants_one(expression)


@pytest.mark.parametrize(
    "expression",
    ["the red mugs", "all mugs", "both cups", "two mugs", "every red thing", "find the mugs on the table", "boxes"],
)
def test_several_are_wanted(expression: str) -> None:
    assert not wants_one(expression)


@pytest.mark.parametrize(
    ("expression", "lasting"),
    [
        ("the red mug", True),
        ("the large striped bottle", True),
        ("the left one", False),
        ("the mug next to the bowl", False),
        ("the second bottle from the left", False),
        ("the other one", False),
        ("the nearest cup", False),
    ],
)
def test_words_about_places_and_orders_do_not_last(expression: str, lasting: bool) -> None:
    assert is_lasting(expression) == lasting


@pytest.mark.parametrize(
    ("boxes", "names"),
    [
        ([RIGHT, LEFT], ("right one", "left one")),
        ([LEFT, BELOW], ("upper one", "lower one")),
        ([MIDDLE, RIGHT, LEFT], ("middle one", "right one", "left one")),
        ([LEFT], ("only one",)),
        ([], ()),
    ],
)
def test_rivals_are_named_by_how_they_lie(boxes: Sequence[Box], names: tuple[str, ...]) -> None:
    assert rival_names([a_box(box) for box in boxes]) == names


def test_many_rivals_are_counted() -> None:
    boxes = [a_box((x, 0, x + 4, 4)) for x in range(0, 60, 6)]
    names = rival_names(boxes)
    assert names[0] == "first from the left"
    assert names[7:] == ("eighth from the left", "number 9 from the left", "number 10 from the left")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("the left one", 0),
        ("left", 0),
        ("the one on the right", 1),
        ("the right mug, please", 1),
        ("no, I meant the left red mug", 0),
        ("the other one", None),
        ("the one left of the bowl", None),
        ("it", None),
    ],
)
def test_a_name_is_understood_only_when_it_is_certain(said: str, chosen: int | None) -> None:
    assert chosen_name(said, ("left one", "right one"), known="the red mug") == chosen


def test_the_question_to_a_person() -> None:
    assert which_one("the red mug", ("left one", "right one")) == "2 match 'the red mug': left one or right one?"
    three = which_one("the mug", ("left one", "middle one", "right one"))
    assert three == "3 match 'the mug': left one, middle one or right one?"
