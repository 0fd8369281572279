"""Statistics with the error they have because other episodes could have been drawn."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from referent.evaluation.heldout.estimates import Estimate
from referent.types import Array

Statistic = Callable[[Array], float]
DRAWS = 200


def estimate(values: Sequence[float], groups: Sequence[Hashable], statistic: Statistic) -> Estimate | None:
    """A statistic and its bootstrap error over whole groups (Efron, Tibshirani 1993, 8.4); None without values.

    Frames of one episode are no independent measurements, episodes are.
    """
    if not len(values):
        return None
    x = np.asarray(values, np.float64)
    by_group: dict[Hashable, list[float]] = {}
    for value, group in zip(x, groups, strict=True):
        by_group.setdefault(group, []).append(float(value))
    parts = [np.array(part) for part in by_group.values()]
    if len(parts) < 2:
        return Estimate(statistic(x), None, len(x))
    rng = np.random.default_rng(0)
    drawn = [
        statistic(np.concatenate([parts[i] for i in rng.integers(0, len(parts), len(parts))])) for _ in range(DRAWS)
    ]
    return Estimate(statistic(x), float(np.std(drawn)), len(x))


def median(values: Array) -> float:
    """The median."""
    return float(np.median(values))


def p90(values: Array) -> float:
    """What nine of ten are below."""
    return float(np.quantile(values, 0.9))


def mean(values: Array) -> float:
    """The mean."""
    return float(np.mean(values))
