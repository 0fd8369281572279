"""Parts of things: "the handle of the red mug"; made only where enough of the part is seen."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from referent.sources.simulation.phrases.descriptions import Description, a_or_an, describe, plain_phrase
from referent.sources.simulation.phrases.view import Figures, View
from referent.sources.simulation.phrases.voice import Found, Voice, Wording
from referent.sources.simulation.vocabulary import CATEGORIES, PARTS

PARTS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mug": ("handle",),
        "bottle": ("lid",),
        "teapot": ("handle", "lid", "spout"),
        "jar": ("lid",),
        "pan": ("handle",),
        "hammer": ("handle",),
        "screwdriver": ("handle",),
    }
)
PART = Wording(
    ("the {part} of the {whole}", "the {whole}'s {part}", "the {part} on the {whole}", "{part} of the {whole}"),
    ("the {part} that is on the {whole}", "that {part} of the {whole}", "the {part} that the {whole} has"),
)
ONLY_PART = Wording(("the {part}", "a {part}", "the only {part}"), ("that {part}", "the {part} there"))
WITH_PART = Wording(
    ("the {noun} with {a}{part}", "the {noun} that has {a}{part}", "something with {a}{part}"),
    ("the {noun} which has {a}{part}", "the {noun} with {a}{part} on it", "{noun} that has {a}{part}"),
)
WORDS = PART.words | ONLY_PART.words | WITH_PART.words | {"a", "an", "s", "only", "that", "there", *PARTS}
TRIES = 3


def part(view: View, voice: Voice) -> Found | None:
    """ "the lid of the jar"."""
    for _ in range(TRIES):
        if not view.clear:
            return None
        figure = voice.pick(view.clear)
        names = [name for name in PARTS_OF.get(figure.thing.category, ()) if view.shows_part(figure.thing, name)]
        if names:
            return _part_of(view, figure.thing.category, voice.pick(names), voice)
    return None


def _part_of(view: View, category: str, name: str, voice: Voice) -> Found | None:
    owners = part_owners(view, name)
    if owners is not None and len(owners) == 1 and voice.chance(0.2):
        return Found(voice.say(ONLY_PART).format(part=name), owners, name)
    mine = [figure for figure in view.clear if figure.thing.category == category]
    figure = voice.pick(mine)
    description = describe(figure.thing, voice)
    if view.meant(description.fits) != (figure,) or not view.shows_part(figure.thing, name):
        return None
    return Found(_worded(name, description, voice), (figure,), name)


def missing_part(view: View, voice: Voice) -> Found | None:
    """ "the lid of the red mug": mugs have none; or the mug is not there."""
    name = voice.pick(PARTS)
    if view.clear and voice.chance(0.7):
        description = describe(voice.pick(view.clear).thing, voice)
        fitting = view.meant(description.fits)
        if not description.category or name in PARTS_OF.get(description.category, ()) or fitting is None:
            return None
        return Found(_worded(name, description, voice)) if len(fitting) == 1 else None
    if all(name not in PARTS_OF.get(thing.category, ()) for thing in view.things) and voice.chance(0.3):
        return Found(voice.say(ONLY_PART).format(part=name))
    category = voice.pick([each for each in CATEGORIES if name in PARTS_OF.get(each, ())])
    gone = Description(category)
    return None if any(gone.fits(thing) for thing in view.things) else Found(_worded(name, gone, voice))


def part_owners(view: View, name: str) -> Figures | None:
    """Everything with such a part; None when it may be there unseen."""
    owners = view.meant(lambda thing: name in PARTS_OF.get(thing.category, ()))
    if owners is None or not all(view.shows_part(figure.thing, name) for figure in owners):
        return None
    return owners


def with_part(name: str, voice: Voice) -> str:
    """ "the thing with a handle"."""
    noun = voice.pick(("object", "thing", "one", "item"))
    return voice.say(WITH_PART).format(noun=noun, a=a_or_an(name), part=name)


def _worded(name: str, description: Description, voice: Voice) -> str:
    return voice.say(PART).format(part=name, whole=plain_phrase(description, voice))
