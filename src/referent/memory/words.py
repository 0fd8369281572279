"""What words say of a thing, without a picture: what it is, its color, size, material, and how two sayings agree."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_CHARS = 400  # of a phrase; the rest is cut
MAX_NAMES = 8  # ways to call one thing that are kept


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ATTRIBUTES: Mapping[str, str] = {  # one kind of attribute, and its words; words joined by = mean the same
    "color": "red orange yellow green blue purple=violet pink=magenta brown black white gray=grey cyan=turquoise beige "
    "gold=golden silver=silvery",
    "size": "small=little=tiny=mini large=big=huge=giant",
    "height": "tall=high short=low",
    "material": "wooden=wood metal=metallic=steel=iron=aluminum=aluminium plastic glass ceramic=porcelain=clay "
    "paper=cardboard leather rubber fabric=cloth=textile stone=marble",
    "pattern": "plain striped=stripy=stripes checkered=checked=chequered dotted=spotted flowered=floral",
    "finish": "shiny=glossy matt=matte",
}
_MEANING = {
    word: (kind, group.split("=")[0])
    for kind, words in _ATTRIBUTES.items()
    for group in words.split()
    for word in group.split("=")
}
_ALSO_THINGS = _words("orange glass paper iron stone cloth rubber")  # "the orange": a fruit
_GENERIC = _words("thing object item one something anything stuff everything piece it them that this")
_SHADES = _words("light dark bright pale deep very rather quite really kind of colored coloured made")
_SAME_THING = {
    "couch": "sofa",
    "television": "tv",
    "refrigerator": "fridge",
    "cellphone": "phone",
    "smartphone": "phone",
}
# What comes before a phrase, and says nothing of the thing.
_OPENING = re.compile(
    r"(?:(?:where|what|which|when|who|how|is|are|was|were|did|do|does|have|has|had|can|could|would|will|i|you|we|me|us|"
    r"see|saw|seen|last|find|found|show|locate|look|search|looking|searching|for|at|go|drive|navigate|come|bring|take|"
    r"get|fetch|give|follow|please|robot|hey|ok|okay|remember|know|tell|there|s|to|now|again|any|some|all|every|both|"
    r"each|the|a|an|my|your|our|his|her|their|these|those|this|that|of|one of|two|three|four|five|six)\s+)*"
)
_KEEP_CAN = re.compile(r"\bcan\b(?!\s+(?:i|you|we)\b)")  # the thing, not "can you"
_RELATION = re.compile(
    r"\b(?:that|which|who|with|without|on|in|at|by|from|near|next|behind|beside|besides|between|above|below|under|over|"
    r"into|onto|inside|outside|of|not|but|except|than|is|are|was|were|has|have|for|and then|to|used|standing|lying|"
    r"sitting|closest|nearest|left|right|please|again|now|last|recently|before|earlier|today|yesterday)\b"
)
_IRREGULAR = {"knives": "knife", "shelves": "shelf", "loaves": "loaf", "leaves": "leaf", "people": "person"}
_AMOUNT = re.compile(r"(?:pair|pack|packet|set|bunch|piece|bit|kind|type|sort)s? of ")


@dataclass(frozen=True)
class Saying:
    """A phrase taken apart: what kind of thing, known attributes by kind, other words of it, and what it relates to."""

    head: str = ""  # "" = any thing
    attributes: tuple[tuple[str, frozenset[str]], ...] = ()
    others: frozenset[str] = frozenset()
    relation: str = ""

    def of_kind(self, kind: str) -> frozenset[str]:
        """The attributes said of one kind, in their first spelling."""
        return dict(self.attributes).get(kind, frozenset())


@lru_cache(maxsize=4096)
def saying(text: str) -> Saying:
    """What a phrase such as "where are the little red mugs on the shelf?" says of a thing."""
    line = _plain(text)
    phrase, relation = _noun_phrase(line)
    words = [_singular(word) for word in phrase.split() if word not in _SHADES]
    if not words:
        return Saying(relation=relation)
    head, modifiers = _head(words)
    attributes: dict[str, set[str]] = {}
    for word in modifiers:
        if word in _MEANING:
            kind, value = _MEANING[word]
            attributes.setdefault(kind, set()).add(value)
    others = frozenset(word for word in modifiers if word not in _MEANING and word not in _GENERIC)
    known = tuple(sorted((kind, frozenset(values)) for kind, values in attributes.items()))
    return Saying(head, known, others - {"and", "or"}, relation)


def contradicts(a: Saying, b: Saying) -> bool:
    """Whether no thing can be both: they name different colors, sizes, materials ..."""
    return any(values and not values & b.of_kind(kind) for kind, values in a.attributes if b.of_kind(kind))


def may_be_same(a: Iterable[str], b: Iterable[str]) -> bool:
    """Whether two lots of names may be of one thing: they share what it is, and nothing contradicts."""
    ours, theirs = [saying(name) for name in a], [saying(name) for name in b]
    heads = {said.head for said in ours} & {said.head for said in theirs} - {""}
    return bool(heads) and not any(contradicts(one, other) for one in ours for other in theirs)


def names_after(known: Sequence[str], newest: Sequence[str]) -> tuple[str, ...]:
    """Names with the newest ones first; older ones that contradict these are dropped, and at most 8 are kept."""
    said = [saying(name) for name in newest]
    kept = [name for name in known if not any(contradicts(saying(name), new) for new in said)]
    return tuple(dict.fromkeys([*(name[:MAX_CHARS] for name in newest), *kept]))[:MAX_NAMES]


def _plain(text: str) -> str:
    """Lower case words with single blanks; marks go, letters of any script stay."""
    folded = unicodedata.normalize("NFKC", text[:MAX_CHARS]).casefold()
    return " ".join(re.sub(r"[^\w]+|_", " ", folded.replace("'s ", " ")).split())


def _noun_phrase(line: str) -> tuple[str, str]:
    """The phrase without what opens it, and what follows its noun."""
    guarded = _KEEP_CAN.sub("can_", f"{line} ")
    phrase = guarded[_end_of_opening(guarded) :].replace("can_", "can").strip()
    phrase = phrase[match.end() :] if (match := _AMOUNT.match(phrase)) else phrase
    cut = _RELATION.search(phrase)
    return (phrase, "") if cut is None else (phrase[: cut.start()].strip(), phrase[cut.start() :].strip())


def _end_of_opening(line: str) -> int:
    match = _OPENING.match(line)
    return match.end() if match else 0


def _head(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The noun, "" for one that fits everything, and the words before it."""
    last = words[-1]
    if last in _GENERIC:
        return "", words[:-1]
    if last in _MEANING and last not in _ALSO_THINGS:  # "the red and the blue"
        return "", words
    return _SAME_THING.get(last, last), words[:-1]


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1]
