"""Phrases by rank: "the largest mug", "the second box from the left"; only where the leads are clear."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from referent.sources.simulation.phrases.descriptions import Description, plain_phrase, plural_of
from referent.sources.simulation.phrases.singles import missing_description
from referent.sources.simulation.phrases.view import (
    Figures,
    Lead,
    View,
    bigger,
    leader,
    more_left,
    nearer,
    ranked,
    reversed_lead,
    taller,
)
from referent.sources.simulation.phrases.voice import Found, Voice, Wording

EXTREMES: Mapping[str, tuple[Lead, tuple[str, ...]]] = MappingProxyType(
    {
        "left": (more_left, ("leftmost", "leftmost", "furthest left", "farthest left")),
        "right": (reversed_lead(more_left), ("rightmost", "rightmost", "furthest right", "farthest right")),
        "near": (nearer, ("closest", "nearest")),
        "far": (reversed_lead(nearer), ("farthest", "furthest", "most distant")),
        "large": (bigger, ("largest", "biggest")),
        "small": (reversed_lead(bigger), ("smallest",)),
        "tall": (taller, ("tallest", "highest")),
    }
)
MOST = Wording(
    (
        "the {most} {noun}", "the {most} {noun}", "the {most} {noun}", "{most} {noun}", "the {most} of the {nouns}",
        "the {most} of all {nouns}", "the {noun} that is the {most}",
    ),
    ("the {noun} that is {most}", "of all the {nouns} the {most} one", "the {most} one of the {nouns}",
     "the {noun} which is the {most}", "the {most} {noun} of all"),
)  # fmt: skip
NTH = ("first", "second", "third", "fourth")
FROM_SIDE = Wording(
    (
        "the {nth} {noun} from the {side}", "the {nth} {noun} from the {side}", "{nth} {noun} from the {side}",
        "the {noun} that is {nth} from the {side}", "the {nth} {noun} counting from the {side}",
        "from the {side}, the {nth} {noun}",
    ),
    ("the {nth} of the {nouns} from the {side}", "counting from the {side}, the {nth} {noun}",
     "the {noun} which is {nth} from the {side}", "the {nth} one of the {nouns} from the {side}"),
)  # fmt: skip
NTH_MOST = Wording(
    ("the {nth} {most} {noun}", "{nth} {most} {noun}", "the {nth} {most} of the {nouns}"),
    ("the {noun} that is {nth} {most}", "the {nth} {most} one of the {nouns}"),
)
WORDS = (
    {word for _, words in EXTREMES.values() for each in words for word in each.split()}
    | MOST.words
    | FROM_SIDE.words
    | NTH_MOST.words
    | {*NTH, "left", "right"}
)


def superlative(view: View, voice: Voice) -> Found | None:
    """ "the largest mug"."""
    noun = _several(view, voice, 2)
    if noun is None:
        return None
    description, figures = noun
    lead, words = EXTREMES[voice.pick(tuple(EXTREMES))]
    best = leader(figures, lead)
    if best is None:
        return None
    return Found(voice.say(MOST).format(most=voice.pick(words), **_nouns(description, voice)), (best,))


def ordinal(view: View, voice: Voice) -> Found | None:
    """ "the third object from the right", "the second largest mug"."""
    noun = _several(view, voice, 3)
    if noun is None:
        return None
    description, figures = noun
    place = voice.pick(range(min(len(figures), len(NTH))))
    if voice.chance(0.75):
        side = voice.pick(("left", "right"))
        order = ranked(figures, EXTREMES[side][0], place + 1)
        phrase = voice.say(FROM_SIDE).format(nth=NTH[place], side=side, **_nouns(description, voice))
    else:
        lead, words = EXTREMES[voice.pick(("near", "far", "large", "small"))]
        place = max(place, 1)
        order = ranked(figures, lead, place + 1)
        phrase = voice.say(NTH_MOST).format(nth=NTH[place], most=voice.pick(words), **_nouns(description, voice))
    return Found(phrase, (order[place],)) if order is not None else None


def missing_rank(view: View, voice: Voice) -> Found | None:
    """ "the largest banana" where there is none, "the third mug from the left" where there are two."""
    if view.clear and voice.chance(0.4):
        noun = Description(voice.pick(view.clear).thing.category)
        meant = view.meant(noun.fits)
        if meant is None or len(meant) >= len(NTH):
            return None
        nth = NTH[max(1, len(meant))]
        side = voice.pick(("left", "right"))
        return Found(voice.say(FROM_SIDE).format(nth=nth, side=side, **_nouns(noun, voice)))
    gone = missing_description(view, voice)
    if gone is None or not gone.category:
        return None
    _, words = EXTREMES[voice.pick(tuple(EXTREMES))]
    return Found(voice.say(MOST).format(most=voice.pick(words), **_nouns(gone, voice)))


def _several(view: View, voice: Voice, least: int) -> tuple[Description, Figures] | None:
    if len(view.clear) < least:
        return None
    thing, draw = voice.pick(view.clear).thing, voice.dice.random()
    description = Description(thing.category if draw < 0.5 else "", thing.color if draw > 0.88 else "")
    meant = view.meant(description.fits)
    return (description, meant) if meant is not None and len(meant) >= least else None


def _nouns(description: Description, voice: Voice) -> dict[str, str]:
    words = plain_phrase(description, voice, noun=voice.pick(("object", "thing", "item")))
    return {"noun": words, "nouns": plural_of(words)}
