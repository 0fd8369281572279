"""What is said after an answer: "no, the other one", "the one behind it", "also the blue one".

Where a follow-up could give its answer away by what was answered before, it is only made when it could as well have
meant the thing answered as another, and either is drawn with equal chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from referent.sources.simulation.phrases.descriptions import Description, adjective, clause, describe, noun_phrase
from referent.sources.simulation.phrases.parts import PARTS_OF
from referent.sources.simulation.phrases.places import placed, somewhere, split
from referent.sources.simulation.phrases.singles import missing_description
from referent.sources.simulation.phrases.view import Figure, Figures, Lead, View, bigger, more_left, nearer, taller
from referent.sources.simulation.phrases.voice import Found, Voice, Wording
from referent.sources.simulation.vocabulary import COLORS, PARTS

T = TypeVar("T")
CORRECTION = Wording(
    (
        "no, {}", "no, {}", "no {}", "{}", "{}", "no, i mean {}", "i meant {}", "not that one, {}", "sorry, {}",
        "actually, {}", "wrong, {}", "no, take {}", "{} please", "{} instead", "i said {}", "no, i want {}",
        "that is wrong, i mean {}",
    ),
    ("no no, {}", "no, sorry, {}", "that is wrong, {}", "actually i meant {}", "no, please take {} instead",
     "sorry, i want {}"),
)  # fmt: skip
ONWARD = Wording(
    (
        "{}", "{}", "{}", "now {}", "and now {}", "then {}", "ok, {}", "no, {}", "find {}", "take {}", "i mean {}",
        "what about {}", "where is {}", "show me {}", "now take {}", "good, now {}", "please find {}", "give me {}",
    ),
    ("ok, now {}", "good, then take {}", "could you now find {}", "and where is {}", "now show me {}",
     "then give me {}"),
)  # fmt: skip
ADDITION = Wording(
    (
        "also {}", "also {}", "and {}", "and {} too", "{} too", "{} as well", "and also {}", "now also {}", "add {}",
        "i also want {}", "please also find {}", "take {} too",
    ),
    ("please also take {}", "and {} as well", "i also need {}", "also {} please", "{} also", "now add {} too"),
)  # fmt: skip
OTHER = Wording(
    ("the other one", "the other one", "the other {}", "the other {}", "not this {}, the other one", "the other"),
    ("the other one, not that one", "not this {} but the other", "that other {}"),
)
ALL_OF_THEM = Wording(("all of them", "all", "all of these"), ("each of them", "every one of them"))
BOTH_OF_THEM = Wording(("both", "both of them", "the two of them"), ("all two of them", "both of these"))
ITS_PART = Wording(("its {}", "the {} of it", "its {}", "the {}"), ("that {} of it", "the {} on it"))
REFINED = Wording(("the {} {}", "the {} {}", "the {} {}", "that {} {}"), ("the only {} {}", "my {} {}"))
COMPARED: tuple[tuple[Lead, Wording, Wording], ...] = (
    (bigger, Wording(("the larger {}", "the bigger {}", "the {} that is larger"), ("the {} that is bigger",)),
     Wording(("the smaller {}", "the {} that is smaller"), ("the {} which is smaller",))),
    (more_left, Wording(("the left {}", "the {} on the left", "the {} to the left"), ("the {} that is on the left",)),
     Wording(("the right {}", "the {} on the right", "the {} to the right"), ("the {} that is on the right",))),
    (nearer, Wording(("the nearer {}", "the closer {}", "the {} closer to me"), ("the {} that is closer",)),
     Wording(("the farther {}", "the {} farther away", "the {} further away"), ("the {} that is farther away",))),
    (taller, Wording(("the taller {}", "the higher {}"), ("the {} that is taller",)),
     Wording(("the shorter {}", "the lower {}"), ("the {} that is shorter",))),
)  # fmt: skip
WORDINGS = (CORRECTION, ONWARD, ADDITION, OTHER, ALL_OF_THEM, BOTH_OF_THEM, ITS_PART, REFINED)
WORDS = {word for wording in WORDINGS for word in wording.words} | {
    word for _, *pair in COMPARED for wording in pair for word in wording.words
}


@dataclass(frozen=True, eq=False)
class Before:
    """What the earlier turn leaves to speak of."""

    answered: Figures
    category: str  # of what was asked for; "" when it was named by no category
    pool: Figures | None  # all of what was asked for by its noun; None when that is not certain
    candidates: Figures  # what the earlier phrase fits, where it fits several; else the pool
    several: bool  # whether the earlier phrase fits several

    @property
    def it(self) -> Figure | None:
        """The thing answered, if it was one."""
        return self.answered[0] if len(self.answered) == 1 else None

    def noun(self, voice: Voice) -> str:
        """What to call what is asked for."""
        return self.category if self.category and voice.chance(0.25) else "one"


def other(view: View, before: Before, voice: Voice) -> Found | None:
    """ "no, the other one": two candidates, one of which was answered."""
    pair = before.candidates
    if before.it is None or len(pair) != 2 or before.it not in pair or before.pool is None:
        return None
    rest = tuple(figure for figure in pair if figure is not before.it)
    noun = before.category or voice.pick(("object", "thing"))
    phrase = voice.say(OTHER).format(noun)
    if len(before.pool) != 2 and before.category and f"other {noun}" in phrase:
        return None  # of three mugs two are red: the other mug may be the third
    return Found(voice.say(CORRECTION).format(phrase), rest)


def refined(view: View, before: Before, voice: Voice) -> Found | None:
    """ "no, the blue one": a property that only one of those asked for has."""
    if before.pool is None or (len(before.pool) < 2 and before.answered):
        return None
    options = [option for option in _telling(before.pool) if option[2] in before.candidates]
    drawn = _fair(options, [option[2] for option in options], before, voice)
    if drawn is None:
        return None
    name, value, figure = drawn
    return Found(_refined(name, value, before, voice), (figure,))


def refined_away(view: View, before: Before, voice: Voice) -> Found | None:
    """ "no, the green one" where nothing is green."""
    gone = [color for color in COLORS if all(thing.color != color for thing in view.things)]
    if before.pool is None or not gone or voice.chance(0.5):
        return None
    return Found(_refined("color", voice.pick(gone), before, voice))


def compared(view: View, before: Before, voice: Voice) -> Found | None:
    """ "no, the larger one": two candidates, which differ clearly."""
    if before.pool is None or len(before.candidates) != 2:
        return None
    one, another = before.candidates
    lead, more, less = voice.pick(COMPARED)
    led = lead(one, another)
    if abs(led) < 1 or (before.it is not None and before.it not in before.candidates):
        return None
    first, second = (one, another) if led >= 1 else (another, one)
    options = [(more, first), (less, second)]
    drawn = _fair(options, [first, second], before, voice)
    if drawn is None:
        return None
    wording, figure = drawn
    return Found(voice.say(CORRECTION).format(voice.say(wording).format(before.noun(voice))), (figure,))


def related_to_it(view: View, before: Before, voice: Voice) -> Found | None:
    """ "the one behind it", "the mug next to it"; at times there is nothing."""
    if before.it is None:
        return None
    it, others = split(view, before.it)
    noun = _noun_of(others, voice)
    if noun is None or any(noun.fits(thing) for thing in view.faint):
        return None
    wording, meant = somewhere([figure for figure in others if noun.fits(figure.thing)], it, view, voice)
    if meant is None or len(meant) > 1 or (not meant and voice.chance(0.6)):
        return None
    place = f"{voice.say(wording)} it"
    phrase = place if not noun.category and not noun.color and voice.chance(0.2) else placed(noun, place, voice)
    return Found(voice.say(ONWARD).format(phrase), meant)


def added(view: View, before: Before, voice: Voice) -> Found | None:
    """ "also the blue one", "and the box too": only what is added; at times it is not there."""
    if not before.answered:
        return None
    if voice.chance(0.12):
        gone = missing_description(view, voice)
        return None if gone is None else Found(voice.say(ADDITION).format(noun_phrase(gone, voice, article="the ")))
    rest = [figure for figure in view.clear if figure not in before.answered]
    if not rest:
        return None
    figure = voice.pick(rest)
    description = describe(figure.thing, voice)
    if view.meant(description.fits) != (figure,):
        return None
    return Found(voice.say(ADDITION).format(noun_phrase(description, voice, article="the ", noun="one")), (figure,))


def its_part(view: View, before: Before, voice: Voice) -> Found | None:
    """ "its handle"; at times it has none."""
    if before.it is None:
        return None
    thing = before.it.thing
    names = PARTS_OF.get(thing.category, ())
    if voice.chance(0.15):
        lacking = [name for name in PARTS if name not in names]
        return Found(_its(voice.pick(lacking), voice, ITS_PART.known[:2])) if lacking else None
    shown = [name for name in names if view.shows_part(thing, name)]
    if not shown:
        return None
    name = voice.pick(shown)
    only = sum(name in PARTS_OF.get(each.category, ()) for each in view.things) == 1
    templates = ITS_PART.held_out if voice.unseen else ITS_PART.known if only else ITS_PART.known[:3]
    return Found(_its(name, voice, templates), (before.it,), name)


def all_of_them(view: View, before: Before, voice: Voice) -> Found | None:
    """ "no, both of them": all that the earlier phrase fits."""
    if not before.several or len(before.candidates) < 2:
        return None
    wording = BOTH_OF_THEM if len(before.candidates) == 2 else ALL_OF_THEM
    return Found(voice.say(CORRECTION).format(voice.say(wording)), before.candidates)


def _its(name: str, voice: Voice, templates: Sequence[str]) -> str:
    return voice.say(ONWARD).format(voice.pick(templates).format(name))


def _noun_of(figures: Figures, voice: Voice) -> Description | None:
    if not figures:
        return None
    thing, draw = voice.pick(figures).thing, voice.dice.random()
    return Description(thing.category) if draw < 0.45 else Description("", thing.color if draw < 0.5 else "")


def _telling(pool: Figures) -> Iterator[tuple[str, str, Figure]]:
    """Properties that only one of the pool has: name, value, and the one."""
    for name, field in (("color", "color"), ("material", "material"), ("size", "size_word")):
        values = [getattr(figure.thing, field) for figure in pool]
        if name == "size" and "" in values:
            continue  # what comes in one size only may be called small or large
        for value, figure in zip(values, pool, strict=True):
            if value not in ("", "plain") and values.count(value) == 1:
                yield name, value, figure


def _fair(options: Sequence[T], meant: Sequence[Figure], before: Before, voice: Voice) -> T | None:
    """One of the options; as likely one that means the thing answered as one that means another."""
    same = [option for option, figure in zip(options, meant, strict=True) if figure is before.it]
    different = [option for option, figure in zip(options, meant, strict=True) if figure is not before.it]
    if before.it is None or (before.category and before.it.thing.category != before.category):
        return voice.pick(different) if different else None
    if not same or not different:
        return None
    return voice.pick(same if voice.chance(0.5) else different)


def _refined(name: str, value: str, before: Before, voice: Voice) -> str:
    noun = before.noun(voice)
    if voice.chance(0.25):
        phrase = f"the {noun} {clause(name, value, voice)}"
    else:
        phrase = voice.say(REFINED).format(adjective(name, value, voice), noun)
    return voice.say(CORRECTION).format(phrase)
