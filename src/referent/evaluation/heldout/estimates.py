"""Means with their standard errors, when what is measured comes in groups: questions of a picture, frames of a clip."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

import numpy as np

from referent.types import Array

MEDIAN_ERROR = 1.2533  # of the median of normal values, in errors of their mean
NORMAL_QUARTILES = 1.349  # distance of the quartiles of a normal distribution, in standard deviations


@dataclass(frozen=True)
class Estimate:
    """A measured value, its standard error (None where it cannot be told) and how many measurements it stands on."""

    value: float
    error: float | None
    count: int


def mean_of(values: Sequence[float] | Array, groups: Sequence[Hashable]) -> Estimate | None:
    """The mean and the error it has because other groups could have been drawn; None without values.

    The error is that of a ratio of group totals (Cochran, Sampling Techniques, 1977, 6.3).
    """
    x = np.asarray(values, np.float64)
    if len(x) == 0:
        return None
    mean = float(x.mean())
    totals: dict[Hashable, float] = {}
    for value, group in zip(x - mean, groups, strict=True):
        totals[group] = totals.get(group, 0.0) + float(value)
    if len(totals) < 2:
        return Estimate(mean, None, len(x))
    spread = sum(total * total for total in totals.values()) * len(totals) / (len(totals) - 1)
    return Estimate(mean, sqrt(spread) / len(x), len(x))


def mean_over_kinds(estimates: Sequence[Estimate | None]) -> Estimate | None:
    """The mean of several means, each counting alike however many measurements it has."""
    known = [estimate for estimate in estimates if estimate is not None]
    if not known:
        return None
    value = sum(estimate.value for estimate in known) / len(known)
    return Estimate(value, _joined([estimate.error for estimate in known], len(known)), _total(known))


def difference(a: Estimate | None, b: Estimate | None, *, scale: float = 1.0) -> Estimate | None:
    """`scale` * (a - b) of two measurements that do not know each other; counts are those of `a`."""
    if a is None or b is None:
        return None
    error = _joined([a.error, b.error], 1)
    return Estimate(scale * (a.value - b.value), None if error is None else scale * error, a.count)


def median_of(values: Sequence[float]) -> Estimate | None:
    """The median, its error from the middle half of the values (that of a normal distribution); None without."""
    if not len(values):
        return None
    if len(values) < 2 or not np.isfinite(values).all():
        return Estimate(float(median(values)), None, len(values))
    low, high = np.percentile(values, (25, 75))
    error = MEDIAN_ERROR * float(high - low) / NORMAL_QUARTILES / sqrt(len(values))
    return Estimate(float(median(values)), error, len(values))


def _joined(errors: Sequence[float | None], divisor: int) -> float | None:
    known = [error for error in errors if error is not None]
    return sqrt(sum(error * error for error in known)) / divisor if len(known) == len(errors) else None


def _total(estimates: Sequence[Estimate]) -> int:
    return sum(estimate.count for estimate in estimates)
