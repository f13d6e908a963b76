"""The other states of an evaluation: donors of pixels, and states whose maps are swapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.action_spaces import greedy_targets, log_probabilities
from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import read_instance, require_class
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.baselines import Baseline, fit_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.blends import apply_baselines
from sb3_explain.states.dataset import StateDataset

Array = NDArray[Any]

#: the baseline that takes what is removed from another state
DONOR = "donor"


class OtherStates:
    """For each evaluated state, other states of the same evaluation, drawn once.

    Whatever explainer is measured, a state has the same donor and the same partner. Both are of
    another episode, if there is one: neighboring states are nearly the same.

    >>> from sb3_explain import OtherStates
    >>> others = OtherStates(agent, states, np.arange(len(states)), states.greedy, seed=0)
    >>> batch = states.batch(agent, [0, 1])
    >>> bool((others.swap(batch).target == batch.target).all())
    True

    :param agent: agent that is explained
    :param states: the states
    :param sample: (n,) positions of those that are evaluated
    :param targets: (n,) their targets
    :param seed: random seed of the draw
    """

    def __init__(
        self, agent: Agent, states: StateDataset, sample: Array, targets: Array, seed: int
    ) -> None:
        agent = read_instance("agent", agent, Agent)
        require_class("states", states, StateDataset)
        self.agent = agent
        self.states = states
        self.sample = sample
        self._baselines: dict[str, Mapping[str, Baseline]] = {}
        #: the last answer of :meth:`explain_swapped` to each explainer, and what was asked
        self._swapped: WeakKeyDictionary[Explainer, tuple[object, dict[str, Tensor]]] = (
            WeakKeyDictionary()
        )
        rng = np.random.default_rng(seed)
        episode = states.episode
        #: (N,) positions of the donors and of the partners; -1 where there is none
        self.donors, self.partners = (np.full(len(states), -1) for _ in range(2))
        for position, target in zip(sample, targets, strict=True):
            others = sample[sample != position]
            if not len(others):
                continue
            alike = others[targets[sample != position] == target]
            for chosen, among in (
                (self.donors, others),
                (self.partners, alike if len(alike) else others),
            ):
                elsewhere = among[episode[among] != episode[position]]
                chosen[position] = rng.choice(elsewhere if len(elsewhere) else among)

    def replace(self, name: str, batch: StateBatch) -> Tensor:
        """Return what the states (B, ...) become if all of them is removed.

        :param name: ``"donor"``, or the name of a baseline, which is fitted on the states
        :param batch: B of the evaluated states
        """
        if name == DONOR:
            return self.states.batch(self.agent, self._find(self.donors, batch)).observations
        if name not in self._baselines:
            evaluated = self.states.subset(self.sample)
            self._baselines[name] = fit_baselines(name, evaluated, self.agent)
        return apply_baselines(self._baselines[name], batch)

    def swap(self, batch: StateBatch) -> StateBatch:
        """Return another state for each, of the same target if there is one, with its target.

        :param batch: B of the evaluated states, or perturbed copies of them
        """
        return self.states.batch(self.agent, self._find(self.partners, batch), batch.explained)

    def explain_swapped(self, explainer: Explainer, batch: StateBatch) -> dict[str, Tensor]:
        """Return attributions (B, ...) by key of another state for each, for the same target.

        Several metrics ask for those of the same states one after the other, and some for those of
        perturbed copies, whose other states are the same: they are explained once.

        :param explainer: explainer to ask
        :param batch: B of the evaluated states, or perturbed copies of them
        """
        swapped = self.swap(batch)
        assert swapped.positions is not None
        asked = (
            swapped.positions.numpy().tobytes(),
            swapped.target.cpu().numpy().tobytes(),
            swapped.scalar,
        )
        known, attributions = self._swapped.get(explainer, (None, {}))
        if known != asked:
            attributions = explainer.attribute_batch(swapped)
            self._swapped[explainer] = (asked, attributions)
        return attributions

    def _find(self, chosen: Array, batch: StateBatch) -> Array:
        if batch.positions is None:
            raise ExplainError(
                "these states are of no data set, and have no other states beside them: take them "
                "by StateDataset.batch(agent, positions)"
            )
        found: Array = chosen[batch.positions.numpy()]
        if (found < 0).any():
            raise ExplainError("a single state has no other one to compare it with: give more")
        return found


def own_choice(batch: StateBatch) -> Tensor:
    """Tell in which states (B,) the agent itself takes the targets; 1 for Box actions.

    It is NaN for a scalar target.
    """
    space = batch.agent.action_space
    if batch.scalar is not None or isinstance(space, spaces.Box):
        return own_preference(batch)
    taken = greedy_targets(space, batch.own_target_scores)
    return taken.gather(1, batch.target[:, None])[:, 0].float()


def own_preference(batch: StateBatch) -> Tensor:
    """Compute the agent's own probability of the targets (B,) on the states; 1 for Box actions.

    It is NaN for a scalar target.
    """
    space = batch.agent.action_space
    if batch.scalar is not None:
        return torch.full((len(batch),), torch.nan, device=batch.device)
    if isinstance(space, spaces.Box):
        return torch.ones(len(batch), device=batch.device)
    probabilities = log_probabilities(space, batch.own_target_scores).exp()
    return probabilities.gather(1, batch.target[:, None])[:, 0]
