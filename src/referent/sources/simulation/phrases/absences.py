"""Phrases of every family that mean nothing in the picture, mostly near misses."""

from __future__ import annotations

from referent.sources.simulation.phrases.extremes import missing_rank
from referent.sources.simulation.phrases.negations import missing_negation
from referent.sources.simulation.phrases.parts import missing_part
from referent.sources.simulation.phrases.places import missing_relation, missing_viewed
from referent.sources.simulation.phrases.singles import missing
from referent.sources.simulation.phrases.uses import missing_use
from referent.sources.simulation.phrases.view import View
from referent.sources.simulation.phrases.voice import Found, Voice

# Chances of each family; those that often find nothing to say are drawn more often.
FAMILIES = (
    (0.56, missing),
    (0.13, missing_relation),
    (0.05, missing_viewed),
    (0.08, missing_rank),
    (0.06, missing_negation),
    (0.05, missing_part),
    (0.07, missing_use),
)


def absent(view: View, voice: Voice) -> Found | None:
    """Something that is not there."""
    draw = voice.dice.random()
    for chance, family in FAMILIES:
        draw -= chance
        if draw < 0:
            return family(view, voice)
    return None
