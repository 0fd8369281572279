"""Every phrase, read again by a reader of its own, means what its maker says; held-out wordings stay held out."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader import HAVE, read
from tabletops import MATERIALS, a_thing, a_truth

from referent.sources.simulation.expressions import KINDS, expressions_for
from referent.sources.simulation.phrases import (
    descriptions,
    extremes,
    follow_ups,
    happenings,
    negations,
    parts,
    places,
    sets,
    singles,
    tasks,
    uses,
    voice,
)
from referent.sources.simulation.phrases.voice import Found, Voice, Wording, voice_from, words_in
from referent.sources.simulation.truth import FrameTruth
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, SIZE_WORDS
from referent.sources.simulation.wording import (
    AROUND_UTTERANCES,
    FILLERS,
    HELD_OUT_AROUND_UTTERANCES,
    HELD_OUT_FILLERS,
    HELD_OUT_PLURAL_SENTENCES,
    HELD_OUT_SENTENCES,
    PLURAL_SENTENCES,
    SENTENCES,
    STRAY_WORDS,
    TELLING_WORDS,
    sentence,
)

FAMILIES = (descriptions, extremes, follow_ups, happenings, negations, parts, places, sets, singles, tasks, uses)
KNOWN_SENTENCES = (*SENTENCES, *PLURAL_SENTENCES, *AROUND_UTTERANCES)
HELD_OUT = (*HELD_OUT_SENTENCES, *HELD_OUT_PLURAL_SENTENCES, *HELD_OUT_AROUND_UTTERANCES)
FOR_A_USE = re.compile(
    "something|toy|tool|snack|fruit|package|dish|soda|jam|edible|"
    + r"\bi\b|"
    + "what|screw|nail|things? (to|for)|drink|water|hold|child"
)


@st.composite
def tables(draw: st.DrawFn) -> FrameTruth:
    """Two to nine things of few kinds and colors anywhere on a table, all plain to see."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    categories = rng.choice(CATEGORIES, int(rng.integers(2, 5)))
    colors = rng.choice(list(COLORS), 3)
    return a_truth(*(_any_thing(number, rng, categories, colors) for number in range(1, int(rng.integers(3, 11)))))


def _any_thing(number: int, rng: np.random.Generator, categories: np.ndarray, colors: np.ndarray):
    category = str(rng.choice(categories))
    material = str(rng.choice(["", "", *MATERIALS]))
    size = str(rng.choice(SIZE_WORDS[category]))
    words = " ".join(filter(None, (size, material, str(rng.choice(colors)), category)))
    shown = {name: (1.0, 1.0, 20.0, 20.0) for name, owners in HAVE.items() if category in owners}
    x, y = rng.uniform(-0.3, 0.3, 2)
    return a_thing(number, words, x, away_m=y, scale={"small": 0.78, "large": 1.18}.get(size, 1.0), parts=shown)


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(0, 1000), st.booleans())
def test_every_phrase_read_again_means_the_same(truth: FrameTruth, seed: int, held_out: bool) -> None:
    drawn = expressions_for(truth, np.random.default_rng(seed), per_kind=6, held_out=held_out)
    for expression in drawn:
        if expression.kind != "affordance" and not FOR_A_USE.search(expression.phrase):
            again = read(expression.phrase, expression.kind, truth)
            assert again == set(expression.instance_ids), (expression.phrase, expression.kind)


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(0, 1000))
def test_answers_are_listed_from_left_to_right(truth: FrameTruth, seed: int) -> None:
    left = {thing.instance_id: float(thing.box_xyxy[0]) for thing in truth.objects}
    for expression in expressions_for(truth, np.random.default_rng(seed), per_kind=3):
        edges = [left[number] for number in expression.instance_ids]
        assert edges == sorted(edges)
        assert len(set(expression.instance_ids)) == len(edges)


def test_every_kind_is_said_of_many_tables() -> None:
    rng = np.random.default_rng(0)
    seen: Counter[str] = Counter()
    for _ in range(60):
        categories, colors = rng.choice(CATEGORIES, 4), rng.choice(list(COLORS), 3)
        truth = a_truth(*(_any_thing(number, rng, categories, colors) for number in range(1, 7)))
        seen.update({expression.kind for expression in expressions_for(truth, rng, per_kind=6)})
    assert min(seen[kind] for kind in KINDS) >= 0.4 * 60, seen


def _wordings(value: object) -> list[Wording]:
    if isinstance(value, Wording):
        return [value]
    if isinstance(value, dict | tuple | list):
        return [each for item in (value.values() if isinstance(value, dict) else value) for each in _wordings(item)]
    if hasattr(value, "__dataclass_fields__"):
        return [each for item in vars(value).values() for each in _wordings(item)]
    return []


def _all_wordings() -> list[Wording]:
    return [
        wording
        for family in FAMILIES
        for name, value in vars(family).items()
        if name.isupper()
        for wording in _wordings(dict(value) if hasattr(value, "items") else value)
    ]


def test_wordings_kept_for_tests_are_not_among_the_known_ones() -> None:
    assert len(_all_wordings()) > 100
    for wording in _all_wordings():
        assert not set(wording.known) & set(wording.held_out)
    assert not set(KNOWN_SENTENCES) & set(HELD_OUT)
    assert not set(FILLERS) & set(HELD_OUT_FILLERS)


def test_what_carries_meaning_in_held_out_wordings_is_learnt_from_known_ones() -> None:
    known = words_in(template for wording in _all_wordings() for template in wording.known)
    known |= words_in([*KNOWN_SENTENCES, *FILLERS, *descriptions.NOUNS])
    held_out = words_in(template for wording in _all_wordings() for template in wording.held_out)
    assert held_out <= known


def test_words_strewn_in_as_meaningless_never_mean_anything() -> None:
    meaning = set().union(*(family.WORDS for family in FAMILIES))
    assert not set(STRAY_WORDS) & meaning
    assert not set(STRAY_WORDS) & set(TELLING_WORDS)


def test_held_out_sentences_are_never_said_in_training() -> None:
    rng = np.random.default_rng(0)
    forms = [(form, voice_from(rng)) for form in ("thing", "things", "whole") for _ in range(2500)]
    training = {sentence(Found("X", form=form), each) for form, each in forms}
    assert not {template.format("X") for template in HELD_OUT} & training


@pytest.mark.parametrize("form", ["thing", "things", "whole"])
def test_held_out_speech_is_always_in_unseen_sentences(form: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        text = sentence(Found("X", form=form), voice_from(rng, held_out=True), held_out=True)
        assert any(template.format("X") in text for template in HELD_OUT)


def test_an_unseen_voice_prefers_held_out_wordings_and_a_known_one_never_says_them() -> None:
    wording = Wording(("a", "b"), ("c",))
    assert {Voice(voice.random.Random(seed), unseen=True).say(wording) for seed in range(30)} == {"c"}
    assert {Voice(voice.random.Random(seed)).say(wording) for seed in range(30)} == {"a", "b"}
    rng = np.random.default_rng(0)
    assert not any(voice_from(rng).unseen for _ in range(100))
    assert 30 < sum(voice_from(rng, held_out=True).unseen for _ in range(100)) < 90
