"""Intervals of means over participants and items, from a table with a row for each participant."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_explain.common.bootstrap import Interval, confidence_interval

Array = NDArray[Any]


def bound_over_participants(
    values: ArrayLike, *, n_resamples: int = 2000, seed: int = 0
) -> Interval:
    """Compute the mean of all answers and its interval over participants.

    It says what other participants would answer to the same items.

    :param values: (P, I) value of each participant's answer to each item; NaN where there is none
    :param n_resamples: number of draws of the bootstrap
    :param seed: random seed of the draws
    """
    table = np.asarray(values, float)
    participants = np.repeat(np.arange(len(table)), table.shape[1])
    return confidence_interval(table.ravel(), participants, n_resamples=n_resamples, seed=seed)


def bound_over_both(
    values: ArrayLike, *, n_resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Compute the mean of all answers and its interval over participants and items together.

    It says what other participants would answer to other items. Both are drawn with replacement,
    and an answer counts as often as its participant times its item (the pigeonhole bootstrap, Owen
    2007).

    :param values: (P, I) value of each participant's answer to each item; NaN where there is none
    :param n_resamples: number of draws of the bootstrap
    :param confidence: confidence level in (0, 1)
    :param seed: random seed of the draws
    """
    table = np.asarray(values, float)
    known = ~np.isnan(table)
    table, known = (
        table[known.any(axis=1)][:, known.any(axis=0)],
        known[known.any(axis=1)][:, known.any(axis=0)],
    )
    n = int(known.sum())
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    filled = np.where(known, table, 0.0)
    mean = float(filled.sum() / n)
    if min(table.shape) < 2:
        return Interval(mean, np.nan, np.nan, n)
    rng = np.random.default_rng(seed)
    by_participant, by_item = (
        rng.multinomial(size, np.full(size, 1 / size), n_resamples) for size in table.shape
    )
    sums = ((by_participant @ filled) * by_item).sum(axis=1)
    counts = ((by_participant @ known) * by_item).sum(axis=1)
    means = sums[counts > 0] / counts[counts > 0]
    edge = (1 - confidence) / 2
    low, high = np.quantile(means, [edge, 1 - edge])
    return Interval(mean, float(low), float(high), n)


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
