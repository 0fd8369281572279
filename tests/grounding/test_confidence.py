"""How far an answer is believed: one score from all evidence, its calibration, and what follows from it."""

from __future__ import annotations

import numpy as np
import pytest

from referent.config import GroundingConfig
from referent.grounding.confidence import (
    Action,
    ItemEvidence,
    Weights,
    action_on,
    belief_after,
    combined_score,
    evidence_of,
    expected_calibration_error,
    fit_weights,
)

CONFIG = GroundingConfig(act_score=0.5, belief_cap=0.98)


def test_without_other_evidence_the_score_is_the_grounders_own() -> None:
    assert combined_score(ItemEvidence(score=0.7)) == pytest.approx(0.7)
    assert combined_score(ItemEvidence()) is None


def test_a_bad_round_trip_speaks_against_and_a_good_one_not_for_an_answer() -> None:
    assert combined_score(ItemEvidence(0.7, round_trip_iou=0.95)) == pytest.approx(0.7)
    scores = [combined_score(ItemEvidence(0.7, round_trip_iou=iou)) or 0.0 for iou in (0.5, 0.4, 0.2, 0.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.1


def test_a_yes_and_a_no_on_the_cut_out_move_the_score_their_way() -> None:
    unsure = ItemEvidence(0.5)
    assert (combined_score(ItemEvidence(0.5, verified=0.9)) or 0.0) == pytest.approx(0.9)
    assert (combined_score(ItemEvidence(0.5, verified=0.1)) or 1.0) == pytest.approx(0.1)
    assert combined_score(unsure) == pytest.approx(0.5)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_certainty_stays_finite(score: float) -> None:
    found = combined_score(ItemEvidence(score, verified=1 - score))
    assert found == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("score", "belief", "second_look", "action"),
    [
        (0.9, None, False, Action.ACT),
        (None, None, False, Action.ACT),
        (0.4, None, False, Action.ASK_AGAIN),
        (0.4, None, True, Action.ACT),
        (0.9, 2.0, False, Action.ACT),
        (0.9, 2.5, False, Action.ASK_AGAIN),
        (0.9, 2.5, True, Action.KEEP),
        (None, 1.0, False, Action.ACT),
        (None, 1.5, False, Action.ASK_AGAIN),
        (0.6, 0.0, False, Action.ACT),
        (0.4, -3.0, False, Action.ASK_AGAIN),
        (0.4, -3.0, True, Action.KEEP),
    ],
)
def test_of_an_answer_and_a_track_the_surer_wins_and_where_nothing_is_seen_any_second_answer(
    score: float | None, belief: float | None, second_look: bool, action: Action
) -> None:
    assert action_on(score, CONFIG, belief=belief, second_look=second_look) is action


def test_belief_grows_with_agreement_up_to_a_cap_and_shrinks_with_contradiction() -> None:
    belief = 0.0
    grown = [belief := belief_after(belief, evidence_of(0.9), CONFIG) for _ in range(4)]
    assert grown == pytest.approx([np.log(9), np.log(49), np.log(49), np.log(49)])
    assert belief_after(belief, -evidence_of(0.9), CONFIG) == pytest.approx(np.log(49 / 9))
    assert belief_after(-3.0, -3.0, CONFIG) == pytest.approx(-np.log(49))
    assert evidence_of(0.3) == 0.0, "an unsure answer changes nothing"
    assert evidence_of(None) == pytest.approx(np.log(4))


def test_fitted_weights_make_an_overconfident_grounder_honest() -> None:
    rng = np.random.default_rng(0)
    says = rng.uniform(0.02, 0.98, 4000)
    truth_odds = 0.5 * np.log(says / (1 - says)) - 0.7  # it exaggerates, and is too sure of itself
    right = list(rng.uniform(size=4000) < 1 / (1 + np.exp(-truth_odds)))
    evidence = [ItemEvidence(float(score)) for score in says]
    weights = fit_weights(evidence, right)
    assert weights.score == pytest.approx(0.5, abs=0.06)
    assert weights.bias == pytest.approx(-0.7, abs=0.08)
    assert weights.verified == weights.round_trip == pytest.approx(0.0, abs=1e-6)
    before = expected_calibration_error([float(score) for score in says], right)
    after = expected_calibration_error([combined_score(one, weights) or 0.0 for one in evidence], right)
    assert before > 0.1
    assert after < 0.03


def test_weights_of_one_bias_and_nothing_else_are_that_probability() -> None:
    assert combined_score(ItemEvidence(0.9), Weights(score=0.0, bias=0.0)) == pytest.approx(0.5)


def test_calibration_error_of_the_honest_is_none_and_of_the_boaster_what_they_boast() -> None:
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0.0)
    assert expected_calibration_error([1.0] * 4, [True, True, True, False]) == pytest.approx(0.25)
    assert expected_calibration_error([0.05, 0.95], [True, False]) == pytest.approx(0.95)
    assert expected_calibration_error([], []) == 0.0
