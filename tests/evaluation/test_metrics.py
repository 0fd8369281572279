"""The formulas, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from referent.evaluation.metrics import (
    FrameScore,
    boundary_f,
    contour_of,
    object_score,
    percentiles,
    region_j,
)
from referent.types import Array


def block(x1: int, y1: int, x2: int, y2: int, *, width: int = 100, height: int = 80) -> Array:
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_overlap_of_two_half_shifted_squares_is_one_third() -> None:
    assert region_j(block(10, 10, 30, 30), block(20, 10, 40, 30)) == pytest.approx(1 / 3)


def test_two_empty_masks_agree_and_an_empty_one_never_matches_a_full_one() -> None:
    empty, full = block(0, 0, 0, 0), block(10, 10, 20, 20)
    assert (region_j(empty, empty), boundary_f(empty, empty)) == (1.0, 1.0)
    assert (region_j(empty, full), boundary_f(empty, full)) == (0.0, 0.0)
    assert (region_j(full, empty), boundary_f(full, empty)) == (0.0, 0.0)


def test_contour_of_a_square_runs_along_its_lower_right_half_step() -> None:
    # A pixel is on the contour when it differs from its right, lower or lower right neighbour: one pixel outside at
    # the left and top, inside at the right and bottom.
    expected = block(1, 1, 4, 4, width=6, height=6) & ~block(2, 2, 3, 3, width=6, height=6)
    assert (contour_of(block(2, 2, 4, 4, width=6, height=6)) == expected).all()


def test_contour_leaves_out_the_picture_border() -> None:
    assert not contour_of(np.ones((5, 5), bool)).any()


def test_contours_within_the_tolerance_match_and_those_beyond_it_do_not() -> None:
    # 100 x 80: diagonal 128.06, tolerance ceil(0.008 * 128.06) = 2 px.
    true = block(20, 20, 60, 60)
    assert boundary_f(block(22, 20, 62, 60), true) == 1.0
    assert boundary_f(block(30, 30, 50, 50), true) == 0.0


def test_boundary_f_of_a_square_with_one_side_moved_away_is_the_harmonic_mean_by_hand() -> None:
    # Contour of a w x h block: a ring of 2 w + 2 h pixels. The right side of the answer lies 20 px beyond the truth's.
    true, answer = block(20, 20, 60, 60), block(20, 20, 80, 60)
    # Precision: 200 contour pixels; all but those more than 2 px right of the true contour's column 59 match:
    # 2 * 18 along top and bottom (columns 62..79, of which column 79 is the side) and the side's other 39.
    unmatched = 2 * 18 + 39
    precision = 1 - unmatched / 200
    # Recall: 160 true pixels; the right side's column 59 matches only within 2 px of the answer's top and bottom rows
    # (19 and 59): rows 22..56 do not.
    recall = 1 - 35 / 160
    assert boundary_f(answer, true) == pytest.approx(2 * precision * recall / (precision + recall))


@given(st.integers(0, 40), st.integers(0, 30))
def test_both_measures_are_symmetric_and_bounded(dx: int, dy: int) -> None:
    a, b = block(10, 10, 40, 40), block(10 + dx, 10 + dy, 50 + dx, 45 + dy)
    for measure in (region_j, boundary_f):
        assert 0.0 <= measure(a, b) <= 1.0
        assert measure(a, b) == pytest.approx(measure(b, a))


def test_percentiles_are_interpolated_between_ranks() -> None:
    assert percentiles([float(n) for n in range(101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert percentiles([1.0, 2.0]) == {"p50": 1.5, "p95": pytest.approx(1.95), "p99": pytest.approx(1.99)}
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None}


def frame(
    number: int, j: float, *, visible: bool = True, answered: bool = True, off_m: float | None = None
) -> FrameScore:
    return FrameScore(number * 100_000_000, visible, answered, j, j, off_m)


def test_the_wait_for_the_first_mask_counts_against_found_but_not_against_overlap() -> None:
    waiting = [frame(n, 0.0, answered=False) for n in range(4)]
    following = [frame(n, 0.8, off_m=0.01 * n) for n in (4, 5, 6)]
    score = object_score(waiting + following)
    assert score.first_mask_s == pytest.approx(0.4)
    assert score.j_and_f == pytest.approx(0.8)
    assert score.found_rate == pytest.approx(3 / 7)
    assert score.position_error_m == pytest.approx(0.05)


def test_a_mask_where_the_object_is_hidden_counts_zero_and_a_right_absence_one() -> None:
    score = object_score([frame(0, 1.0), frame(1, 0.0, visible=False), frame(2, 1.0, visible=False, answered=False)])
    assert score.j == pytest.approx(2 / 3)
    assert score.found_rate == 1.0


def test_an_object_that_is_never_found_has_no_overlap() -> None:
    score = object_score([frame(0, 0.0, answered=False)])
    assert (score.found, score.j, score.found_rate) == (False, None, 0.0)
