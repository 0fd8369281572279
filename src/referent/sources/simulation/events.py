"""What may be said of what just happened: "the one that was just put down"; the answer is in the last frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from referent.sources.simulation.expressions import Expression, expression_from
from referent.sources.simulation.phrases.descriptions import Description, as_plural, plain_phrase, plural_of
from referent.sources.simulation.phrases.happenings import HAPPENINGS, Happening, Past, past_of
from referent.sources.simulation.phrases.view import View, view_of
from referent.sources.simulation.phrases.voice import Found, Voice, voice_from
from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.sources.simulation.wording import sentence

KIND = "event"
SECONDS = 0.5  # fewer frames than this tell nothing
IN_THE_PLURAL = (
    (" that was ", " that were "), (" which was ", " which were "), ("where it was", "where they were"),
    (" moves", " move"),
)  # fmt: skip


def event_expressions(
    truths: Sequence[FrameTruth], rng: np.random.Generator, *, fps: float = 30.0, held_out: bool = False
) -> list[Expression]:
    """Up to one expression for each thing that happened in consecutive frames, about the last; [] when unsure.

    What is meant is seen in the last frame. A phrase is left out when any object may or may not fit it, and when
    one fits that is not seen.
    """
    if len(truths) < SECONDS * fps:
        return []
    view = view_of(truths[-1])
    pasts = [(thing, past_of(truths, thing.instance_id, fps)) for thing in truths[-1].objects]
    expressions = []
    for happening in HAPPENINGS:
        voice = voice_from(rng, held_out=held_out)
        found = _said(happening, view, pasts, voice)
        if found is not None:
            expressions.append(expression_from(found, KIND, sentence(found, voice, held_out=held_out)))
    return expressions


def _said(happening: Happening, view: View, pasts: Sequence[tuple[ObjectTruth, Past]], voice: Voice) -> Found | None:
    if not view.clear:
        return None
    noun = Description(voice.pick(view.clear).thing.category if voice.chance(0.4) else "")
    verdicts = {thing.instance_id: happening.happened(past) for thing, past in pasts if noun.fits(thing)}
    seen = [figure for figure in view.clear if figure.thing.instance_id in verdicts]
    meant = [figure for figure in seen if verdicts[figure.thing.instance_id]]
    unsure = None in verdicts.values() or sum(map(bool, verdicts.values())) > len(meant)
    if unsure or not meant or (len(meant) == len(verdicts) and (happening.by_contrast or len(meant) > 1)):
        return None
    template = voice.say(happening.wording)
    words = plain_phrase(noun, voice)
    if len(meant) == 1:
        return Found(template.format(noun=words), meant)
    return Found(_in_the_plural(template).format(noun=plural_of(words)), meant, form="things")


def _in_the_plural(template: str) -> str:
    template = as_plural(template)
    for one, many in IN_THE_PLURAL:
        template = template.replace(one, many)
    return template
