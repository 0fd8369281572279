"""Expressions on tables built by hand, where what each phrase means is known beforehand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tabletops import a_thing, a_truth

from referent.sources.simulation.categories import build_shape
from referent.sources.simulation.expressions import (
    KINDS,
    Expression,
    boxes_of,
    expressions_for,
    words_of_expressions,
)
from referent.sources.simulation.phrases.parts import PARTS_OF
from referent.sources.simulation.phrases.uses import USES
from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.sources.simulation.vocabulary import CATEGORIES

HANDLE = {"handle": (10.0, 10.0, 20.0, 24.0)}


def said(
    truth: FrameTruth, kind: str | None = None, draws: int = 80, *, held_out: bool = False
) -> dict[str, Expression]:
    """Everything that comes up in many draws, by phrase."""
    found = {}
    kinds = KINDS if kind is None else (kind,)
    for seed in range(draws):
        drawn = expressions_for(truth, np.random.default_rng(seed), per_kind=6, kinds=kinds, held_out=held_out)
        found.update({expression.phrase: expression for expression in drawn})
    return found


def meant(phrases: dict[str, Expression], pattern: str) -> set[tuple[int, ...]]:
    """What all phrases mean that hold a pattern; there must be one."""
    found = {expression.instance_ids for phrase, expression in phrases.items() if re.search(pattern, phrase)}
    assert found, f"nothing like {pattern!r} came up"
    return found


TABLE = a_truth(
    a_thing(1, "large red mug", -0.2, scale=1.3, parts=HANDLE),
    a_thing(2, "small blue mug", 0.0, scale=0.7),
    a_thing(3, "red box", 0.14, away_m=0.25),
    a_thing(4, "striped green bowl", 0.25, away_m=-0.2),
)


def test_all_kinds_come_up() -> None:
    drawn = [expressions_for(TABLE, np.random.default_rng(seed), per_kind=6) for seed in range(40)]
    assert {expression.kind for each in drawn for expression in each} == set(KINDS)


def test_one_kind_can_be_asked_for_and_no_more_than_wanted_are_given() -> None:
    drawn = expressions_for(TABLE, np.random.default_rng(0), per_kind=3, kinds=["attribute"])
    assert [expression.kind for expression in drawn] == ["attribute"] * 3


def test_colors_and_nouns_mean_the_one_object_that_fits() -> None:
    phrases = said(TABLE, "attribute")
    assert phrases["the red mug"].instance_ids == (1,)
    assert phrases["the box"].instance_ids == (3,)
    assert phrases["the striped green bowl"].instance_ids == (4,)
    assert meant(phrases, "mug (that|which) is red$|mug .*red color$") == {(1,)}
    assert phrases["the little blue mug"].instance_ids == (2,)
    assert not any(re.fullmatch(r"(the |a )?(mug|red (object|thing|one|item))", phrase) for phrase in phrases)


def test_what_is_absent_fits_nothing_and_near_misses_come_up() -> None:
    phrases = said(TABLE, "absent", draws=300)
    assert all(expression.instance_ids == () for expression in phrases.values())
    assert {"the blue box", "the green mug"} <= set(phrases)
    assert meant(phrases, "third mug|mug .*third") == meant(phrases, "nail") == meant(phrases, "mug .*left of") == {()}
    assert not any(re.fullmatch(r"(the |a )?((red|blue) mug|red box|green bowl)", phrase) for phrase in phrases)


def test_left_and_behind_are_the_viewers() -> None:
    phrases = said(TABLE, "relation", draws=60)
    assert meant(phrases, "mug .*(left of|left side of) the (small |little )?blue mug") == {(1,)}
    assert meant(phrases, "box .*behind the (small |little )?blue mug") == {(3,)}
    assert meant(phrases, "bowl .*in front of the (small |little )?blue mug") == {(4,)}
    assert meant(phrases, "mug on the left$") == {(1,)}


def test_between_and_beside_are_told_from_where_things_stand() -> None:
    row = a_truth(
        a_thing(1, "red can", -0.2), a_thing(2, "blue mug", -0.02), a_thing(3, "green box", 0.18),
        a_thing(4, "white ball", 0.02, away_m=-0.25),
    )  # fmt: skip
    phrases = said(row, "relation", draws=200)
    assert meant(phrases, "between the (red )?can and the (green )?box") == {(2,)}
    pair = a_truth(a_thing(1, "red can", -0.2), a_thing(2, "blue mug", -0.1), a_thing(3, "green box", 0.2))
    assert meant(said(pair, "relation"), "next to the (red )?can") == {(2,)}


def test_no_relation_is_claimed_between_objects_side_by_side() -> None:
    close = a_truth(a_thing(1, "red mug", 0.0), a_thing(2, "blue box", 0.01, away_m=0.02))
    sides = r"\b(left|(?<!next )right(?! next)|behind|back|front|closer|nearer|farther|further)\b"
    assert [phrase for phrase in said(close, "relation") if re.search(sides, phrase)] == []


def test_extremes_need_a_clear_lead() -> None:
    phrases = said(TABLE, "superlative", draws=60)
    assert phrases["the leftmost object"].instance_ids == (1,)
    assert phrases["the largest mug"].instance_ids == (1,)
    assert phrases["the farthest item"].instance_ids == (3,)
    twins = a_truth(a_thing(1, "red mug", 0.0), a_thing(2, "blue mug", 0.01))
    assert said(twins, "superlative", draws=100) == {}


def test_tall_is_what_stands_high_and_a_lying_bottle_does_not() -> None:
    standing, lying = a_thing(1, "red bottle", -0.2), a_thing(2, "blue bottle", 0.2)
    turned = lying.camera_from_object.copy()
    turned[:3, 1], turned[:3, 2] = lying.camera_from_object[:3, 2], -lying.camera_from_object[:3, 1]
    lying.camera_from_object[:] = turned
    phrases = said(a_truth(standing, lying), "superlative")
    assert phrases["the tallest bottle"].instance_ids == (1,)


def test_places_are_counted_from_either_side() -> None:
    row = a_truth(*(a_thing(number, f"{color} can", -0.3 + 0.12 * number) for number, color in
                    enumerate(("red", "blue", "green", "white"), start=1)))  # fmt: skip
    phrases = said(row, "ordinal", draws=60)
    assert phrases["the second can from the left"].instance_ids == (2,)
    assert phrases["the second can from the right"].instance_ids == (3,)
    crowded = a_truth(a_thing(1, "red can", 0.0), a_thing(2, "blue can", 0.005), a_thing(3, "white can", 0.2))
    assert not any(each.instance_ids in ((1,), (2,)) for phrase, each in said(crowded, "ordinal").items())


def test_plurals_mean_all_that_fit_from_left_to_right() -> None:
    phrases = said(TABLE, "plural", draws=60)
    assert phrases["all the mugs"].instance_ids == (1, 2)
    assert phrases["both mugs"].instance_ids == (1, 2)
    assert phrases["every red object"].instance_ids == (1, 3)
    assert meant(phrases, "(except|but|not|than) the bowl") == {(1, 2, 3)}
    assert meant(phrases, "(all|things|everything) .*drink") == {(1, 2)}
    mirrored = a_truth(a_thing(1, "red box", 0.2), a_thing(2, "blue box", 0.0), a_thing(3, "red box", -0.2))
    phrases = said(mirrored, "plural")
    assert phrases["the three boxes"].instance_ids == (3, 2, 1)
    assert not any(re.fullmatch("(the )?two boxes", phrase) for phrase in phrases)


def test_negation_means_the_one_that_is_otherwise() -> None:
    phrases = said(TABLE, "negation")
    assert phrases["the mug that is not red"].instance_ids == (2,)
    red = a_truth(a_thing(1, "red mug", -0.2), a_thing(2, "red mug", 0.2))
    assert said(red, "negation") == {}
    assert said(red, "absent", draws=300)["the mug that is not red"].instance_ids == ()


def test_a_part_is_spoken_of_where_enough_of_it_is_seen() -> None:
    found = said(TABLE, "part")["the handle of the red mug"]
    assert (found.instance_ids, found.part) == ((1,), "handle")
    np.testing.assert_array_equal(boxes_of(found, TABLE)[0], HANDLE["handle"])
    assert not any(expression.instance_ids == (2,) for expression in said(TABLE, "part").values())
    sliver = a_truth(a_thing(1, "red mug", parts={"handle": (10.0, 10.0, 13.0, 40.0)}))
    assert said(sliver, "part") == {}
    assert meant(said(TABLE, "absent", draws=300), "(lid|spout).* mug|mug.* (lid|spout)") == {()}
    assert "the handle" not in said(TABLE, "part")  # the blue mug has one, unseen


def test_which_parts_a_category_has_is_what_its_body_has() -> None:
    for category in CATEGORIES:
        built = {primitive.part for primitive in build_shape(category).primitives} - {""}
        assert built == set(PARTS_OF.get(category, ())), category


def test_use_means_the_only_object_for_it() -> None:
    phrases = said(TABLE, "affordance")
    bowl = said(a_truth(a_thing(1, "red bowl", -0.2), a_thing(2, "blue ball", 0.2)), "affordance")
    assert bowl["what could hold soup"].instance_ids == (1,)
    pan = said(a_truth(a_thing(1, "red pan", -0.2), a_thing(2, "blue hammer", 0.2)), "affordance")
    assert pan["i want to fry an egg"].instance_ids == (1,)
    assert pan["something to hit a nail with"].instance_ids == (2,)
    assert not any("drink coffee" in phrase for phrase in phrases)  # two mugs
    assert said(TABLE, "ambiguous", draws=300)["something to drink coffee from"].instance_ids == (1, 2)


def test_a_use_is_not_spoken_of_beside_what_might_do_as_well() -> None:
    mug_and_bottle = a_truth(a_thing(1, "red mug", -0.2), a_thing(2, "blue bottle", 0.2))
    phrases = said(mug_and_bottle)
    assert "something to drink from" not in phrases
    assert phrases["something to drink coffee from"].instance_ids == (1,)


def test_uses_speak_of_known_categories_and_never_of_one_twice() -> None:
    for use in USES:
        assert use.fits
        assert set(use.fits) | set(use.unsure) <= set(CATEGORIES)
        assert not set(use.fits) & set(use.unsure)


def test_an_ambiguous_phrase_means_all_candidates() -> None:
    phrases = said(TABLE, "ambiguous")
    assert phrases["the mug"].instance_ids == (1, 2)
    assert all(len(expression.instance_ids) > 1 for expression in phrases.values())


@pytest.mark.parametrize(
    "faint",
    [
        a_thing(9, "blue mug", 0.25, visible_px=5, amodal_px=5),
        a_thing(9, "blue mug", 0.25, visible_px=300, amodal_px=900),
        a_thing(9, "blue mug", 0.25, in_view=0.2),
    ],
    ids=["tiny", "mostly hidden", "mostly outside"],
)
def test_hardly_visible_objects_are_not_spoken_of_nor_called_absent(faint: ObjectTruth) -> None:
    phrases = said(a_truth(a_thing(1, "red mug", -0.1), a_thing(2, "red ball", 0.1), faint), draws=60)
    assert not any(9 in expression.instance_ids for expression in phrases.values())
    assert not any(re.fullmatch("(the |a )?(blue )?mug", phrase) for phrase in phrases)  # it could be either
    assert not any("everything" in phrase or re.fullmatch("all( the)? (objects|things)", phrase) for phrase in phrases)


def test_invisible_objects_do_not_count() -> None:
    gone = a_thing(9, "blue mug", 0.3, visible_px=0)
    assert said(a_truth(a_thing(1, "red mug", 0.0), gone), "attribute")["the mug"].instance_ids == (1,)


def test_an_empty_table_has_only_absent_things() -> None:
    assert {expression.kind for expression in said(a_truth()).values()} == {"absent"}


def test_every_word_is_known_to_the_vocabulary_and_draws_repeat() -> None:
    words = words_of_expressions()
    for held_out in (False, True):
        for expression in said(TABLE, draws=100, held_out=held_out).values():
            assert set(re.findall("[a-z]+", expression.text.lower())) <= words
    again = [expressions_for(TABLE, np.random.default_rng(7)) for _ in range(2)]
    assert again[0] == again[1]


def test_boxes_of_another_picture_are_refused() -> None:
    mug = Expression("the mug", "attribute", (1,), "the mug")
    with pytest.raises(KeyError, match="object 1 of 'the mug' is not seen"):
        boxes_of(mug, a_truth(a_thing(1, "red mug", visible_px=0)))
