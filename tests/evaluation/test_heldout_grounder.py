"""The judge of grounders: truth scores one everywhere, and every way to fail shows in its own line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from witness import Rambling, Recalling, Seeing, Silent, Witness

from referent.evaluation.heldout.follow_ups import GIVEN_AGAIN, OWN, answered_ids
from referent.evaluation.heldout.grounder import (
    AFTER_RIGHT,
    AFTER_WRONG,
    FOLLOW_UP_OTHER_PICTURE,
    OTHER_PICTURE,
    UNSEEN,
    GrounderJudgement,
    ask_plainly,
    judge_grounder,
)
from referent.evaluation.heldout.grounder_rows import grounder_rows
from referent.evaluation.heldout.outcomes import Answer, Outcome, judged, matched
from referent.evaluation.heldout.questions import PLAIN, SHAPES, Picture, Question, questions_about
from referent.evaluation.heldout.rows import Row
from referent.evaluation.heldout.sheets import write_grounder_sheets
from referent.ports import Grounder
from referent.sources.simulation.expressions import KINDS, Expression
from referent.sources.simulation.truth import FrameTruth
from referent.types import (
    Array,
    Grounding,
    GroundingItem,
    GroundingRequest,
    Intrinsics,
    RegroundReason,
    RgbdFrame,
    Target,
)

SCENES = 6


def judgement_of(grounder: Grounder, witness: Witness, *, scenes: int = SCENES) -> GrounderJudgement:
    return judge_grounder(grounder, first_seed=300, scenes=scenes, shape_scenes=2, render=witness.render)


def rows_of(judgement: GrounderJudgement) -> dict[str, Row]:
    return {row.name: row for row in grounder_rows(judgement.outcomes)}


def value(row: Row) -> float:
    assert row.measured is not None, row.name
    return row.measured.value


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> Witness:
    return Witness(monkeypatch)


def test_a_grounder_that_sees_the_truth_scores_one_everywhere(witness: Witness) -> None:
    judgement = judgement_of(Seeing(witness), witness)
    cases = {PLAIN, UNSEEN, *SHAPES, OTHER_PICTURE, AFTER_RIGHT, AFTER_WRONG, OWN, GIVEN_AGAIN, FOLLOW_UP_OTHER_PICTURE}
    assert {outcome.case for outcome in judgement.outcomes} == cases
    assert {outcome.kind for outcome in judgement.outcomes if outcome.case == PLAIN} == set(KINDS)
    rows = rows_of(judgement)
    wrong = [o.line() for o in judgement.outcomes if not o.right and "other picture" not in o.case]
    assert wrong == []
    for row in rows.values():
        if row.reached is not None:
            assert row.reached, row
    assert value(rows["exact set, plural"]) == value(rows["replies that parse"]) == 1.0
    assert value(rows["follow-up, own history less given one"]) == 0.0


def test_one_that_says_nothing_is_right_about_absence_alone(witness: Witness) -> None:
    rows = rows_of(judgement_of(Silent(), witness, scenes=3))
    assert value(rows['absent answered "nothing" (N-acc)']) == 1.0
    assert value(rows['false "nothing" on present ones']) == 1.0
    assert rows['false "nothing" on present ones'].reached is False
    assert value(rows["Acc@0.5, attribute"]) == value(rows["F1 of the set, plural"]) == 0.0
    assert value(rows["16:9, present, less plain"]) == 0.0


def test_boxes_beside_the_thing_are_wrong(witness: Witness) -> None:
    rows = rows_of(judgement_of(Seeing(witness, off_px=100.0), witness, scenes=2))
    assert value(rows["Acc@0.5, attribute"]) == 0.0
    assert value(rows['absent answered "nothing" (N-acc)']) == 1.0


def test_words_nobody_can_read_are_neither_right_nor_nothing(witness: Witness) -> None:
    judgement = judgement_of(Rambling(), witness, scenes=2)
    rows = rows_of(judgement)
    assert value(rows["replies that parse"]) == 0.0
    assert value(rows['absent answered "nothing" (N-acc)']) == value(rows['false "nothing" on present ones']) == 0.0
    assert not any(outcome.case == OWN for outcome in judgement.outcomes)  # nothing can follow


def test_who_answers_without_looking_is_found_out(witness: Witness) -> None:
    looking = rows_of(judgement_of(Seeing(witness), witness))
    knowing = rows_of(judgement_of(Recalling(witness), witness))
    for control in (OTHER_PICTURE, FOLLOW_UP_OTHER_PICTURE):
        assert value(knowing[control]) == 1.0
        assert value(looking[control]) < 0.5


def test_shapes_are_compared_kind_by_kind(witness: Witness) -> None:
    class NoPortraits(Seeing):
        def ground(self, request: GroundingRequest) -> Grounding:
            height, width = request.frame.rgb.shape[:2]
            return Silent().ground(request) if height > width else super().ground(request)

    rows = rows_of(judgement_of(NoPortraits(witness), witness, scenes=2))
    assert value(rows["portrait, present, less plain"]) == -100.0
    assert value(rows["portrait, absent, less plain"]) == value(rows["square, present, less plain"]) == 0.0


def test_half_of_the_earlier_answers_are_wrong_and_one_s_own_too(witness: Witness) -> None:
    outcomes = judgement_of(Seeing(witness), witness, scenes=20).outcomes
    given = [outcome.case for outcome in outcomes if outcome.case in (AFTER_RIGHT, AFTER_WRONG)]
    assert len(given) > 15
    assert 0.25 < given.count(AFTER_RIGHT) / len(given) < 0.75
    own = [outcome for outcome in outcomes if outcome.case == OWN]
    again = [outcome for outcome in outcomes if outcome.case == GIVEN_AGAIN]
    assert len(own) > 10
    assert [(o.text, o.seed) for o in own] == [(o.text, o.seed) for o in again]
    assert all("thing" in o.history[0].answer or o.history[0].answer == "[]" for o in own)  # its very words


def test_the_same_questions_are_asked_each_time(witness: Witness) -> None:
    once, again = (list(questions_about(witness.render(301), PLAIN)) for _ in range(2))
    assert [q.expression for q in once] == [q.expression for q in again]
    held_out = list(questions_about(witness.render(301), UNSEEN, held_out=True))
    assert {q.expression.text for q in once}.isdisjoint(q.expression.text for q in held_out if q.boxes)
    outcomes = ask_plainly(Seeing(witness), [301], kinds=("attribute",), render=witness.render)
    assert {outcome.kind for outcome in outcomes} == {"attribute"}


def test_sheets_show_successes_and_failures_of_every_kind(witness: Witness, tmp_path: Path) -> None:
    class HalfBlind(Seeing):
        def ground(self, request: GroundingRequest) -> Grounding:
            return Silent().ground(request) if "red" in request.expression else super().ground(request)

    judgement = judgement_of(HalfBlind(witness), witness)
    files = write_grounder_sheets(judgement, tmp_path)
    assert {file.name for file in files} >= {"grounder_attribute.jpg", "grounder_absent.jpg", "grounder_follow-up.jpg"}
    for file in files:
        assert file.stat().st_size < 1_000_000
        with Image.open(file) as sheet:
            assert sheet.width > 700


def a_question(*boxes: tuple[float, float, float, float], kind: str = "plural") -> Question:
    camera = Intrinsics(100, 100, 100.0, 100.0, 50.0, 50.0)
    frame = RgbdFrame(1, "camera", np.zeros((100, 100, 3), np.uint8), None, camera)
    truth = FrameTruth(np.zeros((100, 100), np.uint8), np.eye(4), np.zeros((100, 100), np.float32), ())
    wanted = tuple(np.array(box, np.float32) for box in boxes)
    said = Expression("the mugs", kind, tuple(range(1, 1 + len(boxes))), "the mugs")
    return Question(PLAIN, Picture(0, frame, truth), said, wanted)


def answered(question: Question, *boxes: tuple[float, float, float, float], points: int = 0) -> Outcome:
    request = GroundingRequest((Target("1", "the mugs"),), question.picture.frame, RegroundReason.NEW)
    items = [GroundingItem("mug", box_xyxy=np.array(box, np.float32)) for box in boxes]
    items += [GroundingItem("mug", points_xy=np.array([[5, 5]], np.float32))] * points
    return judged(question, Answer(Grounding(request, tuple(items), None if items else "nothing"), 0.1))


A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)


def test_the_f1_of_known_sets() -> None:
    assert answered(a_question(A, B, C), A, B, C).f1 == 1.0
    assert answered(a_question(A, B, C), A, B).f1 == pytest.approx(0.8)
    assert answered(a_question(A, B), A, B, C).f1 == pytest.approx(0.8)
    assert answered(a_question(A, B), A, (20, 6, 30, 16)).f1 == pytest.approx(0.5)
    assert answered(a_question(A), B).f1 == 0.0
    assert answered(a_question(A), A, A).f1 == pytest.approx(2 / 3)  # a box meets one object only
    assert not answered(a_question(A), A, A).right
    assert answered(a_question()).f1 == 1.0
    assert answered(a_question(), A).f1 == 0.0


def test_half_of_the_union_is_enough_and_less_is_not() -> None:
    assert answered(a_question(A), (0, 0, 10, 5)).right
    assert not answered(a_question(A), (0, 0, 10, 4.9)).right


def test_a_point_cannot_be_compared_and_counts_as_wrong() -> None:
    outcome = answered(a_question(A), points=1)
    assert (outcome.right, outcome.nothing, outcome.f1) == (False, False, 0.0)


def test_as_many_as_possible_are_matched() -> None:
    first, second = np.array((0, 0, 10, 10.0)), np.array((0, 4, 10, 14.0))
    boxes: list[Array] = [np.array((0, 2, 10, 12.0)), np.array((0, 0, 10, 6.0))]
    assert sorted((i, j) for i, j, overlap in matched([first, second], boxes) if overlap >= 0.5) == [(0, 1), (1, 0)]


def test_what_was_answered_is_told_from_its_boxes(witness: Witness) -> None:
    picture = witness.render(302)
    things = [thing for thing in picture.truth.objects if thing.box_xyxy is not None][:2]
    question = a_question()
    boxes = [tuple(float(edge) for edge in thing.box_xyxy) for thing in things]  # type: ignore[union-attr]
    request = GroundingRequest((Target("1", "x"),), question.picture.frame, RegroundReason.NEW)

    def said(*found: tuple[float, ...]) -> Answer:
        items = tuple(GroundingItem("x", box_xyxy=np.array(box, np.float32)) for box in found)
        return Answer(Grounding(request, items, None if items else "nothing"), 0.1)

    in_order = tuple(t.instance_id for t in sorted(things, key=lambda thing: float(thing.box_xyxy[0])))  # type: ignore[index]
    assert answered_ids(picture, said(*boxes)) == in_order
    assert answered_ids(picture, said(boxes[0], (0.0, 0.0, 1.0, 1.0))) is None
    assert answered_ids(picture, said()) == ()
    assert answered_ids(picture, Answer(None, 0.1)) is None
