"""Instructions that give two things their roles: what to pick, and the place for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.sources.simulation.expressions import Expression, expression_from
from referent.sources.simulation.phrases.descriptions import plain_phrase
from referent.sources.simulation.phrases.extremes import superlative
from referent.sources.simulation.phrases.singles import unique_description
from referent.sources.simulation.phrases.tasks import AROUND, TASKS
from referent.sources.simulation.phrases.view import Figure, View, view_of
from referent.sources.simulation.phrases.voice import Found, Voice, voice_from
from referent.sources.simulation.truth import FrameTruth

PICK, PLACE = "pick", "place"
TRIES = 12


@dataclass(frozen=True)
class RoleSentence:
    """An instruction; `roles` are (role, what is said of it), each of one object."""

    text: str
    roles: tuple[tuple[str, Expression], ...]


def role_sentence(truth: FrameTruth, rng: np.random.Generator, *, held_out: bool = False) -> RoleSentence | None:
    """Something to do with two objects of a picture; None when nothing certain was found."""
    view, voice = view_of(truth), voice_from(rng, held_out=held_out)
    if len(view.clear) < 2:
        return None
    for _ in range(TRIES):
        task = voice.pick(TASKS)
        pick, place = voice.dice.sample(view.clear, 2)
        if not task.suits(pick, place):
            continue
        roles = [(role, _named(view, figure, voice)) for role, figure in ((PICK, pick), (PLACE, place))]
        named = {role: expression for role, expression in roles if expression is not None}
        if len(named) == 2:
            template = voice.say(AROUND).format(voice.say(task.wording))
            text = template.format(pick=named[PICK].text, place=named[PLACE].text)
            return RoleSentence(text, tuple(named.items()))
    return None


def _named(view: View, figure: Figure, voice: Voice) -> Expression | None:
    """The bare phrase for an object, mostly by what it is."""
    if voice.chance(0.15):
        found = superlative(view, Voice(voice.dice))
        if found is not None and tuple(found.figures) == (figure,) and found.phrase.startswith("the "):
            return expression_from(found, "superlative", found.phrase)
    description = unique_description(view, figure, voice)
    if description is None:
        return None
    found = Found(f"the {plain_phrase(description, voice)}", (figure,))
    return expression_from(found, "attribute", found.phrase)
