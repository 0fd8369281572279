"""Sentences that give two things their roles: "put the red mug into the bowl" says what to pick and the place for it.

English does not say whether "in the bowl" belongs to the mug or to the putting. What is certain: one preposition only,
or one that means a movement ("into") beside others that mean a place ("on").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from referent.grounding.phrases import DETERMINER, begins_like_a_phrase, listed, stands_alone, unquoted

PICK, PLACE = "pick", "place"

_POLITE = (
    r"(?:(?:can|could|would|will) you (?:please |kindly )*|i(?:'d| would) like you to |i (?:want|need) you to |"
    r"now |then |please |kindly |carefully |try to |let's |let us )*"
)
_DOWN = r"(?: (?:down|back|away))?"
_THEN = r"(?:,? and then|,? then|,? and|,)"
_GET = r"(?:pick up|take|grab|get|fetch|lift(?: up)?|pick)"
_PUT = r"(?:put|place|set|lay|stack|insert|drop|move|push|slide|bring|carry)"
_TWO_STEPS = re.compile(
    rf"{_POLITE}{_GET} (?P<pick>{DETERMINER}\b.*?)(?: up)?{_THEN} {_PUT} (?:it|them){_DOWN} (?P<rest>\S.*)",
    re.IGNORECASE,
)
# Verbs after which a place must follow; "bring" and "take" are also said of what is just wanted.
_PUTTING = re.compile(
    rf"{_POLITE}(?P<verb>put|place|set|lay|stack|insert|drop|move|push|slide)(?: down)? (?P<rest>\S.*)", re.IGNORECASE
)
_CARRYING = re.compile(rf"{_POLITE}(?P<verb>bring|carry|take)(?! (?:me|us)\b) (?P<rest>\S.*)", re.IGNORECASE)

_MOVEMENT = r"into|onto|over to|towards?|to(?! the (?:left|right)\b)"
_POSITION = (
    r"on top of|on to|next to|close to|in front of|(?:to the )?(?:left|right) of|in between|in|on|inside(?: of)?|"
    r"beside|near|behind|between|under(?:neath)?|below|over|above|against|by|at|around"
)
_PREPOSITION = re.compile(
    rf"(?: (?:back|down|away))? (?:(?P<moves>{_MOVEMENT})|(?P<stands>(?:to be )?(?:{_POSITION}))) (?=\S)", re.IGNORECASE
)
# After these a preposition belongs to the thing before it: "the mug that is on the plate", "the one standing in ...".
_BELONGS = re.compile(r"\b(?:is|are|was|were|that|which|lying|standing|sitting|placed|one)$", re.IGNORECASE)
# Where something lies, and no object: "on the left", "in the middle", "at the back".
_NO_PLACE = re.compile(
    r"(?:(?:the|your|my) )?(?:(?:far |very )?(?:left|right|middle|cent(?:er|re)|front|back|side|top|bottom|other side|"
    r"left side|right side)|itself|order|me|us|here|there|once|last|first|all|least|hand)(?= |$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Roles:
    """What a sentence wants to be picked, and at which thing to be put; without a place it names the pick alone."""

    picks: tuple[str, ...]
    place: str | None
    certain: bool


def roles_from(text: str) -> Roles | None:
    """The roles of a sentence; None when it gives none."""
    two = _TWO_STEPS.fullmatch(text)
    if two is not None:
        place = re.sub(rf"^(?:{_MOVEMENT}|{_POSITION}) ", "", two["rest"], flags=re.IGNORECASE)
        if place != two["rest"] and not _NO_PLACE.match(place):
            return _roles(two["pick"], place, certain=True)
    putting = _PUTTING.fullmatch(text)
    match = putting or _CARRYING.fullmatch(text)
    if match is None or not (begins_like_a_phrase(match["rest"]) or match["verb"].lower() == "put"):
        return None
    return _parted(match["rest"], only_movement=putting is None)


def _parted(rest: str, *, only_movement: bool) -> Roles | None:
    """`rest` parted at the preposition that tells the place."""
    found = [match for match in _PREPOSITION.finditer(rest) if match.start() > 0 and _may_part(match, rest)]
    moving = [match for match in found if match["moves"]]
    usable = moving if moving or only_movement else found
    if not usable:
        return None if only_movement else _without_place(rest)
    at = usable[-1]
    return _roles(rest[: at.start()], rest[at.end() :], certain=len(usable) == 1 and "between" not in at[0].lower())


def _may_part(match: re.Match[str], rest: str) -> bool:
    if match["moves"]:
        return not _NO_PLACE.match(rest, match.end())
    return not _NO_PLACE.match(rest, match.end()) and not _BELONGS.search(rest[: match.start()])


def _without_place(rest: str) -> Roles | None:
    """ "move the mug to the left", "put the mug here": a thing, and no other."""
    aside = re.fullmatch(
        rf"(?P<pick>{DETERMINER}\b.*?) (?:to|on|in|at|over|right)* ?(?P<where>{_NO_PLACE.pattern})", rest, re.IGNORECASE
    )
    return None if aside is None else Roles((unquoted(aside["pick"]),), None, False)


def _roles(pick: str, place: str, *, certain: bool) -> Roles | None:
    pick, place = unquoted(pick), unquoted(place)
    if not pick or not place:
        return None
    plain = all(begins_like_a_phrase(phrase) and stands_alone(phrase) for phrase in (pick, place))
    return Roles(listed(pick), place, certain and plain)
