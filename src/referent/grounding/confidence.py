"""How far an answer is believed: all evidence in one calibrated score, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from referent.config import GroundingConfig
from referent.types import Array

BORDER = 1e-4  # probabilities stay this far from 0 and 1, so that their log-odds are finite
UNSTATED = 0.8  # of a grounder that gives no probability
ROUND_TRIP_MIDDLE = 0.5  # a box and the box of the mask it gave that agree less speak against the answer


@dataclass(frozen=True)
class ItemEvidence:
    """What speaks for one region of an answer; None where it was not asked or is not known."""

    score: float | None = None  # the grounder's own, from its token probabilities
    round_trip_iou: float | None = None  # of its box with that of the mask the tracker made of it
    verified: float | None = None  # yes or no on its cut-out, as a probability of yes


@dataclass(frozen=True)
class Weights:
    """Of the evidence in log-odds: 1, 0, 0, 0 leaves the grounder's score as it is. `fit_weights` calibrates them."""

    score: float = 1.0
    round_trip: float = 0.0  # per unit of IoU from `ROUND_TRIP_MIDDLE`
    verified: float = 0.0
    bias: float = 0.0


@dataclass(frozen=True)
class Platt:
    """A logistic calibration of a probability: a line in log-odds (Platt 1999). As it is, it changes nothing."""

    slope: float = 1.0
    bias: float = 0.0

    def of(self, probability: float) -> float:
        """The calibrated probability."""
        if self == Platt():
            return probability
        return _sigmoid(self.slope * _log_odds(probability) + self.bias)


class Action(Enum):
    """What to do with a region that contradicts what is followed, or is found where nothing was."""

    ACT = "act"
    ASK_AGAIN = "ask again"
    KEEP = "keep"


# A box that does not survive the round trip halves the odds for every tenth of IoU below the middle.
DEFAULT = Weights(score=1.0, round_trip=7.0, verified=1.0)


def combined_score(evidence: ItemEvidence, weights: Weights = DEFAULT) -> float | None:
    """The probability in [0, 1] that the region is what was asked for; None when nothing is known.

    A round trip that fits does not make an unsure grounder sure: only a bad one counts.
    """
    if evidence == ItemEvidence():
        return None
    return _sigmoid(float(_features(evidence) @ _vector(weights)))


def evidence_of(score: float | None) -> float:
    """The log-odds that an answer adds to, or takes from, the belief in a track; an unsure one changes nothing."""
    return max(_log_odds(UNSTATED if score is None else score), 0.0)


def belief_after(belief: float, evidence: float, config: GroundingConfig) -> float:
    """The log-odds that a track is the target, once `evidence` for it (against it: negative) came in."""
    cap = _log_odds(config.belief_cap)
    return min(max(belief + evidence, -cap), cap)


def probability_of(belief: float) -> float:
    """That a track is the target, from the log-odds."""
    return _sigmoid(belief)


def action_on(
    score: float | None,
    config: GroundingConfig,
    *,
    belief: float | None,
    second_look: bool,
    followed_before: bool = False,
) -> Action:
    """What follows from a region for a target that is seen elsewhere and believed in so far; None = it is not seen.

    The surer of both wins. What does not win speaks against the track all the same, so that the next one may. What was
    `followed_before` and is gone may well come back to its track: an unsure answer does not take its place.
    """
    sure = score is None or score >= (config.lost_act_score if followed_before else config.act_score)
    if sure and (belief is None or evidence_of(score) > belief):
        return Action.ACT
    if not second_look:
        return Action.ASK_AGAIN
    return Action.ACT if belief is None and not followed_before else Action.KEEP


def fit_weights(evidence: Sequence[ItemEvidence], right: Sequence[bool], *, ridge: float = 1e-2) -> Weights:
    """Logistic regression of whether regions were right, by Newton's method; `ridge` keeps unused weights at 0."""
    x = np.array([_features(one) for one in evidence], np.float64).reshape(-1, 4)
    y = np.asarray(right, np.float64)
    w = _vector(Weights())
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        gradient = x.T @ (p - y) + ridge * w
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(4), gradient)
        # A whole step from where all is certain overshoots, and never comes back.
        while _misfit(w - step, x, y, ridge) > _misfit(w, x, y, ridge) + 1e-9 and np.abs(step).max() > 1e-9:
            step = step / 2
        w = w - step
        if np.abs(step).max() < 1e-9:
            break
    return Weights(*(float(value) for value in w))


def fit_platt(probabilities: Sequence[float], right: Sequence[bool]) -> Platt:
    """The calibration that makes `probabilities` most likely."""
    weights = fit_weights([ItemEvidence(score) for score in probabilities], right)
    return Platt(weights.score, weights.bias)


def expected_calibration_error(probabilities: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> float:
    """Mean distance of stated probability and share of right answers over equal bins, by their sizes (Guo 2017)."""
    p, y = np.asarray(probabilities, np.float64), np.asarray(right, np.float64)
    if len(p) == 0:
        return 0.0
    place = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(float((p[place == k] - y[place == k]).sum())) for k in range(bins)]
    return sum(gaps) / len(p)


def _misfit(w: Array, x: Array, y: Array, ridge: float) -> float:
    """What the regression makes small: minus the log likelihood, and the ridge."""
    odds = x @ w
    return float(np.logaddexp(0, odds).sum() - y @ odds + ridge * (w @ w) / 2)


def _features(evidence: ItemEvidence) -> Array:
    """(4,) in the order of `Weights`; 0 for what is not known."""
    round_trip = evidence.round_trip_iou
    return np.array(
        [
            0.0 if evidence.score is None else _log_odds(evidence.score),
            0.0 if round_trip is None else min(round_trip - ROUND_TRIP_MIDDLE, 0.0),
            0.0 if evidence.verified is None else _log_odds(evidence.verified),
            1.0,
        ]
    )


def _vector(weights: Weights) -> Array:
    return np.array([weights.score, weights.round_trip, weights.verified, weights.bias])


def _log_odds(probability: float) -> float:
    inside = min(max(probability, BORDER), 1 - BORDER)
    return math.log(inside / (1 - inside))


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-min(max(value, -50.0), 50.0)))
