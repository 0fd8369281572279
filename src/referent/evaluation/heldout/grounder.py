"""Judges a grounder on held-out pictures: every kind of question, unseen wordings, other shapes, dialogue, controls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import cv2
from tqdm import tqdm

from referent.evaluation.heldout.follow_ups import GIVEN, after_own_answers, follow_ups_about
from referent.evaluation.heldout.outcomes import Outcome, asked
from referent.evaluation.heldout.questions import PLAIN, SHAPES, Picture, Question, questions_about, render_picture
from referent.ports import Grounder
from referent.sources.simulation.expressions import KINDS
from referent.types import RgbdFrame

UNSEEN = "unseen wording"
OTHER_PICTURE, FOLLOW_UP_OTHER_PICTURE = "other picture", "follow-up, other picture"
AFTER_RIGHT, AFTER_WRONG = f"{GIVEN}, after a right answer", f"{GIVEN}, after a wrong answer"
CONTROLLED = "attribute"  # the kind that is asked about another scene's picture, to see whether it looks at all
LINE = 1  # of the progress bar: the tracker is judged beside it

Render = Callable[..., Picture]


@dataclass(eq=False)
class GrounderJudgement:
    """Every outcome; `pictures` holds the plain ones as JPEG, by seed."""

    outcomes: list[Outcome] = field(default_factory=list)
    pictures: dict[int, bytes] = field(default_factory=dict)


def judge_grounder(
    grounder: Grounder, *, first_seed: int, scenes: int, shape_scenes: int, render: Render = render_picture
) -> GrounderJudgement:
    """Ask everything about `scenes` pictures, and single questions about `shape_scenes` of every other shape."""
    judgement = GrounderJudgement()
    before: list[Question] = []  # the last picture's, to be asked about this one
    for seed in tqdm(
        range(first_seed, first_seed + scenes), desc="grounder", unit="picture", disable=None, position=LINE
    ):
        picture = render(seed)
        judgement.pictures[seed] = _jpeg(picture.frame)
        judgement.outcomes += _blind(grounder, before, picture.frame)
        outcomes, before = _about(grounder, picture)
        judgement.outcomes += outcomes
    for name, size in SHAPES.items():
        seeds = range(first_seed, first_seed + shape_scenes)
        for seed in tqdm(seeds, desc=f"grounder, {name}", unit="picture", disable=None, position=LINE):
            judgement.outcomes += [asked(grounder, each) for each in questions_about(render(seed, size), name)]
    return judgement


def ask_plainly(
    grounder: Grounder, seeds: Iterable[int], *, kinds: Collection[str] = KINDS, render: Render = render_picture
) -> list[Outcome]:
    """Only the single questions in known words: what a training run wants to know of itself."""
    questions = (each for seed in seeds for each in questions_about(render(seed), PLAIN, kinds=kinds))
    return [asked(grounder, question) for question in questions]


def _about(grounder: Grounder, picture: Picture) -> tuple[list[Outcome], list[Question]]:
    """All outcomes of one picture, and the questions for the control."""
    plain = list(questions_about(picture, PLAIN))
    unseen = list(questions_about(picture, UNSEEN, held_out=True))
    outcomes = [asked(grounder, question) for question in [*plain, *unseen]]
    control = [replaced(question, OTHER_PICTURE) for question in plain if question.expression.kind == CONTROLLED][:1]
    for each in follow_ups_about(picture):
        case = AFTER_RIGHT if each.after_right else AFTER_WRONG
        outcomes.append(asked(grounder, replaced(each.question, case)))
        control.append(replaced(each.question, FOLLOW_UP_OTHER_PICTURE))
    for own, given in after_own_answers(grounder, picture):
        outcomes += [own, given]
    return outcomes, [question for question in control if question.boxes]


def _blind(grounder: Grounder, questions: Sequence[Question], shown: RgbdFrame) -> list[Outcome]:
    """Questions about one picture while another is shown: what is right then was not seen."""
    return [asked(grounder, question, shown=shown) for question in questions]


def replaced(question: Question, case: str) -> Question:
    """The question as another case."""
    return Question(case, question.picture, question.expression, question.boxes, question.history)


def _jpeg(frame: RgbdFrame) -> bytes:
    bgr = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
