"""Phrases by what a thing is: those that fit one object, those that fit several, those that fit none."""

from __future__ import annotations

from referent.sources.simulation.phrases.descriptions import (
    Description,
    describe,
    near_miss,
    noun_phrase,
    plural_phrase,
)
from referent.sources.simulation.phrases.parts import part_owners, with_part
from referent.sources.simulation.phrases.view import Figure, View
from referent.sources.simulation.phrases.voice import Found, Voice, Wording
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, PARTS

NONE_OF_MANY = Wording(
    ("all the {}", "the two {}", "both {}", "all {}", "the {}"), ("all of the {}", "both of the {}", "the pair of {}")
)
WORDS = NONE_OF_MANY.words


def attribute(view: View, voice: Voice) -> Found | None:
    """ "the red mug" where there is one."""
    if not view.clear:
        return None
    if voice.chance(0.06):
        return _with_part(view, voice)
    description = describe(voice.pick(view.clear).thing, voice)
    meant = view.meant(description.fits)
    return Found(noun_phrase(description, voice), meant) if meant is not None and len(meant) == 1 else None


def ambiguous(view: View, voice: Voice) -> Found | None:
    """ "the mug" where there are several: all of them."""
    if len(view.clear) < 2:
        return None
    thing = voice.pick(view.clear).thing
    draw = voice.dice.random()
    description = describe(thing, voice) if draw < 0.3 else Description(thing.category)
    if draw > 0.85:
        description = Description("", thing.color)
    meant = view.meant(description.fits)
    return Found(noun_phrase(description, voice), meant) if meant is not None and len(meant) > 1 else None


def missing(view: View, voice: Voice) -> Found | None:
    """Mostly near misses: color and category both in the picture, but not on one object."""
    description = missing_description(view, voice)
    if description is None:
        return None
    if voice.chance(0.12):
        return Found(voice.say(NONE_OF_MANY).format(plural_phrase(description, voice)), form="things")
    return Found(noun_phrase(description, voice))


def missing_description(view: View, voice: Voice) -> Description | None:
    """A description that fits nothing in the picture."""
    things = view.things
    if things and voice.chance(0.8):
        near = voice.pick(things)
        description = near_miss(describe(near, voice), voice.pick(things), voice)
    else:
        color = voice.pick(tuple(COLORS)) if voice.chance(0.6) else ""
        description = Description(voice.pick(CATEGORIES), color)
    return None if any(description.fits(thing) for thing in things) else description


def unique_description(view: View, figure: Figure, voice: Voice) -> Description | None:
    """A description that fits only this object."""
    for _ in range(2):
        description = describe(figure.thing, voice)
        if view.meant(description.fits) == (figure,):
            return description
    return None


def _with_part(view: View, voice: Voice) -> Found | None:
    """ "the thing with a spout"."""
    part = voice.pick(PARTS)
    meant = part_owners(view, part)
    return Found(with_part(part, voice), meant) if meant is not None and len(meant) == 1 else None
