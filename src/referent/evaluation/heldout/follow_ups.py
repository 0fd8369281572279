"""Follow-ups in dialogue: after an earlier answer that is given, and after the grounder's own.

Half of the earlier answers are wrong. The grounder's own is made wrong by taking what it said to another question: its
own mistakes are too few to tell whether a history gives answers away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from referent.evaluation.heldout.outcomes import RIGHT_IOU, Answer, Outcome, ask, asked, matched
from referent.evaluation.heldout.questions import TRIES_PER_KIND, Picture, Question, a_question
from referent.grounding.answers import answer_text, thousandths
from referent.ports import Grounder
from referent.sources.simulation.dialogues import Said, dialogue_for, follow_up
from referent.sources.simulation.expressions import Expression, expressions_for
from referent.types import Array, Turn

GIVEN, OWN, GIVEN_AGAIN = "follow-up", "follow-up, own history", "follow-up, that history given"
ASKED_PER_PICTURE = 2
FIRST_KINDS = ("attribute", "absent", "superlative", "plural")  # what is asked to get an answer of one's own


@dataclass(frozen=True, eq=False)
class FollowUp:
    """A follow-up's question, and whether the earlier answer in its history is right."""

    question: Question
    after_right: bool


def follow_ups_about(picture: Picture) -> Iterator[FollowUp]:
    """Some follow-ups to answers that are given; the same ones each time."""
    for said, then in _dialogues(picture):
        turn = given_turn(picture, said)
        yield FollowUp(a_question(GIVEN, picture, then, (turn,)), _is_right(said))


def after_own_answers(grounder: Grounder, picture: Picture) -> Iterator[tuple[Outcome, Outcome]]:
    """Outcomes of the same follow-ups after the grounder's own answer, and after the same answer given in true boxes.

    Where its answer is no set of objects nothing can be said of what follows: such dialogues are left out.
    """
    for turn_number, (said, then) in enumerate(_dialogues(picture)):
        asked_for = said.expression if _is_right(said) else _expression_of(picture, said.answered_ids, turn_number)
        if asked_for is None:
            continue
        answer = ask(grounder, picture.frame, asked_for.text)
        ids = answered_ids(picture, answer)
        if ids is None:
            continue
        answered = Said(said.expression, ids)
        rng = np.random.default_rng((picture.seed, turn_number))
        follows = then if set(ids) == set(said.answered_ids) else follow_up(picture.truth, answered, rng)
        if follows is None:
            continue
        given = given_turn(picture, answered)
        own = Turn(said.expression.text, _words(answer) or given.answer)
        yield (
            asked(grounder, a_question(OWN, picture, follows, (own,))),
            asked(grounder, a_question(GIVEN_AGAIN, picture, follows, (given,))),
        )


def given_turn(picture: Picture, said: Said) -> Turn:
    """What was said and its answer, in true boxes and the usual words."""
    things = _things(picture, said.answered_ids)
    boxes = [thousandths(box, picture.size) for _, box in things]
    return Turn(said.expression.text, answer_text(boxes, [label for label, _ in things]))


def answered_ids(picture: Picture, answer: Answer) -> tuple[int, ...] | None:
    """The objects whose boxes were answered, from left to right; None when a box is no object's, or unreadable."""
    if answer.grounding is None:
        return None
    known = [(thing.instance_id, thing.box_xyxy) for thing in picture.truth.objects if thing.box_xyxy is not None]
    pairs = matched([box for _, box in known], answer.boxes)
    met = [known[row] for row, _, overlap in pairs if overlap >= RIGHT_IOU]
    if len(met) != len(answer.boxes):
        return None
    return tuple(number for number, _ in sorted(met, key=lambda thing: float(thing[1][0])))


def _dialogues(picture: Picture) -> list[tuple[Said, Expression]]:
    rng = np.random.default_rng((picture.seed, 2))  # 0 and 1 are the single questions' draws
    drawn = [dialogue_for(picture.truth, rng) for _ in range(ASKED_PER_PICTURE)]
    return [dialogue for dialogue in drawn if dialogue is not None]


def _is_right(said: Said) -> bool:
    return set(said.answered_ids) == set(said.expression.instance_ids)


def _expression_of(picture: Picture, instance_ids: Collection[int], number: int) -> Expression | None:
    """Something that means just these objects; None when nothing was found."""
    rng = np.random.default_rng((picture.seed, 3, number))
    drawn = expressions_for(picture.truth, rng, per_kind=2 * TRIES_PER_KIND, kinds=FIRST_KINDS)
    return next((each for each in drawn if set(each.instance_ids) == set(instance_ids)), None)


def _words(answer: Answer) -> str:
    return "" if answer.grounding is None else answer.grounding.raw


def _things(picture: Picture, instance_ids: Sequence[int]) -> list[tuple[str, Array]]:
    """Label and box of objects, in the order of `instance_ids`."""
    known = {thing.instance_id: thing for thing in picture.truth.objects}
    things = [known[number] for number in instance_ids]
    return [(f"{thing.color} {thing.category}", thing.box_xyxy) for thing in things if thing.box_xyxy is not None]
