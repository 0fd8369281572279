"""Phrases against what things were called: how people ask, what contradicts, what words cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightings import FIXED_FROM_CAMERA, START_NS, Thing, a_frame, a_result

from referent.config import MemoryConfig
from referent.memory import ObjectMemory, Remembered, box_in_crop, match_by_model
from referent.memory.matching import match_score
from referent.memory.words import may_be_same, names_after, saying
from referent.types import Array

RED_MUG = ("red mug", "the red mug next to the kettle")


@pytest.mark.parametrize(
    "phrase",
    [
        "red mug",
        "the red mug",
        "Where is the red mug?",
        "where's my red mug",
        "where did you last see the red mug",
        "have you seen any red mugs",
        "go to the red mug",
        "please take me to the red mug!",
        "find me a mug",
        "mugs",
        "the red one",
        "something red",
        "RED MUG",
        "the bright red mug",
        "the red mug next to the kettle",
        "",
        "everything",
    ],
)
def test_a_red_mug_is_found_however_it_is_asked_for(phrase: str) -> None:
    assert match_score(phrase, RED_MUG) == 1.0


@pytest.mark.parametrize(
    "phrase", ["blue mug", "the red bowl", "kettle", "the blue one", "something green", "can", "where is the can?"]
)
def test_what_contradicts_does_not_match(phrase: str) -> None:
    assert match_score(phrase, RED_MUG) == 0.0


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("the large box", "small box"),
        ("a wooden spoon", "metal spoon"),
        ("striped mug", "plain mug"),
        ("the tall glass", "short glass"),
        ("the gray and blue jar", "red jar"),
        ("shiny can", "matte can"),
    ],
)
def test_every_kind_of_attribute_can_contradict(phrase: str, name: str) -> None:
    assert match_score(phrase, [name]) == 0.0
    assert not may_be_same([phrase], [name])


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("little grey boxes", "small gray box"),
        ("the wood block", "wooden block"),
        ("big couch", "large sofa"),
        ("the knives", "knife"),
        ("a pair of scissors", "scissors"),
        ("the white cup", "red and white striped cup"),
        ("cup of tea", "cup"),
        ("the orange", "orange"),
        ("glasses", "glass"),
        ("where can I find the can", "can"),
        ("berries", "berry"),
    ],
)
def test_other_words_for_the_same_match(phrase: str, name: str) -> None:
    assert match_score(phrase, [name]) > 0.5


def test_what_is_confirmed_ranks_above_what_is_only_possible() -> None:
    names = {"exact": ["red mug"], "possible": ["mug"], "wrong": ["blue mug"]}
    scores = {kind: match_score("red mug", said) for kind, said in names.items()}
    assert scores["exact"] == 1.0
    assert 0.5 < scores["possible"] < 1.0
    assert scores["wrong"] == 0.0


def test_where_a_thing_stands_or_what_it_is_for_is_not_confirmed_by_words() -> None:
    assert 0 < match_score("the red mug on the shelf", ["red mug"]) < 1
    assert match_score("something to drink from", ["red mug"]) == 0.0
    assert match_score("what is on the table", ["red mug"]) == 0.0


def test_a_kettle_that_a_mug_stood_by_makes_no_mug_a_kettle() -> None:
    assert saying("the red mug next to the blue kettle").attributes == (("color", frozenset({"red"})),)
    assert match_score("kettle", ["the mug next to the kettle"]) == 0.0


def test_newer_names_drop_older_ones_that_contradict_and_keep_what_they_leave_open() -> None:
    assert names_after(["red mug", "mug"], ["orange mug"]) == ("orange mug", "mug")
    assert names_after(["red mug"], ["mug"]) == ("mug", "red mug")
    many = names_after([f"mug number {n}" for n in range(50)], ["mug"])
    assert (len(many), many[0]) == (8, "mug")


@given(st.text(max_size=200), st.lists(st.text(max_size=50), max_size=4))
def test_any_text_gives_a_score_between_none_and_all(phrase: str, names: list[str]) -> None:
    assert 0 <= match_score(phrase, names) <= 1


@given(st.text(min_size=1, max_size=60))
def test_every_name_matches_itself(name: str) -> None:
    assert match_score(name, [name]) > 0 or not saying(name).head


def remembered_things() -> list[Remembered]:
    memory = ObjectMemory(None, MemoryConfig())
    things = [Thing(str(n), (2, n, 0.8), f"thing {n}", f"thing {n}", score=0.9 - n / 100, column=n) for n in range(6)]
    memory.remember(a_result(things), a_frame(), FIXED_FROM_CAMERA)
    return memory.find(now_ns=START_NS)


def redness(picture: Array, phrase: str) -> float:
    """A model that knows one phrase, "very red", and sees what is in the middle half of the picture."""
    assert phrase == "very red"
    x1, y1, x2, y2 = box_in_crop(picture).round().astype(int)
    return float(picture[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2, 0].mean() / 150)


def test_an_open_phrase_is_matched_by_what_the_model_sees_in_the_pictures() -> None:
    found = match_by_model("very red", remembered_things(), redness)
    assert [known.label for known in found] == ["thing 5", "thing 4", "thing 3"]
    assert [known.match for known in found] == pytest.approx([1.0, 0.8, 0.6], abs=0.04)


def test_the_model_is_shown_no_more_pictures_than_allowed() -> None:
    shown: list[Array] = []

    def ask(picture: Array, phrase: str) -> float:
        shown.append(picture)
        return 1.0

    assert len(match_by_model("anything at all", remembered_things(), ask, most=2)) == 2
    assert len(shown) == 2
    assert all(picture.dtype == np.uint8 and picture.shape[2] == 3 for picture in shown)


def test_those_are_shown_first_for_which_words_speak() -> None:
    names = ["blue mug", "pen", "red bowl", "red cup"]
    known = [replace(thing, label=name, expression="") for thing, name in zip(remembered_things(), names, strict=False)]
    shown = match_by_model("the red cup", known, lambda picture, phrase: 1.0, most=4)
    assert [answer.label for answer in shown] == ["red cup", "red bowl", "pen", "blue mug"]


def test_without_an_answer_words_decide_and_without_a_picture_nothing_is_asked() -> None:
    known = remembered_things()
    bare = replace(known[2], crop_jpeg=None)
    found = match_by_model("the thing 0", [*known[:2], bare], lambda picture, phrase: None)
    assert [(answer.label, answer.match) for answer in found] == [("thing 0", 1.0)]


def test_a_damaged_picture_is_passed_over() -> None:
    broken = replace(remembered_things()[0], crop_jpeg=b"no picture")
    assert match_by_model("x", [broken], lambda picture, phrase: 1.0) == []
