"""The numbers of the table: means with honest errors, and whether a bar is reached."""

from __future__ import annotations

import json

import numpy as np
import pytest

from referent.evaluation.heldout.estimates import Estimate, difference, mean_of, mean_over_kinds, median_of
from referent.evaluation.heldout.rows import Row, markdown_of_bars, table_of_bars


def test_the_error_of_single_values_is_the_usual_one() -> None:
    values = np.random.default_rng(0).normal(0, 1, 400)
    estimate = mean_of(values, range(400))
    assert estimate is not None
    assert estimate.error == pytest.approx(values.std(ddof=1) / 20, rel=1e-6)


def test_saying_everything_four_times_does_not_make_it_surer() -> None:
    values = np.random.default_rng(0).normal(0, 1, 100)
    once = mean_of(values, range(100))
    again = mean_of(np.repeat(values, 4), np.repeat(np.arange(100), 4).tolist())
    assert once is not None
    assert again is not None
    assert (again.value, again.error) == (pytest.approx(once.value), pytest.approx(once.error))
    assert again.count == 400


def test_the_error_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(300):
        clips = rng.normal(0, 0.3, 25)
        sizes = rng.integers(1, 9, 25)
        groups = np.repeat(np.arange(25), sizes)
        found = mean_of(clips[groups] + rng.normal(0, 0.1, len(groups)), groups.tolist())
        assert found is not None
        assert found.error is not None
        inside += abs(found.value) < 1.96 * found.error
    assert 0.87 < inside / 300 < 0.99


def test_without_values_there_is_no_mean_and_with_one_group_no_error() -> None:
    assert mean_of([], []) is None
    assert mean_of([1.0, 0.0], ["a", "a"]) == Estimate(0.5, None, 2)
    assert difference(None, Estimate(1, 0.1, 3)) is None
    assert mean_over_kinds([None, None]) is None


def test_kinds_count_alike_however_often_they_are_asked() -> None:
    found = mean_over_kinds([Estimate(1.0, 0.03, 1000), None, Estimate(0.5, 0.04, 10)])
    assert found == Estimate(0.75, pytest.approx(0.025), 1010)


def test_an_endless_wait_moves_the_median_only_when_it_is_common() -> None:
    assert median_of([0.5, 0.6, float("inf")]) == Estimate(0.6, None, 3)
    endless = median_of([0.5, float("inf"), float("inf")])
    assert endless is not None
    assert Row("pipeline", "time", endless, 1.5, at_most=True, unit="s").line()["value"] is None


@pytest.mark.parametrize(
    ("row", "reached"),
    [
        (Row("g", "a", Estimate(0.93, 0.01, 9), 0.93), True),
        (Row("g", "a", Estimate(0.92, 0.01, 9), 0.93), False),
        (Row("g", "a", Estimate(0.06, 0.01, 9), 0.05, at_most=True), False),
        (Row("g", "a", Estimate(-5.1, 1, 9), -5.0, unit="points"), False),
        (Row("g", "a", Estimate(9.0, 1, 9), -5.0, unit="points"), True),
        (Row("g", "a", Estimate(-0.6, 1, 9), 0.5, within=True, unit="points"), False),
        (Row("g", "a", None, 0.5), None),
        (Row("g", "a", Estimate(0.9, 0.1, 9)), None),
    ],
)
def test_a_bar_is_reached_or_not_or_not_known(row: Row, reached: bool | None) -> None:
    assert row.reached is reached
    json.dumps(row.line(), allow_nan=False)


def test_the_table_shows_the_bar_beside_the_number() -> None:
    rows = [
        Row("tracker", "J", Estimate(0.8123, 0.0151, 77), 0.82, 0.88),
        Row("grounder", "wide, less plain", Estimate(-1.26, 2.04, 40), -5.0, unit="points"),
    ]
    lines = [row.line() for row in rows]
    first, second = table_of_bars(lines).splitlines()[1:]
    assert first.split() == ["tracker", "J", "77", "0.812", "0.015", "0.820", "0.880", "no"]
    assert "-1.3 points  2.0             -5.0 points" in second
    assert "| tracker: J | 77 | 0.812 ± 0.015 | 0.820 (0.880) | no |" in markdown_of_bars(lines)
