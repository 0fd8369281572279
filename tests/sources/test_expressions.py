"""Expressions against the truth they are made from: each means exactly the objects it names."""

from __future__ import annotations

import re

import numpy as np
import pytest

from referent.sources.simulation.expressions import KINDS, Expression, expressions_for, words_of_expressions
from referent.sources.simulation.phrases.voice import Found, voice_from
from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.sources.simulation.wording import HELD_OUT_SENTENCES, SENTENCES, sentence

WIDTH, HEIGHT = 320, 240


def a_thing(
    number: int,
    words: str,
    x_m: float,
    *,
    z_m: float = 1.0,
    size_m: float = 0.08,
    visible_px: int = 900,
    amodal_px: int = 900,
    in_view: float = 1.0,
) -> ObjectTruth:
    """`words`: "[size] [material] color category"."""
    *extra, color, category = words.split()
    material = next((w for w in extra if w in ("striped", "checkered")), "plain")
    pose = np.eye(4)
    pose[:3, 3] = (x_m, 0.0, z_m)
    x, y = (x_m / z_m + 0.5) * 300, 100 / z_m  # what is nearer appears lower and farther from the middle
    box = np.array([x, y, x + 30, y + 30], np.float32) if visible_px else None
    size = next((w for w in extra if w in ("small", "large")), "")
    return ObjectTruth(
        number, category, color, material, size, pose, np.full(3, size_m), visible_px, amodal_px, in_view, box
    )


def a_truth(*things: ObjectTruth) -> FrameTruth:
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    return FrameTruth(ids, np.eye(4), np.ones((HEIGHT, WIDTH), np.float32), things)


def said(truth: FrameTruth, kind: str | None = None, draws: int = 60) -> dict[str, Expression]:
    """Everything that comes up in many draws, by phrase."""
    found = {}
    for seed in range(draws):
        for expression in expressions_for(truth, np.random.default_rng(seed)):
            if kind in (None, expression.kind):
                found[expression.phrase] = expression
    return found


TABLE = a_truth(
    a_thing(1, "large red mug", -0.2),
    a_thing(2, "small blue mug", 0.0, size_m=0.05),
    a_thing(3, "red box", 0.2, z_m=1.3),
    a_thing(4, "striped green bowl", 0.3, z_m=0.8),
)


def test_all_kinds_come_up() -> None:
    assert {expression.kind for expression in said(TABLE).values()} == set(KINDS)


def test_colors_and_nouns_mean_the_one_object_that_fits() -> None:
    phrases = said(TABLE, "attribute")
    assert phrases["the red mug"].instance_ids == (1,)
    assert phrases["the box"].instance_ids == (3,)
    assert phrases["the striped green bowl"].instance_ids == (4,)
    assert not any(re.fullmatch(r"(the |a )?mug|(the |a )?red (object|thing|one)", phrase) for phrase in phrases)


def test_what_is_absent_fits_nothing_and_near_misses_come_up() -> None:
    phrases = said(TABLE, "absent")
    assert all(expression.instance_ids == () for expression in phrases.values())
    assert {"the blue box", "the green mug"} <= set(phrases)
    assert not any(phrase.endswith(("red mug", "blue mug", "red box", "green bowl")) for phrase in phrases)


def test_left_and_behind_are_the_viewers() -> None:
    phrases = said(TABLE, "relation", draws=400)
    assert phrases["the mug left of the blue mug"].instance_ids == (1,)
    assert phrases["the box behind the blue mug"].instance_ids == (3,)
    assert phrases["the bowl in front of the blue mug"].instance_ids == (4,)


def test_no_relation_is_claimed_between_objects_side_by_side() -> None:
    close = a_truth(a_thing(1, "red mug", 0.0), a_thing(2, "blue box", 0.02, z_m=1.03))
    assert said(close, "relation", draws=200) == {}


def test_extremes_need_a_clear_lead() -> None:
    assert said(TABLE, "superlative", draws=200)["the leftmost object"].instance_ids == (1,)
    assert said(TABLE, "superlative", draws=200)["the largest mug"].instance_ids == (1,)
    twins = a_truth(a_thing(1, "red mug", 0.0), a_thing(2, "blue mug", 0.01))
    assert said(twins, "superlative", draws=200) == {}


def test_plurals_mean_all_that_fit() -> None:
    phrases = said(TABLE, "plural", draws=200)
    assert phrases["all the mugs"].instance_ids == (1, 2)
    assert phrases["every red object"].instance_ids == (1, 3)
    boxes = a_truth(a_thing(1, "red box", 0.0), a_thing(2, "blue box", 0.2))
    assert "the boxes" in said(boxes, "plural", draws=100)


def test_use_means_the_only_object_for_it() -> None:
    assert said(TABLE, "affordance")["something to eat soup from"].instance_ids == (4,)
    assert "something to drink from" not in said(TABLE, "affordance", draws=200)  # two mugs


@pytest.mark.parametrize(
    "faint",
    [
        a_thing(9, "blue mug", 0.3, visible_px=5, amodal_px=5),
        a_thing(9, "blue mug", 0.3, visible_px=300, amodal_px=900),
        a_thing(9, "blue mug", 0.3, in_view=0.2),
    ],
    ids=["tiny", "mostly hidden", "mostly outside"],
)
def test_hardly_visible_objects_are_not_spoken_of_nor_called_absent(faint: ObjectTruth) -> None:
    phrases = said(a_truth(a_thing(1, "red mug", 0.0), faint), draws=200)
    assert not any(9 in expression.instance_ids for expression in phrases.values())
    assert "the mug" not in phrases  # it could be either
    assert "the blue mug" not in phrases


def test_invisible_objects_do_not_count() -> None:
    gone = a_thing(9, "blue mug", 0.3, visible_px=0)
    assert said(a_truth(a_thing(1, "red mug", 0.0), gone), "attribute")["the mug"].instance_ids == (1,)


def test_an_empty_table_has_only_absent_things() -> None:
    assert {expression.kind for expression in said(a_truth()).values()} == {"absent"}


def test_held_out_sentences_are_never_said_in_training() -> None:
    assert not set(SENTENCES) & set(HELD_OUT_SENTENCES)
    rng = np.random.default_rng(0)
    training = {sentence(Found("X"), voice_from(rng)) for _ in range(5000)}
    assert not {template.format("X") for template in HELD_OUT_SENTENCES} & training


def test_every_word_is_known_to_the_vocabulary_and_draws_repeat() -> None:
    words = words_of_expressions()
    for expression in said(TABLE, draws=200).values():
        assert set(re.findall("[a-z]+", expression.text.lower())) <= words
    again = [expressions_for(TABLE, np.random.default_rng(7)) for _ in range(2)]
    assert again[0] == again[1]
