"""What an expression's words tell without a picture: one or several, for how long it holds, and names for rivals."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from referent.types import Array


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without marks."""
    return tuple(re.findall(r"[a-z0-9]+", text.lower()))


_DETERMINERS = frozenset(words_of("the a an one this that my your any some another"))
_SEVERAL = frozenset(words_of("all both every each two three four five six several everything these those many"))
_AFTER_NOUN = frozenset(
    words_of(
        "that which who with without of on in at by to from near next behind beside besides between above below under "
        "left right over into onto inside outside not but except than is are was were has have for and or"
    )
)
# Words for one thing that end like a plural.
_ENDS_LIKE_PLURAL = ("ss", "us", "is", "scissors", "pliers", "tongs", "tweezers", "glasses", "goggles", "series")
# What they say depends on where things and the camera are, and may be wrong a second later.
_TIME_BOUND = frozenset(
    words_of(
        "left right leftmost rightmost middle center centre front behind back near nearest nearer close closest closer "
        "far farthest furthest next beside besides between above below under underneath over upper lower top bottom "
        "first second third fourth last other another moved moving just now here there on in inside by from"
    )
)
_FILLERS = frozenset(words_of("the a an one please i mean meant it is no yes to of on at in side s that take pick up"))
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def wants_one(expression: str) -> bool:
    """Whether an expression means one object: it is about no number of them and its noun is no plural."""
    words = words_of(expression)
    if any(word in _SEVERAL for word in words):
        return False
    head = _head_noun(words)
    return not head.endswith("s") or head.endswith(_ENDS_LIKE_PLURAL)


def is_lasting(expression: str) -> bool:
    """Whether an expression means the same when things or the camera have moved: it speaks of no places or orders."""
    return not _TIME_BOUND.intersection(words_of(expression))


def rival_names(boxes_xyxy: Sequence[Array]) -> tuple[str, ...]:
    """What to call several like objects by how they lie: "left one", "upper one", "third from the left"."""
    if not boxes_xyxy:
        return ()
    middles = np.array([(box[:2] + box[2:]) / 2 for box in boxes_xyxy])
    side_by_side = np.ptp(middles[:, 0]) >= np.ptp(middles[:, 1])
    order = np.argsort(middles[:, 0 if side_by_side else 1], kind="stable")
    ranked = _names_in_order(len(boxes_xyxy), *(("left", "right") if side_by_side else ("upper", "lower")))
    names = [""] * len(boxes_xyxy)
    for name, index in zip(ranked, order, strict=True):
        names[index] = name
    return tuple(names)


def chosen_name(expression: str, names: Sequence[str], *, known: str) -> int | None:
    """Which of `names` an expression such as "the left one" says; None when that is not certain.

    Words of the expression they were found by, `known`, may be repeated: "the left mug".
    """
    said = set(words_of(expression)) - _FILLERS - set(words_of(known))
    matches = [index for index, name in enumerate(names) if said and said == set(words_of(name)) - _FILLERS]
    return matches[0] if len(matches) == 1 else None


def which_one(expression: str, names: Sequence[str]) -> str:
    """The question to a person: "2 match 'the red mug': left one or right one?"."""
    listed = ", ".join(names[:-1]) + f" or {names[-1]}" if len(names) > 1 else "".join(names)
    return f"{len(names)} match {expression!r}: {listed}?"


def _head_noun(words: Sequence[str]) -> str:
    """The last word of the first noun phrase: after its determiner, before what describes the noun."""
    start = next((index + 1 for index, word in enumerate(words) if word in _DETERMINERS), 0)
    phrase = list(words[start:])
    for index, word in enumerate(phrase[1:], 1):
        if word in _AFTER_NOUN:
            phrase = phrase[:index]
            break
    return phrase[-1] if phrase else ""


def _names_in_order(count: int, low: str, high: str) -> list[str]:
    if count == 1:
        return ["only one"]
    if count <= 3:
        return [f"{low} one", *(["middle one"] if count == 3 else []), f"{high} one"]
    side = {"left": "left", "upper": "top"}[low]
    ranks = [*_ORDINALS, *(f"number {n}" for n in range(len(_ORDINALS) + 1, count + 1))]
    return [f"{rank} from the {side}" for rank in ranks[:count]]
