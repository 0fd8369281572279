"""How a phrase comes to its words: every family lists the wordings for training and those kept for tests.

The words kept for tests are new arrangements: what carries meaning in them is learnt from other wordings.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from referent.sources.simulation.phrases.view import Figure

T = TypeVar("T")
UNSEEN_SHARE = 0.6  # of the phrases for tests whose own words are unseen; the sentence around them always is
_SLOT = re.compile(r"\{[^}]*\}")
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Wording:
    """Templates of one meaning: known ones, and those held out of training."""

    known: tuple[str, ...]
    held_out: tuple[str, ...] = ()

    @property
    def words(self) -> set[str]:
        """Every word of the templates."""
        return words_in((*self.known, *self.held_out))


@dataclass(frozen=True)
class Voice:
    """Draws what is said: `unseen` prefers the wordings kept for tests."""

    dice: random.Random
    unseen: bool = False

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.dice.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all alike."""
        return options[int(self.dice.random() * len(options))]

    def say(self, wording: Wording) -> str:
        """One of its templates."""
        return self.pick(wording.held_out if self.unseen and wording.held_out else wording.known)


@dataclass(frozen=True, eq=False)
class Found:
    """A phrase and what it means; `form` tells what sentences suit it: "thing", "things" or "whole"."""

    phrase: str
    figures: Sequence[Figure] = field(default=())
    part: str = ""
    form: str = "thing"


def voice_from(rng: np.random.Generator, *, held_out: bool = False) -> Voice:
    """A voice whose draws follow from `rng`; python's own dice are many times faster for single draws."""
    dice = random.Random(int(rng.integers(1 << 62)))
    return Voice(dice, held_out and dice.random() < UNSEEN_SHARE)


def words_in(texts: Iterable[str]) -> set[str]:
    """The words of texts or templates."""
    return set(_WORD.findall(_SLOT.sub(" ", " ".join(texts).lower())))
