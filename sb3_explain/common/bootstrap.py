"""Confidence intervals of a mean over states that are not independent of one another."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: fewer episodes than this say too little about chance: blocks of states are resampled instead
MIN_EPISODES = 10
#: consecutive states in a block
BLOCK = 100


class Interval(NamedTuple):
    """A mean over states with its confidence interval.

    :param mean: of all states that count; NaN if none does
    :param low: lower bound; NaN where fewer than two clusters leave nothing to resample
    :param high: upper bound
    :param n: number of states that count
    """

    mean: float
    low: float
    high: float
    n: int


def make_clusters(episodes: ArrayLike, steps: ArrayLike | None = None) -> NDArray[np.int64]:
    """Which states are resampled together: an episode's, or a block's where episodes are few.

    :param episodes: (n,) episode of each state, in time order within an episode
    :param steps: (n,) number of each state within its episode; counted when not given. For states
        that are a sample of their episodes
    :return: (n,) cluster of each state: its episode if there are at least 10 of them, else the
        block of 100 consecutive states of its episode
    """
    names, episode = np.unique(np.asarray(episodes), return_inverse=True)
    if len(names) >= MIN_EPISODES:
        return episode.astype(np.int64)
    block = np.asarray(number_steps(episodes) if steps is None else steps) // BLOCK
    pairs = np.stack([episode, block])
    return np.unique(pairs, axis=1, return_inverse=True)[1].ravel().astype(np.int64)


def number_steps(episodes: ArrayLike) -> NDArray[np.int64]:
    """(n,) number of each state within its episode, from 0, for states in time order."""
    names, episode = np.unique(np.asarray(episodes), return_inverse=True)
    step = np.zeros(len(episode), dtype=np.int64)
    for i in range(len(names)):
        here = np.flatnonzero(episode == i)
        step[here] = np.arange(len(here))
    return step


def confidence_interval(
    values: ArrayLike,
    clusters: ArrayLike,
    *,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean over states and its interval by the percentile bootstrap over clusters.

    Whole clusters are drawn with replacement, and a draw's mean weights each cluster by its size:
    sum_c n_c mean_c / sum_c n_c. Hence what is bootstrapped is the mean over states itself, long
    episodes count for more, and the interval surrounds the mean that stands beside it.

    :param values: (n,) one value per state; NaN where a state does not count
    :param clusters: (n,) cluster of each state, see :func:`make_clusters`
    :param n_resamples: draws of the bootstrap
    :param confidence: in (0, 1)
    :param seed: of the draws
    :return: bounds equal to the mean where all clusters have the same mean; NaN where there are
        fewer than two clusters, which say nothing about chance
    """
    values = np.asarray(values, dtype=np.float64)
    counted = ~np.isnan(values)
    n = int(counted.sum())
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    _, cluster = np.unique(np.asarray(clusters)[counted], return_inverse=True)
    sizes = np.bincount(cluster)
    means = np.bincount(cluster, weights=values[counted]) / sizes
    mean = float(weighted_mean(means, sizes))
    if len(means) < 2:
        return Interval(mean, np.nan, np.nan, n)
    if np.ptp(means) == 0:
        return Interval(mean, mean, mean, n)
    from scipy import stats

    result = stats.bootstrap(
        (means, sizes),
        weighted_mean,
        paired=True,
        vectorized=True,
        n_resamples=n_resamples,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return Interval(mean, float(low), float(high), n)


def weighted_mean(means: NDArray[Any], sizes: NDArray[Any], axis: int = -1) -> NDArray[Any]:
    """Mean over all states from the means and sizes of their clusters along ``axis``."""
    total: NDArray[Any] = (means * sizes).sum(axis=axis) / sizes.sum(axis=axis)
    return total
