"""The policy: what state follows from evidence, and when the grounder is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from referent.config import GroundingConfig
from referent.grounding.policy import Evidence, backoff_s, doubt, reason_to_ask, state_of
from referent.types import RegroundReason, TrackHealth, TrackState

CONFIG = GroundingConfig(lost_after_frames=3, uncertain_score=0.4, backoff_first_s=0.5, backoff_max_s=4.0)


@pytest.mark.parametrize(
    ("evidence", "state"),
    [
        (Evidence(grounded=False, score=0.0, absent_frames=9), TrackState.SEARCHING),
        (Evidence(grounded=True, score=0.9, absent_frames=0), TrackState.TRACKING),
        (Evidence(grounded=True, score=0.3, absent_frames=0), TrackState.UNCERTAIN),
        (Evidence(grounded=True, score=0.0, absent_frames=2), TrackState.OCCLUDED),
        (Evidence(grounded=True, score=0.0, absent_frames=3), TrackState.LOST),
    ],
)
def test_state_follows_from_evidence(evidence: Evidence, state: TrackState) -> None:
    assert state_of(evidence, CONFIG) is state


WELL = TrackHealth(stability=0.97, area_ratio=1.1, alternative_iou=1.0, overlap=0.1, scene_cut=0.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"area_ratio": 2.1}, "area"),
        ({"area_ratio": 0.4}, "area"),
        ({"area_ratio": 2.0}, None),
        ({"stability": 0.1}, "stability"),
        ({"overlap": 0.9}, "covers another"),
        ({"alternative_iou": 0.1, "scene_cut": 0.9}, None),
    ],
)
def test_a_seen_target_in_bad_health_is_uncertain_and_the_reason_names_the_sign(
    change: dict[str, float], words: str | None
) -> None:
    evidence = Evidence(grounded=True, score=0.9, absent_frames=0, health=replace(WELL, **change))
    reason = doubt(evidence, CONFIG)
    assert (reason is None) == (words is None)
    assert reason is None or (words is not None and words in reason)
    assert state_of(evidence, CONFIG) is (TrackState.TRACKING if words is None else TrackState.UNCERTAIN)
    unseen = replace(evidence, absent_frames=1)
    assert state_of(unseen, CONFIG) is TrackState.OCCLUDED, "bad health of what is not seen says nothing"


def test_a_target_never_found_is_asked_for_before_a_lost_one() -> None:
    states = [TrackState.LOST, TrackState.SEARCHING, TrackState.TRACKING]
    assert reason_to_ask(states, now_ns=5, not_before_ns=5) is RegroundReason.NEW
    assert reason_to_ask(states[:1], now_ns=5, not_before_ns=5) is RegroundReason.LOST


def test_nothing_is_asked_while_all_is_well_or_during_the_pause() -> None:
    well = [TrackState.TRACKING, TrackState.UNCERTAIN, TrackState.OCCLUDED]
    assert reason_to_ask(well, now_ns=5, not_before_ns=0) is None
    assert reason_to_ask([TrackState.SEARCHING], now_ns=4, not_before_ns=5) is None


def test_pauses_double_up_to_the_bound() -> None:
    assert [backoff_s(n, CONFIG) for n in (0, 1, 2, 3, 4, 5, 500)] == [0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
