"""What an instruction does to what is followed: replace, add, remove, refine, correct, undo. No model is asked.

Forms of speech are told by tables of patterns, tried from the most to the least unmistakable. Whatever fits none is
taken as something to look for, not certain, so that a model hears it with the dialogue before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from referent.errors import BadInstruction
from referent.grounding.phrases import (
    begins_like_a_phrase,
    is_only_wrapping,
    listed,
    stands_alone,
    tidy,
    unquoted,
    without_carrier,
    without_courtesy,
    without_now,
)
from referent.grounding.role_sentences import PICK, PLACE, roles_from

TARGET = "target"
THE_OTHER = "the other one"  # what is meant by "no", "wrong", "not that one"


class Verb(Enum):
    """What is to become of the things that are followed."""

    REPLACE = "replace"
    ADD = "add"
    REMOVE = "remove"
    REFINE = "refine"
    CORRECT = "correct"
    UNDO = "undo"


@dataclass(frozen=True)
class Act:
    """An instruction understood. `parts` are (role, expression); none for UNDO and for REMOVE of everything.

    `certain`: the form is unmistakable and the expressions mean the same without what was said before; otherwise a
    model must say what is meant, and is asked with the dialogue.
    """

    verb: Verb
    parts: tuple[tuple[str, str], ...]
    certain: bool


def _whole(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


_NOT_AN_INSTRUCTION = _whole(
    r"no,? (?:thanks|thank you)", r"(?:ok(?:ay)?|yes|thanks|thank you|hello|hi|hey|good|great|robot)"
)
_THE_LAST = r"(?:the )?(?:last|previous|earlier)(?: (?:one|thing|object|instruction|command|step|change|target))?"
_UNDO = _whole(
    rf"undo(?: (?:it|that|this|{_THE_LAST}))?",
    r"(?:go|step|switch|change) back(?: (?:a|one) step)?",
    r"back",
    rf"(?:(?:go|switch|change) )?back to (?:what (?:it|we|you) (?:was|had|did)(?: before)?|{_THE_LAST})",
    r"the (?:previous|earlier) (?:one|thing|object|target)",
    r"(?:take|turn) (?:it|that) back",
    r"scratch that",
    r"as (?:it was )?before",
    r"revert(?: (?:it|that))?",
)
_GO_BACK_TO = _whole(r"(?:go|switch|change|come) back to (?P<rest>\S.*)")

_FOLLOWING = r"(?:following|tracking|watching|looking for|searching for|looking at)"
_FOLLOW = r"(?:follow|track|watch|look for|search for|look at)"
_FORGET = (
    rf"(?:forget(?: about)?|ignore|disregard|unfollow|untrack|delete|never ?mind(?: about)?|stop {_FOLLOWING}|"
    rf"(?:don't|do not|no longer) {_FOLLOW}|no more {_FOLLOWING})"
)
_FORGET_ALL = _whole(
    r"stop|cancel|clear|never ?mind|start over",
    r"(?:forget|ignore|clear|delete|stop|cancel) (?:everything|all|all of (?:it|them|that|those)|them(?: all)?)",
    r"stop (?:following|tracking|watching|looking|searching)",
    r"stop (?:following|tracking|watching) (?:everything|anything|all|all of (?:it|them)|them(?: all)?)",
)
_FORGET_IT = _whole(rf"{_FORGET} (?:it|this|that|(?:this|that|the last|the newest) one)")
_FORGET_THIS = _whole(rf"{_FORGET} (?P<rest>\S.*?)(?:,? (?:any ?more|any longer|from now on|for now))?")
_FORGET_AND = _whole(
    rf"{_FORGET} \S.*?(?:,|;|\.| and| but)(?: and| but)?(?: instead)? "
    r"(?P<rest>(?:find|look for|search for|follow|track|take|pick up|grab|show me) \S.*)"
)
_REMOVE_THIS = _whole(r"(?:remove|lose) (?P<rest>\S.*)")

_WRONG = (
    r"(?:no(?: no)*|nope|nah|wrong|incorrect|sorry|oops|actually|never ?mind|forget it|not quite|"
    r"(?:no,? )?(?:that|this|it)(?:'s| is| was) "
    r"(?:wrong|the wrong (?:one|\w+)|not (?:it|right|correct|(?:that|the) \w+))|"
    r"not (?:that|this|the|those|these)(?: \w+){0,3}|(?:the )?wrong (?:one|\w+))"
)
_NO_AND = _whole(rf"{_WRONG} ?(?:[,;:.!]+|-+ )[,;:.! -]* *(?P<rest>\S.*)")
_NO_BEFORE = _whole(
    r"(?:no(?: no)*|nope|wrong|sorry|actually|not (?:that|this) one|that(?:'s| is) wrong) "
    r"(?P<rest>(?:the|that|this|those|these|my|it'?s?|i (?:mean|meant|said|want|wanted)|take|find|not|both|all)\b.*)"
)
_NOT_BUT = _whole(r"not (?:the|this|that|an?|my) \S.*?,? but (?:rather )?(?P<rest>\S.*)")
_AND_NOT = _whole(r"(?P<rest>\S.*?), (?:and )?not (?:this|that|those|these)(?: \w+)?")
_INSTEAD = _whole(r"(?P<rest>\S.*?),? (?:instead(?: of \S.*)?|rather than \S.*)")
_INSTEAD_FIRST = _whole(r"(?:instead|rather),? (?P<rest>(?:the|my|an?|that|this|find|take|pick)\b.*)")
_I_SAID = _whole(r"(?:but )?i (?:said|asked for|wanted) (?P<rest>\S.*)")
_COMPLAINT = _whole(
    _WRONG.replace("sorry|oops|actually|never ?mind|forget it|", ""),
    r"(?:that|this|it)(?:'s| is| was) not (?:it|right|the one|what i (?:mean|meant|wanted|said)|(?:the|an?|my) \S.*)",
)
_LOOK_AGAIN = _whole(r"(?:look|try|search|check)(?: again)?", r"(?:once more|again)")

_I_MEAN = _whole(
    r"(?:i (?:mean|meant)|(?:it(?:'s| is)|that would be)|the one i (?:mean|meant) is|rather),? (?P<rest>\S.*)"
)
_ADD_FIRST = _whole(
    r"(?:and also|and|now also|also|plus|additionally,?|in addition,?|and additionally,?|add),? "
    r"(?!now\b|then\b|where\b)(?P<rest>\S.*)"
)
_ADD_INSIDE = _whole(
    r"(?P<head>(?:(?:can|could|would) you |please |i |now )+)also (?P<tail>\S.*)",
)
_ADD_LAST = _whole(r"(?P<rest>\S.*?),? (?:too|as well|also|in addition)")
_TO_THE_LIST = _whole(r"(?P<rest>\S.*) (?:to|on) (?:the|your|my) (?:list|targets?|tracks?|selection|set)")
_ADDED_TO = _whole(r"add \S.* (?:to|into|onto) \S.*")
_ONWARD = _whole(
    r"(?:and )?(?:now|then|next)(?: also)?,? (?!to\b)(?P<rest>\S.*)", r"and (?P<more>where (?:is|are) \S.*)"
)

# Choices among things spoken of: "the left one", "that striped one", "the one on the left", "its handle", "both".
_CHOICE = _whole(r"(?:the|that|this|those|these|my)(?: [\w'-]+){0,4} ones?", r"the other|it|this|that|them")
_CHOICE_BY = _whole(
    r"(?:the|that|those) ones? (?!(?:that|which) (?:was|were|has|had|just|moved)\b)\S.*",
    r"its [\w'-]+", r"the [\w'-]+ of it", r"(?:the|that) other(?: [\w'-]+){1,4}",
    r"(?:all|both|each|every one|the two|all two|all three)(?: of (?:them|these|those))?",
)  # fmt: skip
_OTHERWISE = _whole(r"(?:the|that) other(?: .*)?")
# Of what is followed, unless it is said of what: "the handle" after "the red mug".
_PART = _whole(r"the (?:handle|lid|spout|cap|rim|neck|blade|tip|top|bottom|base|button|knob|leg|back|front)")
_SIDE = _whole(
    r"left|right|leftmost|rightmost|middle|center|centre|front|back|near|nearer|nearest|close|closer|closest|far|farther|"
    r"farthest|further|furthest|upper|lower|top|bottom|big|bigger|biggest|large|larger|largest|small|smaller|smallest|"
    r"tall|taller|tallest|short|shorter|shortest|first|second|third|fourth|fifth|last"
)
_SMALL_WORDS = frozenset(
    ("the", "that", "this", "my", "on", "in", "at", "to", "of", "from", "side", "is", "which", "one")
)


def understand(instruction: str, known: Sequence[str]) -> Act:
    """What `instruction` does, said while the expressions `known` (newest last) are followed.

    Raises BadInstruction when it names nothing.
    """
    line = tidy(instruction)
    said = without_courtesy(line)
    if _NOT_AN_INSTRUCTION.fullmatch(line) or is_only_wrapping(said):
        raise BadInstruction(f"the instruction {instruction!r} names nothing; say what to look for, e.g. 'the red mug'")
    for reading in (_undone, _removed, _corrected, _added, _placed, _refined):
        act = reading(said, known)
        if act is not None:
            return act
    return _replaced(said, known)


def _undone(said: str, known: Sequence[str]) -> Act | None:
    return Act(Verb.UNDO, (), True) if _UNDO.fullmatch(said) else None


def _removed(said: str, known: Sequence[str]) -> Act | None:
    if _FORGET_ALL.fullmatch(said):
        return Act(Verb.REMOVE, (), True)
    if _FORGET_IT.fullmatch(said):
        return Act(Verb.REMOVE, _targets(known[-1:]), len(known) < 2)
    if match := _FORGET_AND.fullmatch(said):
        act = _replaced(match["rest"], known)
        return replace(act, certain=act.certain and len(known) < 2)
    if match := _FORGET_THIS.fullmatch(said):
        phrase = unquoted(match["rest"])
        if "," not in phrase or len(listed(phrase)) > 1:
            return Act(Verb.REMOVE, _targets(listed(phrase)), stands_alone(phrase))
    if (match := _REMOVE_THIS.fullmatch(said)) and _is_known(match["rest"], known):
        return Act(Verb.REMOVE, _targets((unquoted(match["rest"]),)), False)  # or the thing itself is to be taken away
    return None


def _corrected(said: str, known: Sequence[str]) -> Act | None:
    if _COMPLAINT.fullmatch(said):
        return _correction(_wrong_noun(said), known)
    if _LOOK_AGAIN.fullmatch(said) and known:
        return Act(Verb.CORRECT, _targets(known[-1:]), False)
    for form in (_NO_AND, _NO_BEFORE, _NOT_BUT, _AND_NOT, _INSTEAD, _INSTEAD_FIRST, _I_SAID):
        match = form.fullmatch(said)
        if match is not None:
            return _after_no(match["rest"], known)
    return None


def _after_no(rest: str, known: Sequence[str]) -> Act:
    """What follows a "no, ...": most often what is meant, but also another "no", a step back, something to do."""
    rest = without_courtesy(rest)
    for reading in (_undone, _removed, _corrected, _added, _placed):
        act = reading(rest, known)
        if act is not None:
            return act
    if match := _I_MEAN.fullmatch(rest):
        rest = match["rest"]
    return _correction(without_carrier(rest)[0], known)


def _correction(phrase: str, known: Sequence[str]) -> Act:
    if not known:  # there is nothing to be wrong about
        if phrase == THE_OTHER:
            raise BadInstruction("nothing is followed that could be wrong; say what to look for, e.g. 'the red mug'")
        return _replaced(phrase, known)
    return Act(Verb.CORRECT, _targets((phrase,)), begins_like_a_phrase(phrase) and stands_alone(phrase))


def _added(said: str, known: Sequence[str]) -> Act | None:
    rest = _addition(said)
    if rest is None:
        return None
    rest = without_courtesy(rest)
    placed = _placed(rest, known)
    if placed is not None:
        return replace(placed, verb=Verb.ADD if known else Verb.REPLACE)
    phrase, _ = without_carrier(rest)
    if is_only_wrapping(phrase):
        raise BadInstruction(f"the instruction {said!r} names nothing to add; say what, e.g. 'also the red mug'")
    return _looking_for(Verb.ADD if known else Verb.REPLACE, phrase, likely=begins_like_a_phrase(phrase))


def _addition(said: str) -> str | None:
    """What is to be added; None when `said` has no such form."""
    if match := _ADD_FIRST.fullmatch(said):
        rest = match["rest"]
        if listing := _TO_THE_LIST.fullmatch(rest):
            rest = listing["rest"]
        elif _ADDED_TO.fullmatch(said):  # sugar to the tea
            return None
        last = _ADD_LAST.fullmatch(rest)
        return last["rest"] if last else rest
    if match := _ADD_INSIDE.fullmatch(said):
        return match["head"] + match["tail"]
    match = _ADD_LAST.fullmatch(said)
    return match["rest"] if match else None


def _placed(said: str, known: Sequence[str]) -> Act | None:
    roles = roles_from(without_now(said))
    if roles is None:
        return None
    if roles.place is None:
        return Act(Verb.REPLACE, _targets(roles.picks), roles.certain)
    picks = tuple((PICK, _named(phrase, known)) for phrase in roles.picks)
    return Act(Verb.REPLACE, (*picks, (PLACE, _named(roles.place, known))), roles.certain)


def _refined(said: str, known: Sequence[str]) -> Act | None:
    if not known:
        return None
    match = _I_MEAN.fullmatch(said)
    phrase, carried = without_carrier(match["rest"] if match else said)
    if match:
        return Act(Verb.REFINE, _targets((phrase,)), begins_like_a_phrase(phrase) and stands_alone(phrase))
    chooses = _CHOICE.fullmatch(phrase) or (not carried and _CHOICE_BY.fullmatch(phrase))
    if chooses or (_PART.fullmatch(phrase) and not carried) or _is_one_of(phrase, known):
        verb = Verb.CORRECT if _OTHERWISE.fullmatch(phrase) and not carried else Verb.REFINE
        return Act(verb, _targets((phrase,)), False)
    return None


def _replaced(said: str, known: Sequence[str]) -> Act:
    onward = _ONWARD.fullmatch(said)
    rest = (onward["rest"] or onward["more"]) if onward else said
    if back := _GO_BACK_TO.fullmatch(rest):
        rest = back["rest"]
    if onward and (placed := _placed(rest, known)):
        return placed
    phrase, carried = without_carrier(rest)
    alone = not (known and _PART.fullmatch(phrase))
    return _looking_for(Verb.REPLACE, phrase, likely=alone and (carried or begins_like_a_phrase(phrase)))


def _looking_for(verb: Verb, phrase: str, *, likely: bool) -> Act:
    clauses = re.search(r",|;| (?:and|then) (?:also|then|find|put|place|take|bring|give|look|follow)\b", phrase)
    items = listed(phrase)
    certain = likely and stands_alone(phrase) and (clauses is None or len(items) > 1)
    return Act(verb, _targets(items), certain)


def _targets(phrases: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((TARGET, phrase) for phrase in phrases)


def _named(phrase: str, known: Sequence[str]) -> str:
    """ "it" by the name of what is followed last."""
    return known[-1] if known and phrase.lower() in ("it", "that", "this", "them") else phrase


def _wrong_noun(said: str) -> str:
    """ "wrong mug" means the other mug."""
    match = re.search(r"\bwrong (\w+)$", said, re.IGNORECASE)
    return f"the other {match[1]}" if match else THE_OTHER


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _is_known(phrase: str, known: Sequence[str]) -> bool:
    said = set(_words(phrase)) - _SMALL_WORDS
    return bool(said) and any(said <= set(_words(expression)) for expression in known)


def _is_one_of(phrase: str, known: Sequence[str]) -> bool:
    """Whether only a side or size is said of what is followed: "the left mug" of "the red mug"."""
    words = [word for word in _words(phrase) if word not in _SMALL_WORDS]
    kept = [word for word in words if not _SIDE.fullmatch(word)]
    same = any(set(words) <= set(_words(expression)) for expression in known)
    return len(kept) < len(words) and not same and _is_known(" ".join(kept), known)
