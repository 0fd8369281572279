"""The grounder's lines of the table, from its outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from referent.evaluation.heldout.estimates import Estimate, difference, mean_of, mean_over_kinds, median_of
from referent.evaluation.heldout.follow_ups import GIVEN_AGAIN, OWN
from referent.evaluation.heldout.grounder import (
    AFTER_RIGHT,
    AFTER_WRONG,
    FOLLOW_UP_OTHER_PICTURE,
    OTHER_PICTURE,
    UNSEEN,
)
from referent.evaluation.heldout.outcomes import Outcome
from referent.evaluation.heldout.questions import PLAIN, SHAPES
from referent.evaluation.heldout.rows import Row

GROUP = "grounder"
ACCURACY_BARS = {  # kind: trained without, with a GPU
    "attribute": (0.93, 0.97),
    "relation": (0.78, 0.90),
    "superlative": (0.87, 0.94),
    "affordance": (0.90, 0.95),
}
KNOWN_KINDS = ("ordinal", "negation", "part")  # one box is meant, and no bar is set
FOLLOW_UP_BARS = (0.85, 0.93)
ABSENT_BAR, FALSE_NOTHING_BAR, PLURAL_BAR, PARSED_BAR = 0.93, 0.05, 0.87, 0.995
WITHIN_POINTS = -5.0

Measure = Callable[[Outcome], float]


def grounder_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Every bar of the grounder, then what is there to be known."""
    plain = [each for each in outcomes if each.case == PLAIN]
    return [
        *_accuracies(plain, outcomes),
        *_nothing_rows(plain),
        *_set_rows(plain),
        Row(GROUP, "replies that parse", _mean(outcomes, lambda o: o.parsed), PARSED_BAR),
        *_rows_within(plain, outcomes),
        *_control_rows(outcomes),
        Row(GROUP, "one answer (median)", median_of([1000 * each.latency_s for each in outcomes]), unit="ms"),
    ]


def _accuracies(plain: Sequence[Outcome], outcomes: Sequence[Outcome]) -> Iterator[Row]:
    for kind, bars in ACCURACY_BARS.items():
        yield Row(GROUP, f"Acc@0.5, {kind}", _right(plain, kind), *bars)
    given = [each for each in outcomes if each.case in (AFTER_RIGHT, AFTER_WRONG)]
    yield Row(GROUP, "Acc@0.5, follow-up", _mean(given, lambda o: o.right), *FOLLOW_UP_BARS)
    for kind in KNOWN_KINDS:
        yield Row(GROUP, f"Acc@0.5, {kind}", _right(plain, kind))


def _nothing_rows(plain: Sequence[Outcome]) -> Iterator[Row]:
    absent = [each for each in plain if not each.wanted]
    present = [each for each in plain if each.wanted]
    near = [each for each in absent if each.near_miss]
    yield Row(GROUP, 'absent answered "nothing" (N-acc)', _mean(absent, lambda o: o.right), ABSENT_BAR)
    yield Row(GROUP, "N-acc, near misses", _mean(near, lambda o: o.right))
    missed = _mean(present, lambda o: o.nothing)
    yield Row(GROUP, 'false "nothing" on present ones', missed, FALSE_NOTHING_BAR, at_most=True)


def _set_rows(plain: Sequence[Outcome]) -> Iterator[Row]:
    for kind, bar in (("plural", PLURAL_BAR), ("ambiguous", None)):
        sets = [each for each in plain if each.kind == kind]
        yield Row(GROUP, f"F1 of the set, {kind}", _mean(sets, lambda o: o.f1), bar)
        yield Row(GROUP, f"exact set, {kind}", _mean(sets, lambda o: o.right))


def _rows_within(plain: Sequence[Outcome], outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """The other cases less the plain one, in points; kinds count alike, for cases differ in how often they occur."""
    for case in (*SHAPES, UNSEEN):
        there = [each for each in outcomes if each.case == case]
        for name, chosen in (("present", _is_present), ("absent", _is_absent)):
            here = [each for each in plain if chosen(each)]
            other = [each for each in there if chosen(each)]
            yield _within(f"{case}, {name}", over_kinds(other), over_kinds(here))
    own = [each.credit for each in outcomes if each.case == OWN]
    given = [each for each in outcomes if each.case == GIVEN_AGAIN]
    points = [100 * (a - b.credit) for a, b in zip(own, given, strict=True)]
    apart = mean_of(points, [each.seed for each in given])
    yield Row(GROUP, "follow-up, own history less given one", apart, WITHIN_POINTS, unit="points")


def _within(name: str, there: Estimate | None, here: Estimate | None) -> Row:
    apart = difference(there, here, scale=100)
    return Row(GROUP, f"{name}, less plain", apart, WITHIN_POINTS, unit="points")


def _control_rows(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """Where the answer stands in the picture alone, these are near zero."""
    for case in (AFTER_RIGHT, AFTER_WRONG, OTHER_PICTURE, FOLLOW_UP_OTHER_PICTURE):
        yield Row(GROUP, f"{case}", _mean([o for o in outcomes if o.case == case], lambda o: o.right))


def rows_by_kind(outcomes: Sequence[Outcome]) -> list[Row]:
    """For every kind of question the share answered rightly."""
    kinds = sorted({each.kind for each in outcomes})
    return [Row(GROUP, kind, _right(outcomes, kind)) for kind in kinds]


def over_kinds(outcomes: Sequence[Outcome]) -> Estimate | None:
    """The mean over kinds of the mean credit of each."""
    kinds = sorted({each.kind for each in outcomes})
    return mean_over_kinds([_mean([o for o in outcomes if o.kind == kind], lambda o: o.credit) for kind in kinds])


def _is_present(outcome: Outcome) -> bool:
    return bool(outcome.wanted)


def _is_absent(outcome: Outcome) -> bool:
    return not outcome.wanted


def _right(outcomes: Sequence[Outcome], kind: str) -> Estimate | None:
    return _mean([each for each in outcomes if each.kind == kind], lambda o: o.right)


def _mean(outcomes: Sequence[Outcome], measure: Measure) -> Estimate | None:
    return mean_of([float(measure(each)) for each in outcomes], [each.seed for each in outcomes])
