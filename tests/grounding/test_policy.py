"""The policy: what state follows from evidence, and when the grounder is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from referent.config import GroundingConfig
from referent.grounding.policy import (
    PRIORITY,
    Evidence,
    Standing,
    Trust,
    affordable,
    backoff_s,
    doubt,
    doubt_pause_s,
    is_whole,
    leap,
    lookalike,
    most_urgent,
    need_of,
    scene_cut,
    stale_after_s,
    state_of,
    trust_after,
)
from referent.types import RegroundReason, TrackHealth, TrackState

CONFIG = GroundingConfig(
    lost_after_frames=3, uncertain_score=0.4, backoff_first_s=0.5, backoff_max_s=4.0, stale_after_s=10.0
)
SECOND_NS = 10**9
WELL = TrackHealth(stability=0.97, area_ratio=1.1, alternative_iou=1.0, overlap=0.1, scene_cut=0.0)
SEEN = Evidence(score=0.9, absent_frames=0, predicted_iou=0.9, health=WELL)


@pytest.mark.parametrize(
    ("absent_frames", "believed", "state"),
    [
        (0, True, TrackState.TRACKING),
        (0, False, TrackState.UNCERTAIN),
        (2, True, TrackState.OCCLUDED),
        (2, False, TrackState.OCCLUDED),
        (3, True, TrackState.LOST),
    ],
)
def test_state_follows_from_evidence_and_trust(absent_frames: int, believed: bool, state: TrackState) -> None:
    assert state_of(replace(SEEN, absent_frames=absent_frames), Trust(believed), CONFIG) is state


@pytest.mark.parametrize(
    ("change", "words", "reason"),
    [
        ({}, None, None),
        ({"area_ratio": 2.1}, "area", RegroundReason.UNCERTAIN),
        ({"area_ratio": 0.4}, "area", RegroundReason.UNCERTAIN),
        ({"area_ratio": 2.0}, None, None),
        ({"stability": 0.1}, "stability", RegroundReason.UNCERTAIN),
        ({"overlap": 0.9}, "covers another", RegroundReason.AMBIGUOUS),
        ({"alternative_iou": 0.1, "scene_cut": 0.9}, None, None),
    ],
)
def test_bad_health_is_a_doubt_whose_words_name_the_sign(
    change: dict[str, float], words: str | None, reason: RegroundReason | None
) -> None:
    found = doubt(replace(SEEN, health=replace(WELL, **change)), CONFIG)
    assert (None if found is None else found.reason) is reason
    assert found is None or (words is not None and words in found.words)


def test_a_low_mask_score_is_a_doubt_where_the_tracker_tells_nothing_else() -> None:
    found = doubt(Evidence(score=0.3, absent_frames=0), CONFIG)
    assert found is not None
    assert found.words == "mask score 0.30"


@pytest.mark.parametrize(
    ("size_ratio", "whole"), [(1.0, True), (0.5, True), (2.0, True), (0.49, False), (2.01, False), (0.0, False)]
)
def test_a_box_of_another_size_than_the_grounder_saw_is_a_doubt(size_ratio: float, whole: bool) -> None:
    assert is_whole(size_ratio, CONFIG) == whole
    found = doubt(replace(SEEN, size_ratio=size_ratio), CONFIG)
    assert (found is None) == whole
    assert found is None or f"box is {size_ratio:.2f} of what the grounder saw" in found.words


@pytest.mark.parametrize(
    ("box_xyxy", "words"),
    [
        ((12, 12, 22, 22), None),
        ((19, 19, 90, 90), None),
        ((0, 0, 100, 100), None),
        ((20, 10, 30, 20), "leapt 0 px"),
        ((10, 27, 20, 37), "leapt 7 px"),
        ((0, 0, 7, 5), "leapt 5 px"),
    ],
    ids=["moved a little", "a corner in common", "around it", "beside it", "below", "off a corner"],
)
def test_what_is_seen_clear_of_where_it_was_has_leapt(box_xyxy: Sequence[int], words: str | None) -> None:
    found = leap((10, 10, 20, 20), np.array(box_xyxy, np.float32))
    assert (found is None) == (words is None)
    assert found is None or (words is not None and words in found.words)
    assert found is None or found.reason is RegroundReason.UNCERTAIN


def test_what_was_never_seen_or_is_not_seen_now_does_not_leap() -> None:
    assert leap(None, np.array([1, 1, 2, 2], np.float32)) is None
    assert leap((1, 1, 2, 2), None) is None


def test_trust_is_lost_after_some_doubtful_frames_and_regained_after_some_sound_ones() -> None:
    config = replace(CONFIG, uncertain_after_frames=2, certain_after_frames=3)
    trust, believed = Trust(), []
    for score in (0.3, 0.9, 0.3, 0.3, 0.9, 0.9, 0.5, 0.9, 0.9, 0.9):
        evidence = replace(SEEN, score=score)
        trust = trust_after(trust, evidence, doubt(evidence, config), config)
        believed.append(trust.believed)
    assert believed == [True, True, True, False, False, False, False, False, False, True]


@pytest.mark.parametrize(
    ("change", "predicted_iou", "near"),
    [
        ({"alternative_iou": 0.6}, 0.9, True),
        ({"alternative_iou": 0.8}, 0.9, False),
        ({"alternative_iou": 0.6, "area_ratio": 1.3}, 0.9, False),
        ({"alternative_iou": 0.6}, 0.7, False),
    ],
)
def test_a_rival_outline_of_a_sound_mask_tells_of_a_lookalike(
    change: dict[str, float], predicted_iou: float, near: bool
) -> None:
    evidence = replace(SEEN, predicted_iou=predicted_iou, health=replace(WELL, **change))
    found = lookalike(evidence, CONFIG)
    assert (found is not None) == near
    assert found is None or found.reason is RegroundReason.AMBIGUOUS


def test_a_change_of_the_whole_picture_asks_for_a_new_look() -> None:
    found = scene_cut(replace(SEEN, health=replace(WELL, scene_cut=0.4)), CONFIG)
    assert found is not None
    assert found.reason is RegroundReason.SCENE_CUT
    assert scene_cut(replace(SEEN, health=replace(WELL, scene_cut=0.3)), CONFIG) is None


def a_standing(state: TrackState = TrackState.TRACKING, **fields: object) -> Standing:
    return Standing("1", state, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (a_standing(TrackState.SEARCHING), RegroundReason.NEW),
        (a_standing(TrackState.LOST), RegroundReason.LOST),
        (a_standing(TrackState.OCCLUDED), None),
        (a_standing(TrackState.UNCERTAIN), RegroundReason.UNCERTAIN),
        (a_standing(TrackState.UNCERTAIN, waits_for_user=True), None),
        (a_standing(TrackState.UNCERTAIN, suspicion=RegroundReason.UNCERTAIN, settling=True), None),
        (a_standing(TrackState.LOST, settling=True), None),
        (a_standing(TrackState.OCCLUDED, suspicion=RegroundReason.SCENE_CUT, settling=True), None),
        (a_standing(TrackState.OCCLUDED, corrected=True, settling=True), RegroundReason.CORRECTED),
        (a_standing(suspicion=RegroundReason.SCENE_CUT), RegroundReason.SCENE_CUT),
        (a_standing(TrackState.LOST, suspicion=RegroundReason.AMBIGUOUS), RegroundReason.LOST),
        (a_standing(TrackState.UNCERTAIN, suspicion=RegroundReason.AMBIGUOUS), RegroundReason.AMBIGUOUS),
        (a_standing(TrackState.LOST, corrected=True), RegroundReason.CORRECTED),
        (a_standing(denied=True), RegroundReason.UNCERTAIN),
        (a_standing(again=RegroundReason.STALE), RegroundReason.STALE),
        (a_standing(), None),
    ],
)
def test_the_reason_to_ask_about_a_target(standing: Standing, reason: RegroundReason | None) -> None:
    need = need_of(standing, CONFIG, now_ns=SECOND_NS)
    assert (None if need is None else need.reason) is reason


def test_a_target_long_not_verified_is_stale() -> None:
    standing = a_standing(vouched_ns=5 * SECOND_NS, belief=4.0)
    assert need_of(standing, CONFIG, now_ns=15 * SECOND_NS - 1) is None
    need = need_of(standing, CONFIG, now_ns=15 * SECOND_NS)
    assert need is not None
    assert need.reason is RegroundReason.STALE


def test_what_is_stale_waits_while_it_settles() -> None:
    standing = a_standing(settling=True)
    assert need_of(standing, CONFIG, now_ns=1000 * SECOND_NS) is None
    assert need_of(replace(standing, settling=False), CONFIG, now_ns=1000 * SECOND_NS) is not None


@pytest.mark.parametrize("told", [{"denied": True}, {"again": RegroundReason.UNCERTAIN}, {}])
def test_what_is_hidden_for_a_moment_is_never_asked_about(told: dict[str, Any]) -> None:
    standing = a_standing(TrackState.OCCLUDED, **told)
    assert need_of(standing, CONFIG, now_ns=1000 * SECOND_NS) is None
    assert need_of(replace(standing, state=TrackState.LOST), CONFIG, now_ns=1000 * SECOND_NS) is not None


def test_what_is_believed_in_less_is_stale_sooner() -> None:
    waits = [stale_after_s(belief, CONFIG) for belief in (-1.0, 0.0, 2.0, 3.9, 9.0)]
    assert waits == pytest.approx([2.5, 2.5, 10 * 2.0 / math.log(49), 10.0, 10.0], abs=0.03)


def test_during_the_pause_only_an_unsure_answer_is_asked_for_again() -> None:
    lost = a_standing(TrackState.LOST, not_before_ns=5)
    assert need_of(lost, CONFIG, now_ns=4) is None
    assert need_of(lost, CONFIG, now_ns=5) is not None
    assert need_of(replace(lost, again=RegroundReason.LOST), CONFIG, now_ns=4) is not None


@pytest.mark.parametrize("state", [TrackState.SEARCHING, TrackState.LOST])
def test_a_changed_picture_cuts_the_pause_of_what_is_not_seen(state: TrackState) -> None:
    config = replace(CONFIG, backoff_changed_s=0.5)
    unseen = a_standing(state, asked_ns=SECOND_NS, not_before_ns=5 * SECOND_NS)
    changed = replace(unseen, changed=True)
    soon_ns = SECOND_NS + SECOND_NS // 2
    assert need_of(unseen, config, now_ns=5 * SECOND_NS - 1) is None
    assert need_of(unseen, config, now_ns=5 * SECOND_NS) is not None
    assert need_of(changed, config, now_ns=soon_ns - 1) is None
    assert need_of(changed, config, now_ns=soon_ns) is not None
    shorter = replace(changed, not_before_ns=SECOND_NS + 1)
    assert need_of(shorter, config, now_ns=SECOND_NS + 1) is not None, "a change never makes a pause longer"


def test_a_changed_picture_is_no_reason_to_doubt_what_is_seen_sooner() -> None:
    seen = a_standing(TrackState.UNCERTAIN, not_before_ns=5 * SECOND_NS, changed=True)
    assert need_of(seen, CONFIG, now_ns=5 * SECOND_NS - 1) is None


@pytest.mark.parametrize("policy", ["interval", "never"])
def test_other_policies_do_not_look_at_the_picture(policy: str) -> None:
    config = replace(CONFIG, reground_policy=policy)
    searching = a_standing(TrackState.SEARCHING, not_before_ns=5 * SECOND_NS, changed=True)
    assert need_of(searching, config, now_ns=5 * SECOND_NS - 1) is None


def test_the_most_urgent_reason_comes_first_and_among_equals_what_was_asked_longest_ago() -> None:
    standings = [
        Standing("1", TrackState.LOST, asked_ns=3),
        Standing("2", TrackState.LOST, asked_ns=2),
        Standing("3", TrackState.UNCERTAIN, asked_ns=0),
        Standing("4", TrackState.TRACKING),
    ]
    need = most_urgent(standings, CONFIG, now_ns=SECOND_NS)
    assert need is not None
    assert (need.object_id, need.reason) == ("2", RegroundReason.LOST)
    assert most_urgent(standings[3:], CONFIG, now_ns=SECOND_NS) is None
    assert set(PRIORITY) == set(RegroundReason)


@pytest.mark.parametrize(
    ("policy", "asked"),
    [
        ("evidence", [False, True]),
        ("interval", [False, True]),
        ("never", [False, False]),
        ("every_answer", [True, True]),
    ],
)
def test_each_policy_asks_in_its_own_way_about_what_is_found(policy: str, asked: Sequence[bool]) -> None:
    config = replace(CONFIG, reground_policy=policy, reground_interval_frames=20, stale_after_s=2.0)
    calm = a_standing(frames_since_asked=19, belief=4.0)
    later = replace(calm, frames_since_asked=20)
    needs = [need_of(calm, config, now_ns=SECOND_NS), need_of(later, config, now_ns=2 * SECOND_NS)]
    assert [need is not None for need in needs] == asked
    new = need_of(a_standing(TrackState.SEARCHING), config, now_ns=0)
    assert new is not None, "what was never found is asked for whatever the policy"
    assert new.reason is RegroundReason.NEW


def test_by_interval_a_lost_target_waits_for_its_turn_as_it_does_elsewhere() -> None:
    config = replace(CONFIG, reground_policy="interval", reground_interval_frames=20)
    assert need_of(a_standing(TrackState.LOST, frames_since_asked=3), config, now_ns=0) is None
    need = need_of(a_standing(TrackState.LOST, frames_since_asked=20, not_before_ns=99), config, now_ns=0)
    assert need is not None
    assert need.reason is RegroundReason.LOST


def test_the_budget_leaves_room_for_what_is_urgent() -> None:
    config = replace(CONFIG, routine_questions_per_minute=2, doubt_questions_per_minute=3, questions_per_minute=4)
    now_ns = 100 * SECOND_NS
    recent = [now_ns - SECOND_NS] * 2 + [now_ns - 61 * SECOND_NS] * 9

    def paid(reason: RegroundReason, *more: int) -> bool:
        return affordable(reason, [*recent, *more], config, now_ns=now_ns)

    assert not paid(RegroundReason.STALE)
    assert paid(RegroundReason.UNCERTAIN)
    assert not paid(RegroundReason.UNCERTAIN, now_ns)
    assert not paid(RegroundReason.AMBIGUOUS, now_ns)
    assert paid(RegroundReason.LOST, now_ns)
    assert not paid(RegroundReason.LOST, now_ns, now_ns)
    others = replace(config, reground_policy="interval")
    assert affordable(RegroundReason.STALE, [now_ns] * 99, others, now_ns=now_ns)


def test_pauses_double_up_to_the_bound() -> None:
    assert [backoff_s(n, CONFIG) for n in (0, 1, 2, 3, 4, 5, 500)] == [0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert [doubt_pause_s(n, CONFIG) for n in (0, 1, 2, 3, 4, 500)] == [0.0, 2.0, 4.0, 8.0, 10.0, 10.0]
