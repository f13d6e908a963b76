"""Intervals of means over participants and items, from a table with a row for each participant.

The variance of a mean is estimated from sums over each participant, and over each item (cluster
robust, Cameron, Gelbach and Miller 2011), and its t distribution has as many degrees of freedom as
there are of the fewer. Answers of one participant, or to one item, may depend on one another.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_explain.common.bootstrap import Interval

Array = NDArray[Any]


def bound_over_participants(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Compute the mean of all answers and its interval over participants.

    It says what other participants would answer to the same items.

    >>> from sb3_explain.common.crossed import bound_over_participants
    >>> bound_over_participants([[0, 1], [1, 1], [1, 0], [1, 1]]).mean
    0.75

    :param values: (P, I) value of each participant's answer to each item; NaN where there is none
    :param confidence: confidence level in (0, 1)
    :return: the mean and its bounds, NaN if there are fewer than two participants
    """
    residuals, mean, n = _find_residuals(values)
    by_participant = sum_squares(residuals, axis=1)
    return _bound(mean, n, by_participant, _count(residuals, axis=1) - 1, confidence)


def bound_over_both(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Compute the mean of all answers and its interval over participants and items together.

    It says what other participants would answer to other items. What both sums count twice, the
    squares of single answers, is taken off once.

    :param values: (P, I) value of each participant's answer to each item; NaN where there is none
    :param confidence: confidence level in (0, 1)
    :return: the mean and its bounds, NaN if there are fewer than two participants, or items
    """
    residuals, mean, n = _find_residuals(values)
    by_participant, by_item = (sum_squares(residuals, axis=axis) for axis in (1, 0))
    variance = by_participant + by_item - float(np.nansum(residuals**2))
    fewer = min(_count(residuals, axis=1), _count(residuals, axis=0))
    return _bound(mean, n, max(variance, by_participant), fewer - 1, confidence)


def sum_squares(residuals: Array, axis: int) -> float:
    """Sum the squares of the clusters' sums, corrected for the number G of clusters: G / (G - 1).

    :param residuals: (P, I) values less their mean; NaN where there is none
    :param axis: 1 for participants, 0 for items
    """
    n_clusters = _count(residuals, axis)
    if n_clusters < 2:
        return math.nan
    return float((np.nansum(residuals, axis=axis) ** 2).sum() * n_clusters / (n_clusters - 1))


def _find_residuals(values: ArrayLike) -> tuple[Array, float, int]:
    """Values less their mean, the mean, and how many there are."""
    table = np.asarray(values, float)
    n = int((~np.isnan(table)).sum())
    mean = float(np.nansum(table) / n) if n else math.nan
    return table - mean, mean, n


def _count(residuals: Array, axis: int) -> int:
    return int((~np.isnan(residuals)).any(axis=axis).sum())


def _bound(mean: float, n: int, squares: float, freedom: int, confidence: float) -> Interval:
    from scipy import stats

    if freedom < 1 or math.isnan(squares):
        return Interval(mean, math.nan, math.nan, n)
    margin = float(stats.t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(squares) / n
    return Interval(mean, mean - margin, mean + margin, n)


def bound_ranking(
    high_scores: ArrayLike, low_scores: ArrayLike, *, n_resamples: int = 2000, seed: int = 0
) -> Interval:
    """Compute how often a score is higher with a right answer than with a wrong one.

    This is the area under the ROC curve; equal scores count half. Its interval is over
    participants.

    :param high_scores: (P, L) number of right answers of each participant with each of L scores
    :param low_scores: (P, L) number of wrong answers
    :param n_resamples: number of draws of the bootstrap
    :param seed: random seed of the draws
    """
    right, wrong = np.asarray(high_scores, float), np.asarray(low_scores, float)
    n = int(right.sum() + wrong.sum())
    area = _rank(right.sum(axis=0)[None], wrong.sum(axis=0)[None])[0]
    if len(right) < 2 or np.isnan(area):
        return Interval(float(area), np.nan, np.nan, n)
    drawn = np.random.default_rng(seed).multinomial(
        len(right), np.full(len(right), 1 / len(right)), n_resamples
    )
    areas = _rank(drawn @ right, drawn @ wrong)
    low, high = np.nanquantile(areas, [0.025, 0.975])
    return Interval(float(area), float(low), float(high), n)


def _rank(right: Array, wrong: Array) -> Array:
    """(R,) areas from (R, L) numbers of answers; NaN where all are right, or all wrong."""
    below = np.cumsum(wrong, axis=1) - wrong / 2
    pairs = right.sum(axis=1) * wrong.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: Array = (right * below).sum(axis=1) / pairs
    return areas
