"""What a grounder is asked: held-out pictures with expressions of every kind, of several shapes and wordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from referent.sources.simulation.expressions import KINDS, Expression, boxes_of, expressions_for
from referent.sources.simulation.scenes import sample_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import FrameTruth, SimulatedFrame
from referent.types import Array, RgbdFrame, Turn

KIND = "still_test"
PLAIN_SIZE = (640, 480)
SHAPES = {"16:9": (848, 480), "square": (480, 480), "portrait": (480, 640)}  # width, height in pixels
TRIES_PER_KIND = 6  # at saying something; many things cannot be said for certain of a picture
PLAIN = "plain"  # the case all others are compared with: known words about a 4:3 picture
ASKED_PER_KIND = {PLAIN: 2}  # of what was found, so that no picture counts for much; 1 in other cases


@dataclass(frozen=True, eq=False)
class Picture:
    """A held-out picture with its truth."""

    seed: int
    frame: RgbdFrame
    truth: FrameTruth

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.frame.rgb.shape[1], self.frame.rgb.shape[0]


@dataclass(frozen=True, eq=False)
class Question:
    """One thing asked about a picture, and the boxes that are right."""

    case: str  # what is compared: plain, unseen wording, a shape, ...
    picture: Picture
    expression: Expression
    boxes: tuple[Array, ...]  # (4,) float32 each, none for something that is not there
    history: tuple[Turn, ...] = ()


def render_picture(seed: int, size: tuple[int, int] = PLAIN_SIZE) -> Picture:
    """The held-out picture of a seed in `size` (width, height)."""
    scene = sample_scene(seed, KIND)
    shown: SimulatedFrame = next(simulate(scene, frames=1, width=size[0], height=size[1]))
    return Picture(seed, shown.frame, shown.truth)


def questions_about(
    picture: Picture, case: str, *, held_out: bool = False, kinds: Collection[str] = KINDS
) -> Iterator[Question]:
    """Some expressions of every kind; the same ones each time for a picture, a wording and a shape."""
    rng = np.random.default_rng((picture.seed, held_out))
    drawn = expressions_for(picture.truth, rng, per_kind=TRIES_PER_KIND, held_out=held_out, kinds=kinds)
    taken: Counter[str] = Counter()
    for place in rng.permutation(len(drawn)):  # what is found first is what is easy to find
        expression = drawn[int(place)]
        if taken[expression.kind] < ASKED_PER_KIND.get(case, 1):
            taken[expression.kind] += 1
            yield a_question(case, picture, expression)


def a_question(case: str, picture: Picture, expression: Expression, history: tuple[Turn, ...] = ()) -> Question:
    """The question with the boxes that answer it."""
    return Question(case, picture, expression, tuple(boxes_of(expression, picture.truth)), history)


def is_near_miss(question: Question) -> bool:
    """Whether something absent is described by a color and a category that are both in the picture."""
    words = question.expression.phrase.split()
    seen = [thing for thing in question.picture.truth.objects if thing.visible_px > 0]
    named = any(thing.category in words for thing in seen) and any(thing.color in words for thing in seen)
    return not question.expression.instance_ids and named
