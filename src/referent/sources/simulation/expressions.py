"""What a person may say about a simulated picture, and exactly which objects, or parts of them, are meant.

A phrase is only made when it is certain what it means: an object that is hardly visible is never spoken of, and no
phrase is made that would fit one. Left and right are the viewer's; near and far are distances from the camera.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from referent.sources.simulation import wording
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
)
from referent.sources.simulation.phrases.absences import absent
from referent.sources.simulation.phrases.view import View, left_to_right, view_of
from referent.sources.simulation.phrases.voice import Found, Voice, voice_from
from referent.sources.simulation.truth import FrameTruth
from referent.types import Array

TRIES = 3  # at saying something, for each expression that is wanted


@dataclass(frozen=True)
class Expression:
    """One thing to say; `instance_ids` are the objects meant, none for something that is not in the picture."""

    text: str
    kind: str  # one of KINDS, or "follow-up", "event"
    instance_ids: tuple[int, ...]  # from left to right
    phrase: str = ""  # the part of `text` that describes
    part: str = ""  # meant are these parts of the objects: "handle"


def _ambiguous(view: View, voice: Voice) -> Found | None:
    family = uses.any_for_use if voice.chance(0.2) else singles.ambiguous
    return family(view, voice)


_FAMILIES: Mapping[str, Callable[[View, Voice], Found | None]] = MappingProxyType(
    {
        "attribute": singles.attribute,
        "absent": absent,
        "relation": places.relation,
        "superlative": extremes.superlative,
        "ordinal": extremes.ordinal,
        "plural": sets.plural,
        "negation": negations.negation,
        "part": parts.part,
        "affordance": uses.affordance,
        "ambiguous": _ambiguous,
    }
)
KINDS: tuple[str, ...] = tuple(_FAMILIES)


def expressions_for(
    truth: FrameTruth,
    rng: np.random.Generator,
    *,
    per_kind: int = 4,
    held_out: bool = False,
    kinds: Collection[str] = KINDS,
) -> list[Expression]:
    """Up to `per_kind` expressions of each of `kinds` about one picture, in the order of KINDS.

    `held_out` uses the sentences, and mostly the wordings of phrases, that are kept for tests.
    """
    view = view_of(truth)
    found: dict[str, Expression] = {}
    for kind, make in _FAMILIES.items():
        if kind in kinds:
            _say_some(make, kind, view, rng, per_kind, held_out, found)
    return list(found.values())


def _say_some(
    make: Callable[[View, Voice], Found | None],
    kind: str,
    view: View,
    rng: np.random.Generator,
    wanted: int,
    held_out: bool,
    found: dict[str, Expression],
) -> None:
    """Add up to `wanted` expressions of a kind to `found`, by phrase."""
    for _ in range(TRIES * wanted):
        voice = voice_from(rng, held_out=held_out)
        made = make(view, voice)
        if made is not None and made.phrase not in found:
            found[made.phrase] = expression_from(made, kind, wording.sentence(made, voice, held_out=held_out))
            wanted -= 1
        if wanted == 0:
            return


def expression_from(found: Found, kind: str, text: str) -> Expression:
    """What was found, said as `text`."""
    ids = tuple(figure.thing.instance_id for figure in left_to_right(found.figures))
    return Expression(text, kind, ids, found.phrase, found.part)


def boxes_of(expression: Expression, truth: FrameTruth) -> list[Array]:
    """The boxes (4,) float32 xyxy that answer `expression`: of its objects, or of their parts.

    Raises KeyError when `truth` is of another picture, where something of that is not seen.
    """
    things = {thing.instance_id: thing for thing in truth.objects}
    boxes = []
    for number in expression.instance_ids:
        thing = things[number]
        box = thing.parts_xyxy[expression.part] if expression.part else thing.box_xyxy
        if box is None:
            raise KeyError(f"object {number} of {expression.phrase!r} is not seen in this picture")
        boxes.append(np.asarray(box, np.float32))
    return boxes


def words_of_expressions() -> set[str]:
    """Every word that expressions, dialogues, roles and events can hold, known or held out, and some more."""
    families = (
        descriptions, extremes, follow_ups, happenings, negations, parts, places, sets, singles, tasks, uses,
    )  # fmt: skip
    return wording.words_of_sentences().union(*(family.WORDS for family in families))
