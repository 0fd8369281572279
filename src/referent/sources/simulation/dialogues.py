"""Dialogues of two turns about a simulated picture: something asked and answered, rightly or not, and what follows.

"it" is the thing that was answered. Earlier answers are right and wrong equally often, and a follow-up that could mean
the thing answered does so half of the time: what was answered never gives the next answer away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from referent.sources.simulation.expressions import Expression, expression_from, expressions_for
from referent.sources.simulation.phrases import follow_ups
from referent.sources.simulation.phrases.descriptions import plural_of
from referent.sources.simulation.phrases.follow_ups import Before
from referent.sources.simulation.phrases.view import Figure, View, left_to_right, view_of
from referent.sources.simulation.phrases.voice import Voice, voice_from
from referent.sources.simulation.truth import FrameTruth
from referent.sources.simulation.vocabulary import CATEGORIES, PARTS

KIND = "follow-up"
TRIES = 5
# What is said first, and how often.
FIRST_KINDS = ("attribute",) * 8 + ("ambiguous",) * 8 + ("superlative",) * 2 + ("relation",) * 1 + ("absent",) * 2
SPEAKING_OF_ANOTHER = {"left", "right", "behind", "back", "front", "than", "next", "beside", "near", "between", *PARTS}
NAMED_BY_ONE_NOUN = ("attribute", "absent", "ambiguous", "superlative", "ordinal")
# What may follow, and how often it is tried first.
FAMILIES = (
    (4, follow_ups.other),
    (4, follow_ups.refined),
    (1, follow_ups.refined_away),
    (4, follow_ups.compared),
    (4, follow_ups.related_to_it),
    (3, follow_ups.added),
    (2, follow_ups.its_part),
    (1, follow_ups.all_of_them),
)


@dataclass(frozen=True)
class Said:
    """An earlier turn: what was said, and which objects were answered to it, right or not."""

    expression: Expression
    answered_ids: tuple[int, ...]


def follow_up(truth: FrameTruth, said: Said, rng: np.random.Generator, *, held_out: bool = False) -> Expression | None:
    """What may be said after `said`, of kind "follow-up"; None when nothing certain was found."""
    view = view_of(truth)
    answered = _figures(view, said.answered_ids)
    voice = voice_from(rng, held_out=held_out)
    if answered is None or said.expression.part:
        return None
    before = _before(view, said.expression, answered)
    families = [family for weight, family in FAMILIES for _ in range(weight)]
    for _ in range(TRIES):
        found = voice.pick(families)(view, before, voice)
        if found is not None:
            return expression_from(found, KIND, found.phrase)
    return None


def dialogue_for(
    truth: FrameTruth, rng: np.random.Generator, *, held_out: bool = False
) -> tuple[Said, Expression] | None:
    """Something said, an answer to it that is right or wrong, and what follows; None when nothing was found."""
    view, voice = view_of(truth), voice_from(rng, held_out=held_out)
    if len(view.clear) < 2:
        return None
    right = voice.chance(0.5)
    for _ in range(TRIES):
        kind = voice.pick(FIRST_KINDS)
        drawn = expressions_for(truth, rng, per_kind=1, held_out=held_out, kinds=(kind,))
        for first in drawn:
            said = Said(first, first.instance_ids if right else _wrong_answer(view, first, voice))
            then = follow_up(truth, said, rng, held_out=held_out)
            if then is not None:
                return said, then
    return None


def _wrong_answer(view: View, first: Expression, voice: Voice) -> tuple[int, ...]:
    """One of several, or something else, mostly of the same kind."""
    if len(first.instance_ids) > 1 and voice.chance(0.85):
        return (voice.pick(first.instance_ids),)
    others = [figure.thing for figure in view.clear if figure.thing.instance_id not in first.instance_ids]
    category = _category(first)
    alike = [thing for thing in others if thing.category == category]
    if not others:
        return (voice.pick(first.instance_ids),)
    return (voice.pick(alike if alike and voice.chance(0.75) else others).instance_id,)


def _before(view: View, first: Expression, answered: Sequence[Figure]) -> Before:
    """What `first` asked for."""
    category = _category(first)
    pool = None
    if category is not None:
        pool = view.meant(lambda thing: category in ("", thing.category))
    fits = _figures(view, first.instance_ids) or ()
    several = first.kind == "ambiguous"
    return Before(left_to_right(answered), category or "", pool, tuple(fits if several else pool or ()), several)


def _category(first: Expression) -> str | None:
    """The category that an expression asks for, "" for any; None when it names several or none can be told."""
    if first.kind not in NAMED_BY_ONE_NOUN:
        return None
    words = first.phrase.replace(",", " ").split()
    if not SPEAKING_OF_ANOTHER.isdisjoint(words):
        return None
    named = {name for name in CATEGORIES if name in words or plural_of(name) in words}
    if len(named) > 1:
        return None
    return named.pop() if named else ""


def _figures(view: View, numbers: Sequence[int]) -> tuple[Figure, ...] | None:
    known = {figure.thing.instance_id: figure for figure in view.clear}
    return tuple(known[number] for number in numbers) if all(number in known for number in numbers) else None
