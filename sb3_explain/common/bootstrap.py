"""Confidence intervals for a mean over states that depend on one another."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: with fewer episodes than this, blocks of states are resampled instead of episodes
MIN_EPISODES = 10
#: with fewer episodes than this, an interval is too narrow: much of what varies between episodes
#: has not been seen
ENOUGH_EPISODES = 5
#: how it is said that intervals are too narrow, or that fewer than two clusters have none
NARROW, NO_INTERVALS = "intervals are too narrow", "there are no intervals"
#: number of consecutive states in a block
BLOCK = 100


class Interval(NamedTuple):
    """A mean over states with its confidence interval.

    >>> from sb3_explain import Interval
    >>> interval = Interval(mean=0.8, low=0.7, high=0.9, n=300)
    >>> interval.high - interval.low < 0.3
    True

    :param mean: mean over all states that have a value; NaN if there is none
    :param low: lower bound; NaN if there are fewer than two clusters to resample
    :param high: upper bound; NaN if there are fewer than two clusters to resample
    :param n: number of states that have a value
    """

    mean: float
    low: float
    high: float
    n: int


def make_clusters(episodes: ArrayLike, steps: ArrayLike | None = None) -> NDArray[np.int64]:
    """Assign each state to a cluster of states that are resampled together.

    A cluster is an episode if there are at least 10 episodes, else a block of 100 consecutive
    states of an episode.

    >>> from sb3_explain import make_clusters
    >>> make_clusters([0] * 120 + [1] * 30).tolist()[::50]
    [0, 0, 1]

    :param episodes: (n,) number of each state's episode, in time order within an episode
    :param steps: (n,) number of each state within its episode; counted when not given, which needs
        all states of an episode
    :return: (n,) number of each state's cluster
    """
    names, episode = np.unique(np.asarray(episodes), return_inverse=True)
    if len(names) >= MIN_EPISODES:
        return episode.astype(np.int64)
    block = np.asarray(number_steps(episodes) if steps is None else steps) // BLOCK
    pairs = np.stack([episode, block])
    return np.unique(pairs, axis=1, return_inverse=True)[1].ravel().astype(np.int64)


def number_steps(episodes: ArrayLike) -> NDArray[np.int64]:
    """(n,) number of each state within its episode, from 0.

    :param episodes: (n,) number of each state's episode, in time order within an episode
    """
    _, episode, lengths = np.unique(np.asarray(episodes), return_inverse=True, return_counts=True)
    step = np.zeros(len(episode), dtype=np.int64)
    # episode after episode, each in its own order
    step[np.argsort(episode, kind="stable")] = np.arange(len(episode)) - np.repeat(
        np.cumsum(lengths) - lengths, lengths
    )
    return step


def confidence_interval(
    values: ArrayLike,
    clusters: ArrayLike,
    *,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean over states and its confidence interval by the percentile bootstrap over clusters.

    Whole clusters are drawn with replacement, and the mean of a draw weights each cluster by its
    size: sum_c n_c mean_c / sum_c n_c. So it is the mean over states that is bootstrapped, and long
    episodes count for more.

    >>> from sb3_explain import confidence_interval
    >>> confidence_interval([1.0, 1.0, 0.0, 1.0], clusters=[0, 0, 1, 2])
    Interval(mean=0.75, low=0.0, high=1.0, n=4)

    :param values: (n,) one value per state; NaN for states without one, which are left out
    :param clusters: (n,) cluster of each state, such as its episode
    :param n_resamples: number of draws of the bootstrap
    :param confidence: confidence level in (0, 1)
    :param seed: random seed of the draws
    :return: the mean and its bounds, which are equal if all clusters have the same mean, and NaN if
        there are fewer than two clusters
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
    """Mean over all states, from the means and sizes of their clusters along an axis."""
    total: NDArray[Any] = (means * sizes).sum(axis=axis) / sizes.sum(axis=axis)
    return total
