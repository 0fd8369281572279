"""Dialogues: what a follow-up means, and that what was answered before never gives the next answer away."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from tabletops import a_thing, a_truth

from referent.sources.simulation.dialogues import Said, dialogue_for, follow_up
from referent.sources.simulation.expressions import Expression, words_of_expressions
from referent.sources.simulation.truth import FrameTruth
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, SIZE_WORDS

THE_MUG = Expression("find the mug", "ambiguous", (1, 2), "the mug")
HANDLE = {"handle": (10.0, 10.0, 24.0, 30.0)}
TABLE = a_truth(
    a_thing(1, "large red mug", -0.15, scale=1.2, parts=HANDLE),
    a_thing(2, "small striped blue mug", 0.02, scale=0.8),
    a_thing(3, "green box", 0.18, away_m=0.2),
)
COMPARED = r"\b(larger|bigger|smaller|taller|shorter|higher|lower|nearer|closer|farther)\b|the (left|right) \w+"


def followed(
    answered: tuple[int, ...], first: Expression = THE_MUG, truth: FrameTruth = TABLE, draws: int = 500
) -> dict[str, Expression]:
    """All that comes up after an answer, by what is said."""
    said = Said(first, answered)
    found = [follow_up(truth, said, np.random.default_rng(seed)) for seed in range(draws)]
    return {expression.text: expression for expression in found if expression is not None}


def meant(phrases: dict[str, Expression], pattern: str) -> set[tuple[int, ...]]:
    """What all follow-ups mean that hold a pattern; there must be one."""
    found = {expression.instance_ids for text, expression in phrases.items() if re.search(pattern, text)}
    assert found, f"nothing like {pattern!r} came up"
    return found


@pytest.mark.parametrize(("answered", "other"), [(1, 2), (2, 1)])
def test_the_other_one_is_the_candidate_that_was_not_answered(answered: int, other: int) -> None:
    assert meant(followed((answered,)), "other one") == {(other,)}


@pytest.mark.parametrize("answered", [1, 2])
def test_a_property_means_the_same_whichever_was_answered(answered: int) -> None:
    phrases = followed((answered,))
    assert meant(phrases, "no, the blue (one|mug)$|mean the blue (one|mug)$") == {(2,)}
    assert meant(phrases, "(larger|bigger) (one|mug)") == {(1,)}
    assert meant(phrases, "smaller (one|mug)") == {(2,)}
    assert meant(phrases, "(one|mug) on the left$") == {(1,)}


def test_it_is_what_was_answered() -> None:
    assert meant(followed((2,)), "box .*behind it$") == {(3,)}
    assert meant(followed((3,)), "box .*behind it$|mug .*behind it$") == {()}
    found = followed((1,))["its handle"]
    assert (found.instance_ids, found.part) == ((1,), "handle")
    assert meant(followed((3,)), "its (handle|lid|spout)$") == {()}


def test_what_is_added_is_only_the_new_thing() -> None:
    phrases = followed((1,))
    assert meant(phrases, "^(also|and|add) the box|the box (too|as well)") == {(3,)}
    assert all(1 not in each.instance_ids for text, each in phrases.items() if re.search("also|too$|as well", text))


def test_both_of_them_are_all_that_the_first_phrase_fits() -> None:
    assert meant(followed((1,)), r"\bboth\b") == {(1, 2)}
    unique = Expression("the box", "attribute", (3,), "the box")
    assert not any(re.search(r"\b(both|all)\b", text) for text in followed((1,), unique))


def test_of_three_candidates_there_is_no_other_one() -> None:
    three = a_truth(*TABLE.objects, a_thing(4, "white mug", -0.05, away_m=-0.2))
    mugs = Expression("the mug", "ambiguous", (1, 4, 2), "the mug")
    assert not any("other" in text for text in followed((1,), mugs, three))


def test_nothing_is_said_after_an_answer_that_cannot_be_spoken_of() -> None:
    hidden = a_truth(*TABLE.objects, a_thing(9, "white mug", 0.1, visible_px=4, amodal_px=900))
    assert followed((9,), THE_MUG, hidden, draws=50) == {}


def test_a_faint_third_mug_makes_the_other_mug_uncertain() -> None:
    faint = a_truth(*TABLE.objects, a_thing(9, "white mug", 0.25, visible_px=4, amodal_px=900))
    red = Expression("the red mug", "attribute", (1,), "the red mug")
    assert not any(
        re.search("other|larger|no, the blue one|mean the blue", text) for text in followed((1,), red, faint, draws=200)
    )


def any_table(rng: np.random.Generator) -> FrameTruth:
    categories, colors = rng.choice(CATEGORIES, 3), rng.choice(list(COLORS), 4)
    things = []
    for number in range(1, int(rng.integers(3, 8))):
        category = str(rng.choice(categories))
        size = str(rng.choice(SIZE_WORDS[category]))
        words = " ".join(filter(None, (size, str(rng.choice(["", "", "striped"])), str(rng.choice(colors)), category)))
        x, y = rng.uniform(-0.3, 0.3, 2)
        things.append(a_thing(number, words, x, away_m=y, scale={"small": 0.78, "large": 1.18}.get(size, 1.0)))
    return a_truth(*things)


@pytest.fixture(scope="module")
def dialogues() -> list[tuple[FrameTruth, Said, Expression]]:
    rng = np.random.default_rng(1)
    tables = [any_table(rng) for _ in range(800)]
    drawn = [(truth, dialogue_for(truth, rng)) for truth in tables for _ in range(4)]
    return [(truth, *dialogue) for truth, dialogue in drawn if dialogue is not None]


def test_earlier_answers_are_right_and_wrong_equally_often(
    dialogues: list[tuple[FrameTruth, Said, Expression]],
) -> None:
    right = [set(said.answered_ids) == set(said.expression.instance_ids) for _, said, _ in dialogues]
    assert len(right) > 2000
    assert 0.46 < np.mean(right) < 0.54


def single_answers(
    dialogues: list[tuple[FrameTruth, Said, Expression]], pattern: str
) -> Iterator[tuple[bool, bool, bool]]:
    """Whether the thing answered is meant, whether it is the left one of the two, and whether the left one is meant."""
    for truth, said, then in dialogues:
        one_of_each = len(said.answered_ids) == 1 and len(then.instance_ids) == 1
        if one_of_each and re.search(pattern, then.phrase) and not re.search(r"\bits?\b", then.phrase):
            boxes = {thing.instance_id: thing.box_xyxy for thing in truth.objects}
            kinds = {thing.instance_id: thing.category for thing in truth.objects}
            (it,), (target,) = said.answered_ids, then.instance_ids
            alike = [number for number in kinds if kinds[number] == kinds[it]]
            leftmost = min(alike, key=lambda number: float(boxes[number][0]))
            yield it == target, it == leftmost, target == leftmost


def test_a_comparison_means_the_thing_answered_as_often_as_another(
    dialogues: list[tuple[FrameTruth, Said, Expression]],
) -> None:
    told = np.array(list(single_answers(dialogues, COMPARED)))
    assert len(told) > 80
    spread = 3 * 0.5 / np.sqrt(len(told))
    assert abs(told[:, 0].mean() - 0.5) < spread


def test_a_property_means_the_thing_answered_as_often_as_another_of_its_kind(
    dialogues: list[tuple[FrameTruth, Said, Expression]],
) -> None:
    told = []
    for truth, said, then in dialogues:
        kinds = {thing.instance_id: thing.category for thing in truth.objects}
        added = re.search(r"\b(also|too|well|add|plus)\b|^and ", then.phrase)
        colored = re.search(rf"\b({'|'.join(COLORS)}|striped|stripes)\b", then.phrase)
        one_of_each = len(said.answered_ids) == 1 and len(then.instance_ids) == 1
        if one_of_each and colored and not added and not re.search(r"\bit\b", then.phrase):
            (it,), (target,) = said.answered_ids, then.instance_ids
            told += [it == target] if kinds[it] == kinds[target] else []
    assert len(told) > 100
    assert abs(np.mean(told) - 0.5) < 3 * 0.5 / np.sqrt(len(told))


def test_the_other_one_follows_either_candidate_equally_often(
    dialogues: list[tuple[FrameTruth, Said, Expression]],
) -> None:
    told = np.array(list(single_answers(dialogues, r"\bother\b")))
    assert len(told) > 100
    assert not told[:, 0].any()
    assert abs(told[:, 2].mean() - 0.5) < 3 * 0.5 / np.sqrt(len(told))


def test_some_follow_ups_mean_nothing_but_most_do(dialogues: list[tuple[FrameTruth, Said, Expression]]) -> None:
    nothing = np.mean([not then.instance_ids for _, _, then in dialogues])
    assert 0.05 < nothing < 0.25


def test_dialogues_speak_known_words_and_repeat(dialogues: list[tuple[FrameTruth, Said, Expression]]) -> None:
    words = words_of_expressions()
    for _, said, then in dialogues:
        assert set(re.findall("[a-z]+", f"{said.expression.text} {then.text}".lower())) <= words
        assert then.kind == "follow-up"
    held_out = [dialogue_for(TABLE, np.random.default_rng(seed), held_out=True) for seed in range(200)]
    assert all(set(re.findall("[a-z]+", each[1].text)) <= words for each in held_out if each is not None)
    again = [dialogue_for(TABLE, np.random.default_rng(3)) for _ in range(2)]
    assert again[0] == again[1]
