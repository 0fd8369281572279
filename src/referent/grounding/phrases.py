"""How people wrap the phrase that names an object: courtesy, "pick up ...", "and ... too"; what is left is the phrase.

A wrapping is taken off only where it cannot be part of the phrase: "watch the clock" loses its verb, "watch on the
table" does not. The phrase itself keeps its letters as they were said.
"""

from __future__ import annotations

import re
import unicodedata

MAX_CHARS = 4000  # more is cut: no phrase is that long, and matching stays quick
_SAME_MARKS = str.maketrans(
    {**dict.fromkeys("‘’‚′`´", "'"), **dict.fromkeys("“”„«»″", '"'), **dict.fromkeys("‐‑‒–—", "-")}
)
_CLOSING_MARKS = " \t.!?,;:。！？、，"

DETERMINER = (
    r"(?:the|an?|my|your|our|his|her|their|this|that|these|those|some|any|each|every|both|all|another|"
    r"one|two|three|four|five|six|every(?:thing|one)|its?|them|him)"
)
_POLITE = (
    r"(?:(?:can|could|would|will) you (?:now |please |kindly )*|would you mind |be so kind and |if you can,? |"
    r"i(?:'d| would) (?:like|love) you to |i (?:want|need) you to |you should |try to |help me (?:to )?|let us |let's |"
    r"make sure to |do me a favor and |go and |please |now |kindly |carefully |quickly )*"
)
# What follows these is the phrase, whatever it begins with ...
_STRONG = (
    r"(?:find(?: me| us)?|finding|locate|locating|look(?:ing)? for|search(?:ing)? for|show(?: me| us)|"
    r"where(?:'s| is| are)|where can i find|tell me (?:where|if you see)|can you see|do you see|"
    r"(?:bring|give|hand|pass|get|fetch) (?:me|us)|i(?:'m| am) (?:looking|searching) for|we(?:'re| are) looking for|"
    r"what about|how about)"
)
# ... and these are wrappings only before a determiner, since they are words for things and kinds too.
_WEAK = (
    r"(?:pick up|picking up|pick|grab|grasp|get|getting|fetch|take|taking|lift(?: up)?|hold(?: up)?|drop|bring|give|"
    r"hand|collect|put (?:away|down|back)|follow|track|watch|see|show|look at|point (?:at|to)|focus on|go to|"
    r"start with|keep (?:an eye on|track of|following|tracking|watching)|detect|segment|select|choose|mark|highlight|"
    r"check|is there|are there|there is|it(?:'s| is)|i(?:'d| would) like(?: to have)?|i (?:want|need)|we need|"
    r"i think i need|the target is|my goal is|move|push)"
)
_VAGUE = re.compile(r"(?:some|any)(?:thing)?\b", re.IGNORECASE)  # "i want some jam" may ask for what jam is in
_CARRIER = re.compile(rf"{_POLITE}(?:{_STRONG} (?P<strong>\S.*)|{_WEAK} (?P<weak>{DETERMINER}\b.*))", re.IGNORECASE)
_SPLIT_CARRIER = re.compile(
    rf"{_POLITE}(?:(?:pick|lift|hold) (?P<up>{DETERMINER}\b.*) up|"
    rf"(?:put|take) (?P<away>{DETERMINER}\b.*) (?:away|down|back)|"
    rf"(?:bring|give|hand|pass|take) (?P<over>{DETERMINER}\b.*?)(?<!est)(?<!er)(?<!near)(?<!close)(?<!next)"
    r" (?:back |over )?to (?:me|us|the robot)|"
    rf"(?:tell|show) me where (?P<asked>{DETERMINER}\b.*) (?:is|are))",
    re.IGNORECASE,
)
_ONLY_CARRIER = re.compile(rf"{_POLITE}(?:{_STRONG}|{_WEAK}|put|move|place|add|also|and|too|then|now)?", re.IGNORECASE)
_OPENER = re.compile(
    r"(?:(?:please|ok(?:ay)?|alright|all right|yes|yeah|yep|(?:hey|hello|hi|ok|okay),? robot|hey|hello)\b[,.!;:]*|"
    r"(?:robot|well|so|good|great|fine|right|thanks|thank you)[,.!;:]+) *",
    re.IGNORECASE,
)
_CLOSER = re.compile(
    r"[ ,]+(?:please|for me|for us|thanks(?: a lot)?|thank you(?: very much)?|robot|my friend|you know|excuse me|"
    r"kindly|if you can|as soon as you can|when you can|will you|would you|right away|dear|ok(?:ay)?|again|once more)",
    re.IGNORECASE,
)
_NOW = re.compile(r"(?P<rest>(?:(?!\b(?:that|which|is|are|was|were)\b).)+?),? (?:right )?now", re.IGNORECASE)
_AFTERWARDS = re.compile(  # "find the mug and bring it here"
    r",? (?:and then|and|then) (?:bring|give|hand|pass|show|fetch|take|follow|track|hold|lift|pick|keep|watch) "
    r"(?:me |us )?(?:it|them)(?: (?:to me|to us|here|up|over|back|closely|over here))*",
    re.IGNORECASE,
)

