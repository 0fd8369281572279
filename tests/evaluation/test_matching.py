"""Which true object a result is held against."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import CAMERA_FRAME, SyntheticRun

from referent.evaluation.lines import Line, mask_to_rle, result_line, truth_line
from referent.evaluation.matching import evaluate_run, true_position_m

RUN = SyntheticRun(frames=30)
BLUE, RED = 2, 1


def lines(expression: str = "the red mug") -> list[Line]:
    made = [result_line(RUN.result(number)) for number in range(RUN.frames)]
    for line in made:
        line["objects"][0]["expression"] = expression
    return made


def truths() -> list[Line]:
    return [truth_line(RUN.stamp_ns(number), RUN.truth(number)) for number in range(RUN.frames)]


def test_an_expression_that_names_an_object_is_held_against_it_whatever_was_followed() -> None:
    evaluation = evaluate_run(lines("Pick up the blue box!"), truths())["1"]
    assert (evaluation.match.instance_id, evaluation.match.by) == (BLUE, "description")
    assert evaluation.score.j is not None
    assert evaluation.score.j < 0.3


def test_the_head_of_an_expression_is_what_it_names_first() -> None:
    evaluation = evaluate_run(lines("the red mug left of the blue box"), truths())["1"]
    assert evaluation.match.instance_id == RED


def test_an_expression_that_names_nothing_known_is_held_against_the_most_overlapped_and_says_so() -> None:
    evaluation = evaluate_run(lines("something to drink from"), truths())["1"]
    assert (evaluation.match.instance_id, evaluation.match.by) == (RED, "overlap")


def test_what_was_meant_can_be_given() -> None:
    evaluation = evaluate_run(lines("that one"), truths(), expected={"that one": (BLUE,)})["1"]
    assert (evaluation.match.instance_id, evaluation.match.by) == (BLUE, "expected")


def test_two_results_for_one_expression_are_held_against_different_objects() -> None:
    both = lines("the things")
    for line, truth in zip(both, truths(), strict=True):
        line["objects"].append({**line["objects"][0], "id": "2", "mask_rle": truth["objects"][1]["mask_rle"]})
    evaluations = evaluate_run(both, truths(), expected={"the things": (RED, BLUE)})
    assert {key: value.match.instance_id for key, value in evaluations.items()} == {"1": RED, "2": BLUE}
    assert evaluations["2"].score.j == 1.0


def test_scores_of_a_run_one_pixel_off_are_those_worked_out_from_its_masks() -> None:
    score = evaluate_run(lines(), truths())["1"].score
    shifted = [
        (np.roll(mask, 1, axis=1), mask)
        for mask in (RUN.true_mask(n) for n in range(RUN.answered, RUN.frames))
        if mask.any()
    ]
    hidden = len(RUN.hidden)
    overlaps = [(a & b).sum() / (a | b).sum() for a, b in shifted] + [1.0] * hidden
    assert score.j == pytest.approx(np.mean(overlaps))
    assert score.f == 1.0  # one pixel is within the tolerance of two
    assert score.position_error_m == pytest.approx(0.0, abs=2e-6)
    assert score.first_mask_s == pytest.approx(RUN.answered / 30, abs=1e-6)


def test_frames_without_truth_are_not_scored() -> None:
    evaluation = evaluate_run(lines(), truths()[10:20])["1"]
    assert len(evaluation.frames) == 10


def test_positions_are_compared_in_the_camera_and_the_world_and_nowhere_else() -> None:
    truth = truth_line(0, RUN.truth(3))
    truth["world_from_camera"] = [[0, 0, 1, 2.0], [-1, 0, 0, 0], [0, -1, 0, 1.0], [0, 0, 0, 1]]
    known = truth["objects"][0]
    x, y, z = known["position_m"]
    assert true_position_m(known, truth, frame=CAMERA_FRAME, camera_frame=CAMERA_FRAME) == pytest.approx([x, y, z])
    assert true_position_m(known, truth, frame="world", camera_frame=CAMERA_FRAME) == pytest.approx([z + 2, -x, 1 - y])
    assert true_position_m(known, truth, frame="base_link", camera_frame=CAMERA_FRAME) is None


def test_a_result_that_is_nowhere_near_scores_nothing() -> None:
    far = lines()
    corner = np.zeros((120, 160), bool)
    corner[:5, :5] = True
    for line in far:
        line["objects"][0]["mask_rle"] = mask_to_rle(corner)
    score = evaluate_run(far, truths())["1"].score
    assert score.j == 0.0
    assert score.found_rate == 0.0
