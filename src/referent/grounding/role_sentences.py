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
_CARRIES = ("bring", "carry", "take")
_CARRYING = re.compile(rf"{_POLITE}(?P<verb>bring|carry|take)(?! (?:me|us)\b) (?P<rest>\S.*)", re.IGNORECASE)

_MOVEMENT = r"into|onto|over to|towards?|to(?! the (?:left|right)\b)"
# After "move" and "push" only these part: "push the ball on the box" says which ball.
_BESIDE = (
    r"on top of|on to|next to|close to|in front of|to the (?:left|right)(?: side)? of|beside|behind|in between|between"
)
_POSITION = (
    rf"{_BESIDE}|(?:on the |at the |the )?(?:left|right)(?: side)? of|in the middle of|in|on|inside(?: of)?|near|"
    r"under(?:neath)?|below|over|above|against|by|at|around"
)
_PUSHING = ("move", "push", "slide", "drop")
_PREPOSITION = re.compile(
    rf"(?: (?:back|down|away))? (?:(?P<moves>{_MOVEMENT})|(?P<stands>(?:to be )?(?:{_POSITION}))) (?=\S)", re.IGNORECASE
)
# After these a preposition belongs to the thing before it: "the mug that is on the plate", "the one standing in ...".
_BELONGS = re.compile(
    r"\b(?:is|are|was|were|that|which|lying|standing|sitting|placed|(?:the|that|this) one)$", re.IGNORECASE
)
# Where something lies, and no object: "on the left", "in the middle", "at the back".
_NO_PLACE = re.compile(
    r"(?:(?:the|your|my) )?(?:(?:far |very )?(?:left|right|middle|cent(?:er|re)|front|back|side|top|bottom|other side|"
    r"left side|right side)|itself|order|me|us|here|there|once|last|first|all|least|hand|view|"
    r"(?:the )?(?:picture|image))"
    r"(?=$| (?:of|next|near|in|on|into|onto|to|behind|beside|at|under|above|below|inside|with|and)\b)",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    rf"(?P<pick>{DETERMINER}\b.*?) (?:(?:over )?(?:here|there)|(?:over )?(?:to|in|on|at) {_NO_PLACE.pattern})",
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
    match = _PUTTING.fullmatch(text) or _CARRYING.fullmatch(text)
    if match is None or not (begins_like_a_phrase(match["rest"]) or match["verb"].lower() == "put"):
        return None
    return _parted(match["verb"].lower(), match["rest"])


def _parted(verb: str, rest: str) -> Roles | None:
    """`rest` parted at the preposition that tells the place."""
    found = [match for match in _PREPOSITION.finditer(rest) if match.start() > 0 and _may_part(match, rest)]
    moving = [match for match in found if match["moves"]]
    if verb in _CARRIES:
        usable = moving
    elif verb in _PUSHING:
        usable = moving or [match for match in found if re.fullmatch(_BESIDE, match["stands"], re.IGNORECASE)]
    else:
        usable = moving or found
    if not usable:
        return None if verb in _CARRIES else _without_place(verb, rest)
    at = usable[-1]
    return _roles(rest[: at.start()], rest[at.end() :], certain=len(usable) == 1 and "between" not in at[0].lower())


def _may_part(match: re.Match[str], rest: str) -> bool:
    return not _NO_PLACE.match(rest, match.end()) and not _BELONGS.search(rest[: match.start()])


def _without_place(verb: str, rest: str) -> Roles | None:
    """ "move the mug to the left", "put the mug here": a thing, and no other."""
    if verb in _PUSHING and not re.search(r" (?:here|there|to \S.*)$", rest, re.IGNORECASE):
        return None
    aside = _ASIDE.fullmatch(rest)
    return None if aside is None else Roles((unquoted(aside["pick"]),), None, False)


def _roles(pick: str, place: str, *, certain: bool) -> Roles | None:
    pick, place = unquoted(pick), unquoted(place)
    if not pick or not place:
        return None
    plain = all(begins_like_a_phrase(phrase) and stands_alone(phrase) for phrase in (pick, place))
    return Roles(listed(pick), place, certain and plain)
