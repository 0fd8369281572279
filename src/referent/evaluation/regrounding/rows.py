"""The table of the re-grounding suite: what was measured beside what must be reached."""

from __future__ import annotations

from collections.abc import Sequence

from referent.evaluation.heldout.estimates import Estimate, difference, median_of
from referent.evaluation.heldout.rows import Row
from referent.evaluation.regrounding.episodes import UNEVENTFUL
from referent.evaluation.regrounding.measures import (
    Judged,
    of_policy,
    overlap_apart,
    overlap_of,
    questions_per_min,
    share_falsely_verified,
    switches_per_10_min,
)
from referent.evaluation.regrounding.policies import (
    EVERY_ANSWER,
    INTERVAL,
    NEVER,
    OURS,
    POLICIES,
    REINIT,
    WITHOUT_TIME_TRAVEL,
)
from referent.grounding.confidence import expected_calibration_error

LATENCY_S = 0.5  # at which policies are compared
SLOW_S = 2.0


def regrounding_rows(judged: Sequence[Judged]) -> list[Row]:
    """All lines of the table. What was not run has no measurement."""
    trials = [one for one in judged if one.is_trial]
    quiet = [one for one in judged if one.scene == UNEVENTFUL]
    named = [one for one in judged if not one.is_trial and one.scene != UNEVENTFUL]
    return [
        *_overlap_rows(trials),
        *_named_rows(named),
        *_latency_rows(named, trials),
        *_identity_rows(trials, named),
        Row("asking", "questions per minute, uneventful scene", questions_per_min(quiet), 6, at_most=True),
        Row("asking", "questions per minute, trials", questions_per_min(_ours(trials))),
        _calibration_row(trials),
    ]


def _ours(judged: Sequence[Judged]) -> list[Judged]:
    return of_policy(judged, OURS, LATENCY_S)


def _overlap_rows(judged: Sequence[Judged]) -> list[Row]:
    ours = _ours(judged)
    beside = {policy: of_policy(judged, policy, LATENCY_S) for policy in POLICIES}
    rows = [Row("J", f"{policy}, {LATENCY_S} s", overlap_of(runs)) for policy, runs in beside.items()]
    for scene in dict.fromkeys(one.scene for one in ours):
        rows += [
            Row("J", f"{scene}: {policy}", overlap_of([one for one in beside[policy] if one.scene == scene]))
            for policy in (OURS, INTERVAL, NEVER)
        ]
    return [
        *rows,
        Row("J", "evidence less interval, as many questions", overlap_apart(ours, beside[INTERVAL]), 0.05),
        Row("J", "evidence less interval that re-inits", overlap_apart(ours, beside[REINIT])),
        Row("J", "evidence less every answer", overlap_apart(ours, beside[EVERY_ANSWER])),
        Row("J", "evidence less never", overlap_apart(ours, beside[NEVER]), 0.15),
    ]


def _latency_rows(judged: Sequence[Judged], trials: Sequence[Judged]) -> list[Row]:
    """Where the target stays what it is, latency need not matter; where it is moved unseen, the answer is awaited."""
    rows = []
    for policy in (OURS, WITHOUT_TIME_TRAVEL):
        latencies = sorted({one.latency_s for one in judged if one.policy == policy})
        rows += [
            Row("latency", f"J, named scenes, {policy}, {s:g} s", overlap_of(of_policy(judged, policy, s)))
            for s in latencies
        ]
    with_it, without = _loss(judged, OURS), _loss(judged, WITHOUT_TIME_TRAVEL)
    return [
        *rows,
        Row("latency", f"J lost from 0 s to {SLOW_S:g} s, time travel", with_it, 0.03, at_most=True),
        Row("latency", f"J lost from 0 s to {SLOW_S:g} s, without", without),
        Row("latency", "lost more without", difference(without, with_it)),
        Row("latency", f"J lost from 0 s to {SLOW_S:g} s, trials, time travel", _loss(trials, OURS)),
        Row("latency", f"J lost from 0 s to {SLOW_S:g} s, trials, without", _loss(trials, WITHOUT_TIME_TRAVEL)),
    ]


def _loss(judged: Sequence[Judged], policy: str) -> Estimate | None:
    return overlap_apart(of_policy(judged, policy, 0.0), of_policy(judged, policy, SLOW_S))


def _named_rows(judged: Sequence[Judged]) -> list[Row]:
    """In the named scenes themselves, where the tracker alone does well: whether asking does harm."""
    ours = _ours(judged)
    beside = {policy: of_policy(judged, policy, LATENCY_S) for policy in (OURS, INTERVAL, REINIT, NEVER)}
    return [
        *(Row("named scenes", f"J, {policy}", overlap_of(runs)) for policy, runs in beside.items()),
        Row("named scenes", "J, evidence less never", overlap_apart(ours, beside[NEVER])),
        Row("named scenes", "questions per minute", questions_per_min(ours)),
    ]


def _identity_rows(judged: Sequence[Judged], named: Sequence[Judged]) -> list[Row]:
    """A trial forces switches on every tracker; what counts is that asking adds none where there is none."""
    ours, peers = _ours(judged), of_policy(judged, REINIT, LATENCY_S)
    returns_s = [time_s for one in ours for time_s in one.returns_s]
    name = "switches to something else in 10 min"
    return [
        Row("identity", f"{name}, named scenes", switches_per_10_min(_ours(named)), 1, at_most=True),
        Row("identity", f"{name}, named scenes, {REINIT}", switches_per_10_min(of_policy(named, REINIT, LATENCY_S))),
        *(
            Row("identity", f"{name}, trials, {policy}", switches_per_10_min(of_policy(judged, policy, LATENCY_S)))
            for policy in (OURS, REINIT, NEVER)
        ),
        Row("identity", "return to right mask (median)", median_of(returns_s), 1.0, at_most=True, unit="s"),
        Row("identity", "verified though something else", share_falsely_verified(ours), 0.05, at_most=True),
        Row("identity", f"verified though something else, {REINIT}", share_falsely_verified(peers)),
    ]


def _calibration_row(judged: Sequence[Judged]) -> Row:
    told = [pair for one in _ours(judged) for pair in one.surenesses]
    error = expected_calibration_error([sure for sure, _ in told], [right for _, right in told])
    return Row("asking", "calibration error of answers (ECE)", Estimate(error, None, len(told)) if told else None)
