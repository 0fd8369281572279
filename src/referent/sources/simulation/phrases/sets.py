"""Phrases that mean several: "all the mugs", "both cans", "the two red things", "the mug and the box"."""

from __future__ import annotations

from referent.sources.simulation.phrases.descriptions import Description, noun_phrase, plain_phrase, plural_phrase
from referent.sources.simulation.phrases.negations import all_but, all_not
from referent.sources.simulation.phrases.places import SIDES, split
from referent.sources.simulation.phrases.singles import unique_description
from referent.sources.simulation.phrases.uses import uses_of_several
from referent.sources.simulation.phrases.view import Figures, View, parted
from referent.sources.simulation.phrases.voice import Found, Voice, Wording

COUNTS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
ALL = Wording(
    ("all the {many}", "all {many}", "the {many}", "the {many}", "every {one}", "each {one}", "every single {one}"),
    ("all of the {many}", "each of the {many}", "every one of the {many}", "each single {one}"),
)
COUNTED = Wording(
    ("the {count} {many}", "{count} {many}", "all {count} {many}", "the {count} {many} there"),
    ("all of the {count} {many}", "all the {count} {many}", "each of the {count} {many}"),
)
TWO = Wording(("the two {many}", "two {many}", "the two {many} there"), ("both of the two {many}", "my two {many}"))
BOTH = Wording(
    ("both {many}", "both of the {many}", "both the {many}", "the pair of {many}"),
    ("the {many}, both of them", "both my {many}"),
)
TOGETHER = Wording(
    ("{one} and {other}", "{one} and {other}", "{one} and also {other}", "{one} together with {other}"),
    ("both {one} and {other}", "{one} and {other} together"),
)
EVERYTHING = Wording(
    ("everything", "everything on the table", "all the things", "all objects", "all things on the table"),
    ("all the objects on the table", "every object on the table", "all of the things"),
)
ALL_THERE = Wording(
    ("everything {place}", "all {many} {place}", "the {many} {place}", "all the {many} {place}"),
    ("all of the {many} {place}", "everything that is {place}", "every {one} {place}"),
)
WORDS = (
    {"them", "there", "my", *COUNTS.values()}
    | {word for wording in (ALL, COUNTED, TWO, BOTH, TOGETHER, EVERYTHING, ALL_THERE) for word in wording.words}
)  # fmt: skip


def plural(view: View, voice: Voice) -> Found | None:
    """Several objects, by what they are, where they are, what they are for, or by naming each."""
    if len(view.clear) < 2:
        return None
    draw = voice.dice.random()
    if draw < 0.55:
        return _alike(view, voice)
    if draw < 0.66:
        return _together(view, voice)
    if draw < 0.76:
        return _on_a_side(view, voice)
    if draw < 0.86:
        return uses_of_several(view, voice)
    if draw < 0.90:
        return None if view.faint else Found(voice.say(EVERYTHING), view.clear, form="things")
    return (all_but if draw < 0.95 else all_not)(view, voice)


def _alike(view: View, voice: Voice) -> Found | None:
    thing, draw = voice.pick(view.clear).thing, voice.dice.random()
    if draw < 0.5:
        description = Description(thing.category)
    elif draw < 0.7:
        description = Description("", thing.color)
    elif draw < 0.85:
        description = Description(thing.category if draw < 0.75 else "", "", thing.material.replace("plain", ""))
    else:
        description = Description(thing.category, "" if thing.size_word else thing.color, "", thing.size_word)
    meant = view.meant(description.fits)
    if meant is None or len(meant) < 2 or description == Description():
        return None
    return Found(_counted_or_all(description, meant, voice), meant, form="things")


def _counted_or_all(description: Description, meant: Figures, voice: Voice) -> str:
    many = plural_phrase(description, voice)
    draw, count = voice.dice.random(), len(meant)
    if count == 2 and draw < 0.25:
        return voice.say(BOTH).format(many=many)
    if count == 2 and draw < 0.5:
        return voice.say(TWO).format(many=many)
    if count in COUNTS and draw < 0.5:
        return voice.say(COUNTED).format(many=many, count=COUNTS[count])
    return voice.say(ALL).format(many=many, one=plain_phrase(description, voice, noun=voice.pick(("object", "thing"))))


def _together(view: View, voice: Voice) -> Found | None:
    figures = voice.dice.sample(view.clear, 2)
    described = [unique_description(view, figure, voice) for figure in figures]
    if None in described:
        return None
    one, other = (noun_phrase(each, Voice(voice.dice), article="the ") for each in described if each)
    return Found(voice.say(TOGETHER).format(one=one, other=other), figures, form="things")


def _on_a_side(view: View, voice: Voice) -> Found | None:
    anchor, others = split(view, voice.pick(view.clear))
    described = unique_description(view, anchor, voice)
    noun = Description() if voice.chance(0.5) else Description(voice.pick(others).thing.category)
    if described is None or any(noun.fits(thing) for thing in view.faint):
        return None
    lead, wording = SIDES[voice.pick(tuple(SIDES))]
    there = parted([figure for figure in others if noun.fits(figure.thing)], anchor, lead)
    if there is None or len(there) < 2:
        return None
    place = f"{voice.say(wording)} the {plain_phrase(described, voice)}"
    template = voice.say(ALL_THERE)
    if noun.category and "everything" in template:
        template = ALL_THERE.known[1]
    many = plural_phrase(noun, voice)
    one = plain_phrase(noun, voice, noun="thing")
    return Found(template.format(place=place, many=many, one=one), there, form="things")
