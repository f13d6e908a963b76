"""How well a tree stands for its agent: fidelity, return, and which features it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.bootstrap import Interval, confidence_interval, make_clusters
from sb3_explain.workflows.tree.nodes import Nodes
from sb3_explain.workflows.tree.teacher import Lesson

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class TreeMeasures:
    """What was measured of a tree on states and episodes that it was not fitted to.

    :param fidelity: share of the agent's states in which the tree does what the agent does; of
        continuous actions the share of their variance that the tree explains (R squared)
    :param own_fidelity: the same of the states that the tree comes to; ``None`` if it did not play
    :param constant_fidelity: fidelity of the best single action: 0 of continuous actions
    :param returns: mean return of the tree; ``None`` if it did not play
    :param agent_returns: mean return of the agent, on episodes of equal seeds
    :param difference: mean of the tree's return less the agent's, over pairs of episodes
    :param importance: how far fidelity falls if a feature is permuted between the agent's states,
        by the feature's name, the largest first; features that no question asks for are left out
    :param share: (N,) share of the states that come through each node: of the tree's own, or of the
        agent's if it did not play
    :param agreement: (N,) fidelity in these states; NaN where there are none
    """

    fidelity: Interval
    own_fidelity: Interval | None
    constant_fidelity: float
    returns: Interval | None
    agent_returns: Interval | None
    difference: Interval | None
    importance: Mapping[str, Interval]
    share: NDArray[np.float64]
    agreement: NDArray[np.float64]


def measure_tree(
    nodes: Nodes,
    agents: Lesson,
    own: Lesson | None,
    returns: tuple[Array, Array] | None,
    names: tuple[str, ...],
    *,
    regress: bool,
    seed: int,
) -> TreeMeasures:
    """Measure a tree on states that it was not fitted to.

    :param nodes: the tree
    :param agents: states that the agent came to
    :param own: states that the tree came to, if it played
    :param returns: (n,) returns of the tree and of the agent in episodes of equal seeds
    :param names: names of the features
    :param regress: whether actions are continuous
    :param seed: random seed of permutations and intervals
    """

    def interval(values: Array, clusters: Array) -> Interval:
        return confidence_interval(values, clusters, seed=seed)

    def agree(lesson: Lesson, values: Array) -> NDArray[np.float64]:
        return compare_actions(nodes.act(values), lesson.actions, regress=regress)

    clusters = make_clusters(agents.episode)
    agreed = agree(agents, agents.values)
    rng = np.random.default_rng(seed)
    importance = {}
    for feature in np.unique(nodes.feature[~nodes.is_leaf]):
        permuted = agents.values.copy()
        permuted[:, feature] = rng.permutation(permuted[:, feature])
        importance[names[feature]] = interval(agreed - agree(agents, permuted), clusters)
    ranked = sorted(importance.items(), key=lambda pair: -pair[1].mean)
    shown = own or agents
    own_agreed = agree(shown, shown.values)
    leaf = nodes.apply(shown.values)
    counts = nodes.sum_up(leaf, np.ones(len(leaf)))
    with np.errstate(invalid="ignore", divide="ignore"):
        agreement = nodes.sum_up(leaf, own_agreed) / counts
    means: list[Interval | None] = [None, None, None]
    if returns is not None:
        each = (*returns, returns[0] - returns[1])
        means = [interval(values, np.arange(len(values))) for values in each]
    return TreeMeasures(
        fidelity=interval(agreed, clusters),
        own_fidelity=interval(own_agreed, make_clusters(own.episode)) if own else None,
        constant_fidelity=measure_constant(agents.actions, regress=regress),
        returns=means[0],
        agent_returns=means[1],
        difference=means[2],
        importance=dict(ranked),
        share=counts / counts[0],
        agreement=agreement,
    )


def compare_actions(actions: Array, agents: Array, *, regress: bool) -> NDArray[np.float64]:
    """(n,) whether actions are the agent's; of continuous ones 1 - squared error / variance.

    The mean of the latter is R squared, over all dimensions, each in units of its own variance.

    :param actions: (n, A) actions of the tree
    :param agents: (n, A) actions of the agent
    :param regress: whether actions are continuous
    """
    varies = agents.var(axis=0) > 0
    if not regress or not varies.any():
        same: NDArray[np.float64] = (actions == agents).all(axis=1).astype(np.float64)
        return same
    errors = (actions[:, varies] - agents[:, varies]).astype(np.float64) ** 2
    explained: NDArray[np.float64] = 1 - (errors / agents[:, varies].var(axis=0)).mean(axis=1)
    return explained


def measure_constant(actions: Array, *, regress: bool) -> float:
    """Fidelity of the best single action.

    :param actions: (n, A) actions of the agent
    :param regress: whether actions are continuous, whose mean explains no variance
    """
    if regress:
        return 0.0
    _, counts = np.unique(actions, axis=0, return_counts=True)
    return float(counts.max() / counts.sum())
