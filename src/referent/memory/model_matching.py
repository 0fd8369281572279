"""Which remembered objects an open phrase means, told by a model that is shown their pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from referent.memory.crops import rgb_from_jpeg
from referent.memory.matching import likeness, match_score
from referent.memory.records import Remembered
from referent.types import Array

Ask = Callable[[Array, str], float | None]
"""Whether a phrase fits a (H, W, 3) uint8 picture, the thing in its middle half: probability, or None = no answer."""


def match_by_model(
    phrase: str, remembered: Sequence[Remembered], ask: Ask, *, most: int = 8, least: float = 0.5
) -> list[Remembered]:
    """Those of `remembered` that the model says the phrase fits, its probability as their match, the likeliest first.

    At most `most` pictures are shown, those first for which words speak, else in the order given. What is not shown,
    has no picture, or matches less than `least` is left out. Where the model gives no answer, words decide.
    """
    judged: list[Remembered] = []
    for known in sorted(remembered, key=lambda known: -likeness(phrase, _names(known))):
        picture = rgb_from_jpeg(known.crop_jpeg or b"")
        if picture is None:
            continue
        if len(judged) == most:
            break
        answer = ask(picture, phrase)
        match = match_score(phrase, _names(known)) if answer is None else min(max(answer, 0.0), 1.0)
        judged.append(replace(known, match=match))
    return sorted((known for known in judged if known.match >= least), key=lambda known: -known.match)


def _names(known: Remembered) -> tuple[str, str]:
    return known.label, known.expression