# Words that speak of what was said or shown before.
_REFERS = re.compile(
    r"\b(?:it|its|them|they|ones|others?|another|same|previous|last one|first one|former|latter|instead|one)\b|"
    r"^(?:this|that|these|those)\b|\b(?:this|that|these|those)$|"
    r"\b(?:of|to|on|in|into|onto|behind|beside|near|than|by|from|under|above|below|over|at|with|inside) "
    r"(?:this|that|these|those)\b",
    re.IGNORECASE,
)
_COUNTED_ONE = re.compile(r"one (?:of )?\w+", re.IGNORECASE)

_ITEM = re.compile(r"(?:the|an?|my|your|our) \w[\w' -]*", re.IGNORECASE)
_JOINT = re.compile(r",? and (?=(?:the|an?|my|your|our)\b)|, (?=(?:the|an?|my|your|our)\b)", re.IGNORECASE)
_RELATES = re.compile(
    r"\b(?:between|of|on|in|at|by|from|with|without|near|next|beside|besides|behind|above|below|under|over|inside|"
    r"to|that|which|who|is|are|not|but|and|or|except|than|left|right|front|closest|nearest)\b",
    re.IGNORECASE,
)
# Without a noun of their own: "the red and the blue mug" is one phrase.
_ADJECTIVE = re.compile(
    r"(?:the|an?|my|your|our)(?: (?:red|green|blue|yellow|orange|purple|violet|pink|brown|black|white|gr[ae]y|cyan|"
    r"beige|dark|light|bright|pale|big|bigger|biggest|large|larger|largest|small|smaller|smallest|tiny|tall|taller|tallest|"
    r"short|shorter|shortest|long|wide|thin|thick|round|square|flat|empty|full|open|closed|clean|dirty|old|new|"
    r"striped|dotted|plain|shiny|matt|metal|metallic|wooden|plastic|glass|first|second|third|last|upper|lower|near|far))+",
    re.IGNORECASE,
)


def tidy(text: str) -> str:
    """One line without invisible characters, marks at its ends, and quotes around all of it."""
    plain = unicodedata.normalize("NFKC", text[:MAX_CHARS].translate(_SAME_MARKS))
    plain = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    line = " ".join(plain.split()).strip(_CLOSING_MARKS)
    return unquoted(line)


def unquoted(phrase: str) -> str:
    """`phrase` without quotes around all of it and marks at its ends; quotes inside stay."""
    phrase = phrase.strip(_CLOSING_MARKS)
    while len(phrase) > 1 and phrase[0] == phrase[-1] and phrase[0] in "\"'" and phrase[0] not in phrase[1:-1]:
        phrase = phrase[1:-1].strip(_CLOSING_MARKS)
    return phrase


def without_courtesy(text: str) -> str:
    """`text` without "please", "robot, ", "ok", "thank you" at its ends."""
    while match := _OPENER.match(text):
        text = text[match.end() :]
    while match := _match_at_end(_CLOSER, text):
        text = text[: match.start()].rstrip(_CLOSING_MARKS)
    return text.strip(_CLOSING_MARKS)


def without_carrier(text: str) -> tuple[str, bool]:
    """What is left of `text` when a certain wrapping such as "pick up ..." is taken off, and whether there was one."""
    split = _SPLIT_CARRIER.fullmatch(text)
    if split is not None:
        return unquoted(next(phrase for phrase in split.groups() if phrase)), True
    match = _CARRIER.fullmatch(text)
    if match is None:
        return unquoted(text), False
    phrase = match["strong"] or match["weak"]
    if match["weak"] and _VAGUE.match(phrase):
        return unquoted(text), False
    if afterwards := _match_at_end(_AFTERWARDS, phrase):
        phrase = phrase[: afterwards.start()]
    return unquoted(without_now(phrase)), True


def without_now(text: str) -> str:
    """A command without its "now"; where that may say which thing is meant, it stays."""
    match = _NOW.fullmatch(text)
    return match["rest"] if match else text


def is_only_wrapping(text: str) -> bool:
    """Whether nothing but wrapping is left: "find", "could you", ""."""
    return _ONLY_CARRIER.fullmatch(f"{text} ") is not None or _ONLY_CARRIER.fullmatch(text) is not None


def begins_like_a_phrase(phrase: str) -> bool:
    """Whether it begins with a determiner: "the", "a", "my", "both", ..."""
    return re.match(rf"{DETERMINER}\b", phrase, re.IGNORECASE) is not None


def stands_alone(phrase: str) -> bool:
    """Whether a phrase means the same without what was said before: no "it", "other", "the blue one"."""
    counted = _COUNTED_ONE.match(phrase)
    return _REFERS.search(phrase[counted.end() if counted else 0 :]) is None


def listed(phrase: str) -> tuple[str, ...]:
    """The items of "the mug, the bowl and my can"; a phrase that is no plain list, as the one item it is."""
    items = [unquoted(item) for item in _JOINT.split(phrase.removesuffix(" together"))]
    plain = all(_ITEM.fullmatch(i) and not _RELATES.search(i) and not _ADJECTIVE.fullmatch(i) for i in items)
    return tuple(items) if plain and len(items) > 1 else (phrase,)


def _match_at_end(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next((match for match in pattern.finditer(text) if match.end() == len(text) and match.start() > 0), None)
