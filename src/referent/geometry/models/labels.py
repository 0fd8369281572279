"""Which model a label means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

Thing = TypeVar("Thing")

_ARTICLES = frozenset(("a", "an", "the", "this", "that", "my", "your", "our"))
# What begins to say where or which a thing is: what follows names other things.
_WHERE = frozenset(
    re.findall(
        r"\w+",
        "of on in at by from with without near next beside besides behind between above below under over inside "
        "outside to left right front closest nearest farthest that which who and or but except than not is are "
        "standing lying",
    )
)


def model_for(label: str, models: Mapping[str, Thing]) -> Thing | None:
    """The model of the thing that `label` names, the one with the longest such name; None when there is none.

    A model's name is the last word or words of what the thing is called: "the red mug" is a "mug" and, where one is
    known, rather a "red mug"; a "mug rack" is neither, and "the mug left of the bowl" is no "bowl". Case counts not.
    """
    called = _words(label)
    thing = called[: _end_of_thing(called)]
    best, longest = None, 0
    for name, model in models.items():
        words = _words(name)
        ends = [thing, called] if _end_of_thing(words) < len(words) else [thing]  # a "bottle of water" is one
        if len(words) > longest and any(end[-len(words) :] == words for end in ends):
            best, longest = model, len(words)
    return best


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def _end_of_thing(words: list[str]) -> int:
    """How many words name the thing itself: "the left mug" in whole, of "mug on the table" the first."""
    named = False
    for number, word in enumerate(words):
        if word in _WHERE and named:
            return number
        named = named or word not in _ARTICLES | _WHERE
    return len(words)
