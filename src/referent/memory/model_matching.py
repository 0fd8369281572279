"""Which remembered objects an open phrase means, told by a model that is shown their pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from referent.memory.crops import rgb_from_jpeg
from referent.memory.records import Remembered
from referent.types import Array

Ask = Callable[[Array, str], float | None]
"""Whether a phrase fits a (H, W, 3) uint8 picture, the thing in its middle half: probability, or None = no answer."""


def match_by_model(
    phrase: str, remembered: Sequence[Remembered], ask: Ask, *, most: int = 8, least: float = 0.5
) -> list[Remembered]:
    """Those of `remembered` that the model says the phrase fits, its probability as their match, the likeliest first.

    At most `most` pictures are shown, in the order given; what is not shown, has no picture, or is less likely than
    `least` is left out. When the model gives no answer about one, that one keeps the match that words gave it.
    """
    judged: list[Remembered] = []
    for known in remembered:
        picture = rgb_from_jpeg(known.crop_jpeg or b"")
        if picture is None:
            continue
        if len(judged) == most:
            break
        probability = ask(picture, phrase)
        judged.append(known if probability is None else replace(known, match=min(max(probability, 0.0), 1.0)))
    return sorted((known for known in judged if known.match >= least), key=lambda known: -known.match)
