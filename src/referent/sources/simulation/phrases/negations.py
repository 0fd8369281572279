"""Phrases by what a thing is not: "the mug that is not red", "the can without stripes", "all but the bowl"."""

from __future__ import annotations

from referent.sources.simulation.phrases.descriptions import (
    MATERIAL_WORDS,
    NOUNS,
    Description,
    a_or_an,
    adjective,
    plain_phrase,
    plural_of,
)
from referent.sources.simulation.phrases.singles import unique_description
from referent.sources.simulation.phrases.view import Figures, View
from referent.sources.simulation.phrases.voice import Found, Voice, Wording
from referent.sources.simulation.truth import ObjectTruth

NOT = Wording(
    (
        "the {noun} that is not {word}", "the {noun} which is not {word}", "{a}{noun} that is not {word}",
        "the {noun} that's not {word}", "the {noun} that isn't {word}", "the {noun} which is anything but {word}",
    ),
    ("the {noun} which isn't {word}", "{a}{noun} which is not {word}", "{noun} that is not {word}"),
)  # fmt: skip
NOT_OF_TWO = Wording(
    ("not the {word} {noun} but the other one", "the {noun} other than the {word} one",
     "the other {noun}, not the {word} one"),
    ("the {noun}, but not the {word} one", "not the {word} {noun}, the other one"),
)  # fmt: skip
NOT_MANY = Wording(
    ("the {many} that are not {word}", "all {many} that are not {word}", "the {many} which are not {word}",
     "all the {many} that aren't {word}", "the {many}, not the {word} ones"),
    ("all of the {many} that are not {word}", "all {many} but not the {word} ones", "the {many} which aren't {word}"),
)  # fmt: skip
WITHOUT = {
    "striped": Wording(
        ("the {noun} without stripes", "the {noun} with no stripes"), ("the {noun} that has no stripes",)
    ),
    "checkered": Wording(
        ("the {noun} without checks", "the {noun} that has no checks"), ("the {noun} with no checks",)
    ),
    "wooden": Wording(("the {noun} not made of wood",), ("the {noun} that is not made from wood",)),
    "glossy": Wording(("the {noun} without a shiny surface",), ("the {noun} whose surface is not shiny",)),
}
EXCEPT = Wording(
    (
        "everything except {that}", "everything but {that}", "all things except {that}", "all objects but {that}",
        "everything that is not {that}", "everything other than {that}",
    ),
    ("all the things except {that}", "all of the objects but {that}", "everything, but not {that}"),
)  # fmt: skip
EXCEPT_ONE = Wording(
    ("all {many} except the {word} one", "all the {many} but the {word} one", "every {noun} except the {word} one"),
    ("each {noun} but the {word} one", "all of the {many} except the {word} one", "the {many}, but not the {word} one"),
)
WORDS = (
    {word for wording in (NOT, NOT_OF_TWO, NOT_MANY, *WITHOUT.values(), EXCEPT, EXCEPT_ONE) for word in wording.words}
    | {"isn", "aren", "t", "s", "non", "without", "no", "a", "an"}
)  # fmt: skip


def negation(view: View, voice: Voice) -> Found | None:
    """The only one of its kind that is something else than the others; none where all are like that."""
    if len(view.clear) < 2:
        return None
    drawn = _others(view, voice)
    if drawn is None or len(drawn[2]) != 1:
        return None
    noun, lacked, meant = drawn
    if noun.category and voice.chance(0.25) and sum(noun.fits(each.thing) for each in view.clear) == 2:
        word = adjective(*lacked, voice)
        return Found(voice.say(NOT_OF_TWO).format(noun=noun.category, word=word), meant)
    return Found(_worded(noun, lacked, voice), meant)


def missing_negation(view: View, voice: Voice) -> Found | None:
    """ "the mug that is not red" where all mugs are."""
    if not view.clear:
        return None
    drawn = _others(view, voice)
    return Found(_worded(drawn[0], drawn[1], voice)) if drawn is not None and not drawn[2] else None


def all_not(view: View, voice: Voice) -> Found | None:
    """ "the mugs that are not red"."""
    drawn = _others(view, voice)
    if drawn is None or len(drawn[2]) < 2:
        return None
    noun, (name, value), meant = drawn
    many = plural_of(noun.category or voice.pick(("object", "thing")))
    return Found(voice.say(NOT_MANY).format(many=many, word=adjective(name, value, voice)), meant, form="things")


def all_but(view: View, voice: Voice) -> Found | None:
    """ "everything except the bowl", "all mugs but the red one"."""
    if view.faint:
        return None
    figure = voice.pick(view.clear)
    alike = [each for each in view.clear if each.thing.category == figure.thing.category]
    same_color = [each for each in alike if each.thing.color == figure.thing.color]
    if len(alike) > 2 and len(same_color) == 1 and voice.chance(0.6):
        noun = figure.thing.category
        phrase = voice.say(EXCEPT_ONE).format(noun=noun, many=plural_of(noun), word=figure.thing.color)
        return Found(phrase, [each for each in alike if each is not figure], form="things")
    described = unique_description(view, figure, voice)
    rest = [each for each in view.clear if each is not figure]
    if described is None or len(rest) < 2:
        return None
    return Found(voice.say(EXCEPT).format(that=f"the {plain_phrase(described, voice)}"), rest, form="things")


def _others(view: View, voice: Voice) -> tuple[Description, tuple[str, str], Figures] | None:
    """A noun, a property, and those of the noun that lack it; only where some have it."""
    thing, draw = voice.pick(view.clear).thing, voice.dice.random()
    noun = Description(thing.category if draw < 0.85 else "")
    name, value = _property(thing, voice, sized=bool(noun.category))
    if not value or any(noun.fits(each) for each in view.faint):
        return None
    there = [figure for figure in view.clear if noun.fits(figure.thing)]
    having = [figure for figure in there if getattr(figure.thing, _FIELDS[name]) == value]
    return (noun, (name, value), tuple(figure for figure in there if figure not in having)) if having else None


_FIELDS = {"color": "color", "material": "material", "size": "size_word"}


def _property(thing: ObjectTruth, voice: Voice, *, sized: bool) -> tuple[str, str]:
    draw = voice.dice.random()
    if draw < 0.3 and thing.material in MATERIAL_WORDS:
        return "material", thing.material
    if draw < 0.45 and sized and thing.size_word:
        return "size", thing.size_word
    return "color", thing.color


def _worded(noun: Description, lacked: tuple[str, str], voice: Voice) -> str:
    name, value = lacked
    words = noun.category or voice.pick(NOUNS)
    if name == "material" and voice.chance(0.5):
        return voice.say(WITHOUT[value]).format(noun=words)
    return voice.say(NOT).format(noun=words, a=a_or_an(words), word=adjective(name, value, voice))
