"""What an agent does in a cluster of its states."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_feature_keys
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import split_keys
from sb3_explain.states.batch import PASS
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import name_greedy_actions

Array = NDArray[Any]

#: features that set a cluster apart differ by so many standard deviations, and so many are named
APART, NAMED = 0.5, 3
#: actions that are named in a line, and the smallest share of a next cluster that is
ACTIONS, WAY = 3, 0.1


@dataclasses.dataclass(frozen=True)
class BehaviorCluster:
    """A cluster of states in which an agent does alike.

    >>> from sb3_explain import behavior_map
    >>> first, second = behavior_map(agent, states, n_clusters=2).clusters
    >>> first.name, first.n_states + second.n_states
    ('A', 200)

    :param name: its letter; A is where episodes are earliest, on average
    :param n_states: number of its states
    :param share: their share of all
    :param value: mean value in the environment's own rewards; ``None`` of agents without values
    :param return_to_come: mean discounted return that came; ``None`` where it is not known
    :param actions: share of its states in which each action is the greedy one; of continuous
        actions the mean of each dimension
    :param traits: the features that set it apart, in words; of agents that see pictures none
    :param stays: share of its steps that lead to itself; ``None`` if no step is known
    :param following: share of each cluster among those that it is left for, the largest first
    :param n_ended: number of episodes that end in it
    :param n_failed: number of these that failed
    :param is_failure: whether they fail more often than all do
    :param examples: positions of states that are typical of it
    """

    name: str
    n_states: int
    share: float
    value: float | None
    return_to_come: float | None
    actions: Mapping[str, float]
    traits: tuple[str, ...]
    stays: float | None
    following: Mapping[str, float]
    n_ended: int
    n_failed: int
    is_failure: bool
    examples: tuple[int, ...]

    def describe_actions(self, *, continuous: bool = False) -> str:
        """Say what the agent does there: the most frequent actions, or their means.

        :param continuous: whether actions are continuous
        """
        if continuous:
            return ", ".join(f"{name} {mean:.3g}" for name, mean in self.actions.items())
        most = sorted(self.actions.items(), key=lambda one: -one[1])[:ACTIONS]
        return ", ".join(f"{name} {share:.0%}" for name, share in most if share >= 0.005)

    def describe_ways(self) -> str:
        """Say where its steps lead."""
        if self.stays is None:
            return "no step from here is known"
        ways = [f"{name} {share:.0%}" for name, share in self.following.items() if share >= WAY]
        left = f", then to {', '.join(ways)}" if ways else ""
        return f"stays {self.stays:.1%} of the steps{left}"

    def describe_endings(self) -> str:
        """Say how many episodes end there, and how many of these failed."""
        if not self.n_ended:
            return "no episode ends here"
        said = f"{self.n_ended} episode(s) end here, {self.n_failed} of them failed"
        return f"{said}: a cluster of failure" if self.is_failure else said


def read_actions(agent: Agent, states: StateDataset) -> tuple[Tensor, list[str]]:
    """Read the greedy action of each state.

    :param agent: the agent
    :param states: n states
    :return: (n, M) which of M actions it is, or of continuous actions their numbers; and M names
    """
    try:
        scores = torch.from_numpy(states.column("scores"))
    except ExplainError:  # states of arrays may lack them
        parts = np.array_split(np.arange(len(states)), -(-len(states) // PASS))
        scores = torch.cat([states.batch(agent, part).own_scores.cpu() for part in parts])
    if isinstance(agent.action_space, spaces.Box):
        received = torch.as_tensor(np.asarray(agent.act_on(scores))).reshape(len(scores), -1)
        return received.double(), list(agent.target_names)
    named = name_greedy_actions(agent, scores)
    names = [name for name, _ in Counter(named).most_common()]
    number = {name: place for place, name in enumerate(names)}
    taken = torch.zeros(len(named), len(names), dtype=torch.float64)
    taken[torch.arange(len(named)), torch.tensor([number[name] for name in named])] = 1
    return taken, names


def name_traits(agent: Agent, states: StateDataset, labels: Array, k: int) -> list[tuple[str, ...]]:
    """Name the features that set each cluster apart: those whose means are furthest off.

    :param agent: the agent
    :param states: n states
    :param labels: (n,) cluster of each state
    :param k: number of clusters
    """
    sizes = find_feature_keys(agent)
    if not sizes:
        return [()] * k
    seen = agent.layout.arrange(split_keys(states.observations(np.arange(len(states)))))
    values = show_values(agent, {key: seen[key] for key in sizes}).numpy()
    names = name_features(agent, sizes)
    mean, std = values.mean(axis=0), values.std(axis=0)
    traits = []
    for number in range(k):
        own = values[labels == number].mean(axis=0)
        off = np.divide(own - mean, std, out=np.zeros_like(own), where=std > 0)
        far = [i for i in np.argsort(-np.abs(off))[:NAMED] if abs(off[i]) >= APART]
        traits.append(tuple(f"{names[i]} {own[i]:.3g} (of all {mean[i]:.3g})" for i in far))
    return traits
