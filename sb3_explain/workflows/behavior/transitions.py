"""Which cluster follows which, and in which of them episodes end badly."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.whole_episodes import list_episodes

Array = NDArray[Any]


def count_transitions(labels: Array, episode: Array, steps: Array, k: int) -> NDArray[np.int64]:
    """Count how often a cluster (row) is followed by another, or by itself, (k, k).

    Only steps that follow each other in an episode count.

    :param labels: (n,) cluster of each state
    :param episode: (n,) number of its episode
    :param steps: (n,) its step
    :param k: number of clusters
    """
    follows = (np.diff(episode) == 0) & (np.diff(steps) == 1)
    counts = np.zeros((k, k), np.int64)
    np.add.at(counts, (labels[:-1][follows], labels[1:][follows]), 1)
    return counts


def share_exits(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(k, k) share of each cluster among those that a cluster is left for; rows of 0 if never."""
    exits = counts * (1 - np.eye(len(counts), dtype=np.int64))
    shares: NDArray[np.float64] = exits / np.maximum(exits.sum(axis=1, keepdims=True), 1)
    return shares


@dataclasses.dataclass(frozen=True)
class Endings:
    """How episodes ended.

    :param last: (m,) positions of the last states of the m episodes that are over
    :param returns: (m,) their returns; NaN where they are not known
    :param failed: (m,) whether each counts as failed
    :param limit: the return below which it does; ``None`` where no return tells
    """

    last: NDArray[np.int64]
    returns: NDArray[np.float64]
    failed: NDArray[np.bool_]
    limit: float | None

    def count(self, labels: Array, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count the episodes that end in each cluster, and those of them that failed, (k,) each.

        :param labels: (n,) cluster of each state
        :param k: number of clusters
        """
        ends = np.bincount(labels[self.last], minlength=k)
        return ends, np.bincount(labels[self.last], weights=self.failed, minlength=k).astype(int)


def read_endings(states: StateDataset, failed_below: float | None = None) -> Endings:
    """Read how the episodes of states ended.

    Neither the end of a game nor a limit of time says whether an agent has failed; its return
    does. Without a limit, an episode has failed if its return is nearer to that of the worst
    episode than to that of the best. Episodes of which steps are left out are not judged.

    :param states: states, episode after episode
    :param failed_below: the return below which an episode has failed
    """
    steps = states.steps
    whole = [
        one
        for one in list_episodes(states)
        if one.over and (steps[one.start : one.stop] == np.arange(one.stop - one.start)).all()
    ]
    returns = np.array([one.total for one in whole], np.float64)
    known, limit = returns[np.isfinite(returns)], None
    if len(known):
        limit = failed_below
        if limit is None and np.ptp(known) > 0:
            limit = float(known.min() + known.max()) / 2
    failed = returns < (-np.inf if limit is None else limit)
    return Endings(np.array([one.stop - 1 for one in whole], np.int64), returns, failed, limit)


def is_of_failure(failed: int, ended: int, failed_in_all: int, ended_in_all: int) -> bool:
    """Tell whether episodes that end in a cluster fail more often than all do.

    They do where the exact 95 % interval of their share lies above the share among all.

    :param failed: number of episodes that failed and ended there
    :param ended: number of episodes that ended there
    :param failed_in_all: number of episodes that failed
    :param ended_in_all: number of episodes
    """
    if not failed:
        return False
    low = binomtest(failed, ended).proportion_ci(method="exact").low
    return bool(low > failed_in_all / ended_in_all)
