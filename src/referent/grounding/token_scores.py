"""How sure a model was of what it wrote, from its tokens' probabilities: of each region, and that nothing matches.

A region is two decisions: to name one at all, where the other way was "nothing" or the end of the list, and its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

Token = tuple[str, float]  # a piece of a reply and its probability
Span = tuple[int, int]  # of characters of the reply

# What leads up to a region's numbers: fence, brackets, the end of the region before, one key.
_LEAD = re.compile(r'(?:```\w*\s*)?[\s\[\](){},:"]*(?:"?\w+"?\s*:\s*)?[\s\[({"]*\Z')
_LEAD_CHARACTERS = 60  # how far back it is looked for
_EMPTY = re.compile(r"\[\s*\]|\{\s*\}")


def region_score(tokens: Sequence[Token], span: Span) -> float | None:
    """Probability of naming the region whose numbers stand in `span`, times the geometric mean of its numbers' own.

    None when no token holds a digit of it.
    """
    start, end = span
    numbers = [p for text, p in _within(tokens, start, end) if any(c.isdigit() for c in text)]
    if not numbers:
        return None
    return _named(tokens, start) * math.exp(sum(math.log(max(p, 1e-12)) for p in numbers) / len(numbers))


def nothing_score(tokens: Sequence[Token], spans: Sequence[Span]) -> float | None:
    """Probability of "nothing matches" where it and a region part ways; `spans` are those of the regions, if any.

    None when there are no tokens, or when nothing is said in prose, which parts from a region at no certain place.
    """
    if not tokens:
        return None
    if spans:
        return 1 - _named(tokens, spans[0][0])
    said = list(_EMPTY.finditer("".join(text for text, _ in tokens)))
    return min(p for _, p in _within(tokens, *said[-1].span())) if said else None


def _named(tokens: Sequence[Token], start: int) -> float:
    """Probability of what leads up to a region at `start`: that of its least sure token, which is the decision."""
    before = "".join(text for text, _ in tokens)[:start][-_LEAD_CHARACTERS:]
    lead = _LEAD.search(before)
    length = len(lead[0]) if lead else 0
    return min((p for _, p in _within(tokens, start - length, start)), default=1.0)


def _within(tokens: Sequence[Token], start: int, end: int) -> Iterator[Token]:
    """The tokens that share characters with `start:end` of the reply, each with the part that it shares."""
    at = 0
    for text, probability in tokens:
        shared = text[max(0, start - at) : max(0, end - at)]
        if shared:
            yield shared, probability
        at += len(text)
