"""Hears everything that is said about the judge's pictures, so that grounders can be built from the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from referent.errors import UnreadableReply
from referent.evaluation.heldout import follow_ups, questions
from referent.evaluation.heldout.outcomes import Answer
from referent.evaluation.heldout.questions import Picture, render_picture
from referent.grounding.answers import answer_text, thousandths
from referent.grounding.replies import locate
from referent.sources.simulation.dialogues import Said
from referent.sources.simulation.expressions import Expression, boxes_of
from referent.sources.simulation.truth import FrameTruth
from referent.types import Array, Grounding, GroundingItem, GroundingRequest, Turn

Earlier = tuple[str, tuple[int, ...]]  # what was said before, and the objects that were answered
Key = tuple[str, Earlier | None]


class Witness:
    """Knows for every picture it rendered what was said about it, after what, and what was meant."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, scale: float = 0.25) -> None:
        self._scale = scale
        self._pictures: dict[int, Picture] = {}  # by the identity of what is seen
        self._said: dict[int, dict[Key, Expression]] = {}  # by the identity of the truth
        for module in (questions, follow_ups):
            monkeypatch.setattr(module, "expressions_for", self._hearing(module.expressions_for, _singly))
        monkeypatch.setattr(follow_ups, "dialogue_for", self._hearing(follow_ups.dialogue_for, _as_dialogue))
        monkeypatch.setattr(follow_ups, "follow_up", self._hearing(follow_ups.follow_up, _after))

    def render(self, seed: int, size: tuple[int, int] = questions.PLAIN_SIZE) -> Picture:
        """The judge's picture, smaller."""
        picture = render_picture(seed, (round(size[0] * self._scale), round(size[1] * self._scale)))
        self._pictures[id(picture.frame.rgb)] = picture
        return picture

    def shown(self, request: GroundingRequest) -> Picture:
        """The picture that is shown."""
        return self._pictures[id(request.frame.rgb)]

    def meant(self, request: GroundingRequest) -> Expression | None:
        """What the expression means in the picture that is shown; None when it was not said of it."""
        picture = self.shown(request)
        return self._said.get(id(picture.truth), {}).get((request.expression, _earlier(request, picture)))

    def _hearing(self, say: Callable[..., Any], heard: Callable[..., Iterator[tuple[Key, Expression]]]) -> Any:
        def say_and_hear(truth: FrameTruth, *args: Any, **kwargs: Any) -> Any:
            result = say(truth, *args, **kwargs)
            if result is not None:
                self._said.setdefault(id(truth), {}).update(heard(result, *args))
            return result

        return say_and_hear


def _singly(expressions: Sequence[Expression], *_: Any) -> Iterator[tuple[Key, Expression]]:
    for expression in expressions:
        yield (expression.text, None), expression


def _as_dialogue(dialogue: tuple[Said, Expression], *_: Any) -> Iterator[tuple[Key, Expression]]:
    said, then = dialogue
    yield (said.expression.text, None), said.expression
    yield from _after(then, said)


def _after(then: Expression, said: Said, *_: Any) -> Iterator[tuple[Key, Expression]]:
    yield (then.text, (said.expression.text, tuple(sorted(said.answered_ids)))), then


def _earlier(request: GroundingRequest, picture: Picture) -> Earlier | None:
    """The earlier turn as the history has it, its boxes recognised as objects."""
    if not request.history:
        return None
    (turn,) = request.history
    width, height = picture.size
    located = locate(turn.answer, scale=(width / 1000, height / 1000), size=picture.size)
    grounding = Grounding(request, located.items, nothing_reason=located.nothing)
    ids = follow_ups.answered_ids(picture, Answer(grounding, 0.0))
    return None if ids is None else (turn.question, tuple(sorted(ids)))


class Seeing:
    """A grounder that answers from the truth of the picture it is shown; `off_px` moves its boxes."""

    def __init__(self, witness: Witness, *, off_px: float = 0.0) -> None:
        self._witness, self._off_px = witness, off_px

    def ground(self, request: GroundingRequest) -> Grounding:
        picture, meant = self._witness.shown(request), self._witness.meant(request)
        boxes = [] if meant is None else [np.asarray(box) + self._off_px for box in boxes_of(meant, picture.truth)]
        return a_grounding(request, [box.astype(np.float32) for box in boxes], picture)

    def close(self) -> None: ...


class Recalling(Seeing):
    """Knows all questions by heart and never looks: answers with the boxes of the picture they were made for."""

    def __init__(self, witness: Witness) -> None:
        super().__init__(witness)
        self._answers: dict[tuple[str, tuple[Turn, ...]], list[Array]] = {}

    def ground(self, request: GroundingRequest) -> Grounding:
        picture, meant = self._witness.shown(request), self._witness.meant(request)
        key = (request.expression, request.history)
        if meant is not None and key not in self._answers:
            self._answers[key] = boxes_of(meant, picture.truth)
        return a_grounding(request, self._answers.get(key, []), picture)


class Silent:
    """A grounder that never finds anything."""

    def ground(self, request: GroundingRequest) -> Grounding:
        return Grounding(request, (), nothing_reason="too dark", raw="[]")

    def close(self) -> None: ...


class Rambling:
    """A grounder nobody understands."""

    def ground(self, request: GroundingRequest) -> Grounding:
        raise UnreadableReply("well, well")

    def close(self) -> None: ...


def a_grounding(request: GroundingRequest, boxes: Sequence[Array], picture: Picture) -> Grounding:
    """Boxes in pixels as an answer, with its words."""
    raw = answer_text([thousandths(box, picture.size) for box in boxes], ["thing"] * len(boxes))
    items = tuple(GroundingItem("thing", box_xyxy=np.asarray(box, np.float32)) for box in boxes)
    return Grounding(request, items, nothing_reason=None if items else "nothing matches", raw=raw)
