"""The table and the plot of the re-grounding suite: bars that can be missed, and lines where they belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from PIL import Image, ImageColor
from regrounded import judged

from referent.evaluation.heldout.rows import Row
from referent.evaluation.regrounding.episodes import UNEVENTFUL
from referent.evaluation.regrounding.measures import Judged
from referent.evaluation.regrounding.plot import BOTTOM, COLORS, LEFT, RIGHT, SIZE_PX, TOP, plot
from referent.evaluation.regrounding.policies import EVERY_ANSWER, INTERVAL, NEVER, OURS, REINIT, WITHOUT_TIME_TRAVEL
from referent.evaluation.regrounding.rows import LATENCY_S, SLOW_S, regrounding_rows

J = {OURS: 0.8, WITHOUT_TIME_TRAVEL: 0.7, INTERVAL: 0.7, REINIT: 0.65, EVERY_ANSWER: 0.75, NEVER: 0.5}
LATER = {OURS: 0.79, WITHOUT_TIME_TRAVEL: 0.5}


def a_suite(**ours: object) -> list[Judged]:
    """Runs that reach every bar, over trials and named scenes; `ours` is otherwise at the usual latency."""
    sound = {"returns_s": (0.4, 0.8, inf), "verified": 20, "falsely_verified": 1, "surenesses": ((0.9, True),) * 9}
    runs = [judged(scene=UNEVENTFUL, is_trial=False, overlap=0.9, questions=ours.get("questions", 6))]
    for where in ({"seed": seed, "is_trial": is_trial} for seed in (1, 2) for is_trial in (True, False)):
        runs += [judged(policy, overlap=overlap, **where) for policy, overlap in J.items() if policy != OURS]
        runs.append(judged(**{**where, "overlap": J[OURS], **sound, **ours}))
        runs += [judged(policy, 0.0, overlap=J[policy], **where) for policy in LATER]
        runs += [judged(policy, SLOW_S, overlap=overlap, **where) for policy, overlap in LATER.items()]
    return runs


def barred(runs: Sequence[Judged]) -> dict[str, Row]:
    return {row.name: row for row in regrounding_rows(runs) if row.bar is not None}


def the(rows: dict[str, Row], words: str) -> Row:
    (row,) = [row for name, row in rows.items() if words in name]
    return row


@pytest.mark.parametrize(
    ("words", "bar", "at_most", "worse"),
    [
        ("evidence less interval", 0.05, False, {"overlap": 0.74}),
        ("evidence less never", 0.15, False, {"overlap": 0.64}),
        ("time travel", 0.03, True, None),
        ("switches", 1, True, {"switches": 1}),
        ("return to right mask", 1.0, True, {"returns_s": (0.4, inf, inf)}),
        ("uneventful", 6, True, {"questions": 7}),
        ("verified though", 0.05, True, {"falsely_verified": 2}),
    ],
)
def test_every_bar_is_the_one_promised_and_can_be_missed(
    words: str, bar: float, at_most: bool, worse: dict[str, object] | None
) -> None:
    row = the(barred(a_suite()), words)
    assert (row.bar, row.at_most, row.reached) == (bar, at_most, True)
    if worse is not None:
        assert the(barred(a_suite(**worse)), words).reached is False


def test_latency_may_cost_little_and_beside_it_stands_what_it_costs_without_time_travel() -> None:
    slower = [replace(one, overlap=0.75) if (one.policy, one.latency_s) == (OURS, SLOW_S) else one for one in a_suite()]
    assert the(barred(slower), "time travel").reached is False
    more = next(row.measured for row in regrounding_rows(a_suite()) if row.name == "lost more without")
    assert more is not None
    assert more.value == pytest.approx(0.2 - 0.01)


def test_there_are_seven_bars_and_what_was_not_run_reaches_none() -> None:
    assert len(barred(a_suite())) == 7
    assert {row.reached for row in regrounding_rows([])} == {None}


def test_no_two_rows_have_one_name() -> None:
    names = [(row.group, row.name) for row in regrounding_rows(a_suite())]
    assert {name for name in names if names.count(name) > 1} == set()


def test_quiet_minutes_count_in_their_own_row_only() -> None:
    usual, noisy = a_suite(), [replace(one, questions=99) if one.scene == UNEVENTFUL else one for one in a_suite()]
    rows = zip(regrounding_rows(usual), regrounding_rows(noisy), strict=True)
    assert [one.name for one, other in rows if one != other] == ["questions per minute, uneventful scene"]


# The plot.


def height_of(picture: Image.Image, policy: str, x: int) -> float:
    """The mean row of a policy's color in a column of the picture."""
    column = np.asarray(picture.convert("RGB"))[TOP:BOTTOM, x].astype(int)
    rows = np.flatnonzero((column == ImageColor.getrgb(COLORS[policy])).all(axis=1))
    assert len(rows), f"{policy} is not drawn at {x}"
    return float(TOP + rows.mean())


def test_a_better_policy_is_drawn_higher_and_where_its_overlap_belongs() -> None:
    runs = [judged(OURS, s, overlap=0.8) for s in (0.0, 4.0)] + [judged(INTERVAL, s, overlap=0.4) for s in (0.0, 4.0)]
    picture = plot(runs)
    assert picture.size == SIZE_PX
    middle = (LEFT + RIGHT) // 2
    assert height_of(picture, OURS, middle) < height_of(picture, INTERVAL, middle)
    assert height_of(picture, OURS, middle) == pytest.approx(BOTTOM - 0.8 * (BOTTOM - TOP), abs=2)


def test_a_line_falls_where_latency_costs_and_never_is_drawn_all_along() -> None:
    runs = [judged(OURS, 0.0, overlap=0.9), judged(OURS, 4.0, overlap=0.6), judged(NEVER, LATENCY_S, overlap=0.3)]
    picture = plot(runs)
    assert height_of(picture, OURS, LEFT + 20) < height_of(picture, OURS, RIGHT - 20)
    assert height_of(picture, NEVER, LEFT + 20) == height_of(picture, NEVER, RIGHT - 20)


def test_scenes_that_are_no_trials_are_not_in_the_plot() -> None:
    trials = [judged(OURS, s, overlap=0.5) for s in (0.0, 4.0)]
    quiet = judged(OURS, LATENCY_S, scene=UNEVENTFUL, is_trial=False, overlap=1.0)
    assert plot([*trials, quiet]).tobytes() == plot(trials).tobytes()
    assert plot([quiet]).size == SIZE_PX, "nothing to draw is no fault"
