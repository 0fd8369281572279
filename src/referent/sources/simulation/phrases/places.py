"""Phrases by where a thing is: beside another object, between two, and as the viewer sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from referent.sources.simulation.phrases.descriptions import Description, a_or_an, plain_phrase
from referent.sources.simulation.phrases.singles import missing_description, unique_description
from referent.sources.simulation.phrases.view import (
    Figure,
    Figures,
    Lead,
    View,
    distances,
    leader,
    more_left,
    nearer,
    parted,
    ranked,
    reversed_lead,
)
from referent.sources.simulation.phrases.voice import Found, Voice, Wording

SIDES: dict[str, tuple[Lead, Wording]] = {
    "left": (
        more_left,
        Wording(
            ("left of", "to the left of", "on the left of", "on the left side of"),
            ("to the left side of", "further left than", "at the left of"),
        ),
    ),
    "right": (
        reversed_lead(more_left),
        Wording(
            ("right of", "to the right of", "on the right of", "on the right side of"),
            ("to the right side of", "further right than", "at the right of"),
        ),
    ),
    "behind": (
        reversed_lead(nearer),
        Wording(
            ("behind", "at the back of", "farther away than", "further away than"),
            ("further back than", "in the back of"),
        ),
    ),
    "front": (
        nearer,
        Wording(
            ("in front of", "closer than", "closer to me than", "nearer than"),
            ("nearer to me than", "at the front of"),
        ),
    ),
}
NEAR = {
    "beside": Wording(("next to", "beside", "near", "close to", "right next to"), ("near to", "right beside")),
    "closest": Wording(("closest to", "nearest to")),
    "farthest": Wording(("farthest from", "furthest from", "farthest away from"), ("furthest away from",)),
}
BETWEEN = Wording(
    ("between {one} and {other}", "in between {one} and {other}"),
    ("in the middle between {one} and {other}", "standing between {one} and {other}"),
)
RELATED = Wording(
    ("the {noun} {place}", "the {noun} {place}", "{noun} {place}", "the {noun} that is {place}",
     "{a}{noun} {place}", "the only {noun} {place}", "the {noun} standing {place}", "the {noun} that stands {place}"),
    ("the {noun} which is {place}", "that {noun} {place}", "the {noun} which stands {place}"),
)  # fmt: skip
VIEWED: dict[str, tuple[Lead, Wording]] = {
    "left": (
        more_left,
        Wording(
            ("the {noun} on the left", "the left {noun}", "the {noun} to the left", "{noun} on the left"),
            ("the {noun} at the left", "the {noun} that is on the left", "the {noun} on the left side"),
        ),
    ),
    "right": (
        reversed_lead(more_left),
        Wording(
            ("the {noun} on the right", "the right {noun}", "the {noun} to the right", "{noun} on the right"),
            ("the {noun} at the right", "the {noun} that is on the right", "the {noun} on the right side"),
        ),
    ),
    "near": (
        nearer,
        Wording(
            ("the near {noun}", "the {noun} closest to me", "the {noun} nearest to me", "the {noun} in the front",
             "the front {noun}", "the {noun} closest to the camera", "the {noun} closest to you"),
            ("the {noun} nearest to you", "the {noun} that is closest to me", "the {noun} nearest to the camera"),
        ),
    ),
    "far": (
        reversed_lead(nearer),
        Wording(
            ("the far {noun}", "the {noun} farthest from me", "the {noun} at the back", "the {noun} in the back",
             "the back {noun}", "the {noun} farthest away", "the {noun} farthest from the camera"),
            ("the {noun} furthest from you", "the {noun} that is farthest away", "the {noun} furthest from me"),
        ),
    ),
}  # fmt: skip
MIDDLE = Wording(("the middle {noun}", "the {noun} in the middle"), ("the {noun} that is in the middle",))
WORDS = {word for _, wording in (*SIDES.values(), *VIEWED.values()) for word in wording.words} | {
    word for wording in (*NEAR.values(), BETWEEN, RELATED, MIDDLE) for word in wording.words
}
BESIDE_M = 0.20  # next to something is at most so far from it, centre to centre


def relation(view: View, voice: Voice) -> Found | None:
    """ "the mug left of the box", "the mug between the box and the can", "the far box"."""
    if len(view.clear) < 2:
        return None
    draw = voice.dice.random()
    if draw < 0.3:
        return viewed(view, voice)
    if draw < 0.4 and len(view.clear) > 2:
        return _between(view, voice)
    anchor, others = split(view, voice.pick(view.clear))
    described = unique_description(view, anchor, voice)
    if described is None:
        return None
    named = f"the {plain_phrase(described, voice)}"
    found = related(view, others, anchor, named, voice)
    return found if found is not None and len(found.figures) == 1 else None


def split(view: View, anchor: Figure) -> tuple[Figure, Figures]:
    """An object, and all others."""
    return anchor, tuple(figure for figure in view.clear if figure is not anchor)


def related(view: View, others: Figures, anchor: Figure, named: str, voice: Voice) -> Found | None:
    """What stands in a certain place to `anchor`, which is called `named`; it may be nothing, or several."""
    if not others:
        return None
    noun = draw_noun(others, voice)
    if any(noun.fits(thing) for thing in view.faint):
        return None
    wording, there = somewhere([figure for figure in others if noun.fits(figure.thing)], anchor, view, voice)
    return None if there is None else Found(placed(noun, f"{voice.say(wording)} {named}", voice), there)


def somewhere(candidates: Sequence[Figure], anchor: Figure, view: View, voice: Voice) -> tuple[Wording, Figures | None]:
    """The words of a drawn place, and who of `candidates` stands there to `anchor`; None where that is not certain."""
    if voice.chance(0.65):
        lead, wording = SIDES[voice.pick(tuple(SIDES))]
        return wording, parted(candidates, anchor, lead)
    name = voice.pick(tuple(NEAR))
    return NEAR[name], by_distance(candidates, anchor, name, view)


def draw_noun(figures: Sequence[Figure], voice: Voice) -> Description:
    """What a phrase about a place calls the thing: mostly its category, at times nothing in particular."""
    thing, draw = voice.pick(figures).thing, voice.dice.random()
    if draw < 0.65:
        return Description(thing.category)
    return Description(thing.category if draw < 0.75 else "", thing.color) if draw < 0.85 else Description()


def placed(noun: Description, place: str, voice: Voice) -> str:
    """ "the mug that is left of the box"."""
    words = plain_phrase(noun, voice)
    return voice.say(RELATED).format(noun=words, place=place, a=a_or_an(words))


def by_distance(candidates: Sequence[Figure], anchor: Figure, name: str, view: View) -> Figures | None:
    """The one beside, closest to or farthest from `anchor`; none beside when all are far; None when unsure."""
    if not candidates:
        return ()
    apart = sorted((distances(figure, anchor, view), index) for index, figure in enumerate(candidates))
    if name == "farthest":
        apart.reverse()
    (first_m, first_px), index = apart[0]
    best = (candidates[index],)
    if len(apart) > 1:
        (second_m, _), _ = apart[1]
        low, high = sorted((first_m, second_m))
        told = high > (1.5 if name == "beside" else 1.2) * low + 0.02
        agrees = all((px > 1.1 * first_px) if name != "farthest" else (1.1 * px < first_px) for (_, px), _ in apart[1:])
        if not (told and agrees):
            return () if name == "beside" and first_m > 1.6 * BESIDE_M else None
    elif name != "beside":
        return None  # of one thing nobody says that it is the closest
    if name != "beside" or first_m <= BESIDE_M:
        return best
    return () if first_m > 1.6 * BESIDE_M else None


def _between(view: View, voice: Voice) -> Found | None:
    one, other, third = voice.dice.sample(view.clear, 3)
    noun = Description(third.thing.category) if voice.chance(0.6) else Description()
    described = [unique_description(view, figure, voice) for figure in (one, other)]
    if None in described or any(noun.fits(thing) for thing in view.faint):
        return None
    rest = [figure for figure in view.clear if figure not in (one, other) and noun.fits(figure.thing)]
    judged = [is_between(figure, one, other, view) for figure in rest]
    if None in judged or sum(map(bool, judged)) != 1:
        return None
    names = [f"the {plain_phrase(each, voice)}" for each in described if each]
    phrase = placed(noun, voice.say(BETWEEN).format(one=names[0], other=names[1]), voice)
    return Found(phrase, (rest[judged.index(True)],))


def is_between(figure: Figure, one: Figure, other: Figure, view: View) -> bool | None:
    """Whether it stands between two others, in space and in the picture; None when unsure."""
    width, height = view.size
    pictured = [(each.across * width, each.down * height) for each in (figure, one, other)]
    shares = [
        _along(figure.position_m, one.position_m, other.position_m),
        _along(*pictured),
    ]
    if all(0.25 <= along <= 0.75 and off <= 0.35 for along, off in shares):
        return True
    outside = [along < 0.05 or along > 0.95 or off > 0.6 for along, off in shares]
    return False if all(outside) else None


def _along(point: Sequence[float], start: Sequence[float], end: Sequence[float]) -> tuple[float, float]:
    """How far along the way from start to end, and how far off it, in shares of its length."""
    way = [b - a for a, b in zip(start, end, strict=True)]
    to_point = [b - a for a, b in zip(start, point, strict=True)]
    squared = max(sum(each * each for each in way), 1e-12)
    along = sum(a * b for a, b in zip(way, to_point, strict=True)) / squared
    off = math.dist(to_point, [along * each for each in way]) / math.sqrt(squared)
    return along, off


def viewed(view: View, voice: Voice) -> Found | None:
    """ "the mug on the left", "the far box"."""
    noun = draw_noun(view.clear, voice)
    meant = view.meant(noun.fits)
    if meant is None or len(meant) < 2:
        return None
    words = plain_phrase(noun, voice)
    if len(meant) == 3 and voice.chance(0.2):
        order = ranked(meant, more_left, 2)
        return Found(voice.say(MIDDLE).format(noun=words), order[1:]) if order else None
    side = voice.pick(tuple(VIEWED))
    _, wording = VIEWED[side]
    best = seen_at(meant, side)
    return Found(voice.say(wording).format(noun=words), (best,)) if best is not None else None


def seen_at(figures: Figures, side: str) -> Figure | None:
    """The one "on the left": of three or more, the only one in that half of the picture."""
    best = leader(figures, VIEWED[side][0])
    if best is None or side in ("near", "far") or len(figures) == 2:
        return best
    halves = [figure.across < 0.5 if side == "left" else figure.across > 0.5 for figure in figures]
    return best if sum(halves) == 1 else None


def missing_relation(view: View, voice: Voice) -> Found | None:
    """ "the mug left of the box" where no mug stands there, or where there is no box."""
    if not view.clear:
        return None
    if voice.chance(0.35):
        gone = missing_description(view, voice)
        if gone is None:
            return None
        named = f"the {plain_phrase(gone, voice)}"
        _, wording = SIDES[voice.pick(tuple(SIDES))]
        return Found(placed(draw_noun(view.clear, voice), f"{voice.say(wording)} {named}", voice))
    anchor, others = split(view, voice.pick(view.clear))
    described = unique_description(view, anchor, voice)
    if described is None:
        return None
    named = f"the {plain_phrase(described, voice)}"
    found = related(view, others, anchor, named, voice)
    return found if found is not None and not found.figures else None


def missing_viewed(view: View, voice: Voice) -> Found | None:
    """ "the leftmost banana" where there is none."""
    gone = missing_description(view, voice)
    if gone is None or not gone.category:
        return None
    _, wording = VIEWED[voice.pick(tuple(VIEWED))]
    return Found(voice.say(wording).format(noun=plain_phrase(gone, voice)))
