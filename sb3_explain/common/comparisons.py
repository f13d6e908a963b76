"""Tests of differences between conditions, from arrays of participants' answers.

They are SciPy's but for what thousands of simulated studies would wait for: sign flips, which are
drawn once for all comparisons of a study, exact signed ranks, and intervals of a share.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

#: number of the permutations of a test that are drawn
PERMUTATIONS = 9999


class Shift(NamedTuple):
    """The outcome of a test of whether values of two conditions differ.

    :param p: two-sided p-value; NaN if there is too little to test
    :param effect: size of the effect in [-1, 1] where the test has one, else the mean difference
    :param n: number of participants that were compared
    """

    p: float
    effect: float
    n: int


def compare_paired(
    differences: ArrayLike, *, n_permutations: int = PERMUTATIONS, seed: int = 0
) -> Shift:
    """Test by sign flips whether participants' differences are symmetric around 0.

    Permutation test of the mean (Good, 2005): under the null hypothesis, each participant's
    difference could as well have the other sign. It is exact where there are so few participants
    that all flips are tried.

    >>> from sb3_explain.common.comparisons import compare_paired
    >>> compare_paired([0.5, 0.25, 0.25, 0.5, 0.25, 0.25])
    Shift(p=0.03125, effect=0.3333333333333333, n=6)

    :param differences: (P,) difference of each participant; NaN for one that has none
    :param n_permutations: number of flips that are drawn
    :param seed: random seed of the flips
    """
    known = _drop_missing(differences)
    mean = float(known.mean()) if len(known) else np.nan
    if len(known) < 2 or not known.any():
        return Shift(np.nan, mean, len(known))
    exact = 2 ** len(known) <= n_permutations
    flips = _list_flips(len(known)) if exact else _draw_flips(len(known), n_permutations, seed)
    n_extreme = _count_extreme(flips, known)
    p = n_extreme / len(flips) if exact else (n_extreme + 1) / (len(flips) + 1)
    return Shift(p, mean, len(known))


def _count_extreme(flips: Array, values: Array) -> int:
    """Count the flips whose sum of values is as far from 0 as that observed, but for rounding."""
    far = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    return int((np.abs(flips @ values) >= far).sum())


def _list_flips(n: int) -> Array:
    """(2 ** n, n) all ways to give n numbers a sign."""
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    flips: Array = 1.0 - 2.0 * bits
    return flips


@functools.lru_cache(maxsize=4)
def _draw_flips(n: int, n_permutations: int, seed: int) -> Array:
    """(n_permutations, n) random signs; the same for all comparisons of a study."""
    flips: Array = np.random.default_rng(seed).choice([-1.0, 1.0], (n_permutations, n))
    return flips


def compare_ranks_paired(differences: ArrayLike) -> Shift:
    """Test by Wilcoxon's signed ranks whether participants' differences center at 0.

    The effect is the matched-pairs rank-biserial correlation (Kerby, 2014): the share of the ranks
    that are positive less the share that are negative.

    :param differences: (P,) difference of each participant; NaN for one that has none
    """
    from scipy import stats

    known = _drop_missing(differences)
    ranked = known[known != 0]
    if not len(ranked):
        return Shift(np.nan, 0.0 if len(known) else np.nan, len(known))
    ranks = stats.rankdata(np.abs(ranked))
    signed = np.sign(ranked) * ranks
    if 2 ** len(ranked) <= PERMUTATIONS:  # as SciPy does, which takes a second where ranks are tied
        p = _count_extreme(_list_flips(len(ranked)), signed) / 2 ** len(ranked)
    else:
        p = float(stats.wilcoxon(ranked).pvalue)
    return Shift(p, float(signed.sum() / ranks.sum()), len(known))


def compare_ranks(ours: ArrayLike, theirs: ArrayLike) -> Shift:
    """Test by Mann and Whitney's U whether one group's values tend to be higher than another's.

    The effect is the rank-biserial correlation, 2 U / (n m) - 1: the share of pairs in which ours
    is higher less the share in which it is lower.

    :param ours: (P,) value of each participant of one group; NaN for one that has none
    :param theirs: (Q,) values of the other group
    """
    from scipy import stats

    first, second = _drop_missing(ours), _drop_missing(theirs)
    n = len(first) + len(second)
    if not len(first) or not len(second):
        return Shift(np.nan, np.nan, n)
    tested = stats.mannwhitneyu(first, second)
    return Shift(
        float(tested.pvalue), float(2 * tested.statistic / (len(first) * len(second)) - 1), n
    )


def compare_changes(before: ArrayLike, after: ArrayLike) -> tuple[int, int, float]:
    """Test by McNemar's exact test whether as many answers became right as became wrong.

    >>> from sb3_explain.common.comparisons import compare_changes
    >>> compare_changes([0, 0, 0, 0, 0, 0, 1, 1], [1, 1, 1, 1, 1, 1, 0, 1])
    (6, 1, 0.125)

    :param before: (N,) whether each answer was right; NaN for one that is missing
    :param after: (N,) whether it was right the second time
    :return: number that became right, number that became wrong, and the p-value
    """
    from scipy import stats

    before, after = np.asarray(before, float), np.asarray(after, float)
    gained, lost = (
        int(((before == 0) & (after == 1)).sum()),
        int(((before == 1) & (after == 0)).sum()),
    )
    changed = gained + lost
    p = float(stats.binomtest(gained, changed, 0.5).pvalue) if changed else 1.0
    return gained, lost, p


def adjust_holm(p_values: ArrayLike) -> Array:
    """Adjust p-values of several comparisons by Holm's step-down method (Holm, 1979).

    >>> from sb3_explain.common.comparisons import adjust_holm
    >>> adjust_holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]

    :param p_values: (n,) p-values; NaN for one that is missing, which counts for nothing
    :return: (n,) the smallest level at which each is rejected beside the others
    """
    given = np.asarray(p_values, float)
    adjusted = np.full_like(given, np.nan)
    order = np.argsort(given)[: int((~np.isnan(given)).sum())]  # NaN is sorted last
    left = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(left * given[order]), 1)
    return adjusted


def bound_share(n_positive: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute Wilson's interval of a share (Wilson, 1927).

    :param n_positive: number of positive answers
    :param n: number of answers
    :param confidence: confidence level in (0, 1)
    :return: lower and upper bound; NaN where there is no answer
    """
    if n == 0:
        return np.nan, np.nan
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    center = n_positive + z**2 / 2
    margin = z * math.sqrt(n_positive * (n - n_positive) / n + z**2 / 4)
    low = (center - margin) / (n + z**2) if n_positive > 0 else 0.0
    high = (center + margin) / (n + z**2) if n_positive < n else 1.0
    return low, high


def _drop_missing(values: ArrayLike) -> Array:
    given: Array = np.asarray(values, float)
    known: Array = given[~np.isnan(given)]
    return known
