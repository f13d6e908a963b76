"""Controls of an explainer that learns: maps of its own that know nothing of the state."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import require_class
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: number of training states of each action that a template is the mean of, at most
PER_TARGET = 50
#: number of states that are explained at once
CHUNK = 64


class OwnControl(Explainer):
    """An explainer whose maps come from another one.

    :param explained: explainer whose maps it takes
    """

    def __init__(self, explained: Explainer) -> None:
        require_class("explained", explained, Explainer)
        super().__init__(explained.agent)
        self.explained = explained
        self.gives_masks = explained.gives_masks
        self.ranks_features = explained.ranks_features
        self.own_target = explained.own_target

    def to_masks(self, attributions: Tensor) -> Tensor:
        return self.explained.to_masks(attributions)


class Template(OwnControl):
    """The mean map of the target over training states, the same for every state.

    >>> from sb3_explain import Gradient, Template
    >>> template = Template(Gradient(agent), states)
    >>> same = template.attribute(states.observations([0, 1]), target=0)
    >>> bool((same[0] == same[1]).all())
    True

    :param explained: explainer that is ready to explain
    :param states: training states; of each action at most :data:`PER_TARGET` are explained
    """

    name = "template"

    def __init__(self, explained: Explainer, states: StateDataset) -> None:
        super().__init__(explained)
        self.states = states

    @cached_property
    def means(self) -> dict[int, dict[str, Tensor]]:
        """Mean maps by target and key of the observation."""
        sums: dict[int, dict[str, Tensor]] = {}
        counts: Counter[int] = Counter()
        positions = self._choose()
        for some in np.split(positions, range(CHUNK, len(positions), CHUNK)):
            batch = self.states.batch(self.agent, some, self.own_target).resolve_target()
            attributions = self.explained.attribute_batch(batch)
            for target in set(batch.target.tolist()):
                here = batch.target == target
                counts[target] += int(here.sum())
                known = sums.setdefault(target, {})
                for key, each in attributions.items():
                    known[key] = each[here].double().sum(dim=0) + known.get(key, 0.0)
        return {
            target: {key: (total / counts[target]).float() for key, total in by_key.items()}
            for target, by_key in sums.items()
        }

    @property
    def unknown_targets(self) -> frozenset[int]:  # type: ignore[override]
        """Targets of no training state."""
        return frozenset(range(self.agent.n_targets)) - self.means.keys()

    def _choose(self) -> NDArray[np.int64]:
        """Positions of the states that are explained."""
        if self.own_target is not None or not isinstance(self.agent.action_space, spaces.Discrete):
            return self.states.spread(10 * PER_TARGET)
        greedy = self.states.greedy
        of_each = [np.flatnonzero(greedy == action) for action in np.unique(greedy)]
        chosen = [at[:: -(-len(at) // PER_TARGET)] for at in of_each]
        return np.sort(np.concatenate(chosen))

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        targets = batch.target.tolist()
        unknown = sorted(self.unknown_targets.intersection(targets))
        if unknown:
            raise ExplainError(
                f"there is no template of {self.agent.target_names[unknown[0]]!r}, which is the "
                "target of no training state: collect more states, or leave those out that have it"
            )
        return {
            key: torch.stack([self.means[target][key] for target in targets]).to(observed)
            for key, observed in batch.by_key.items()
        }


class Swapped(OwnControl):
    """The map of another evaluated state, of the same target.

    >>> from sb3_explain import Gradient, OtherStates, Swapped
    >>> others = OtherStates(agent, states, np.arange(len(states)), states.greedy, seed=0)
    >>> swapped = Swapped(Gradient(agent), others).attribute_batch(states.batch(agent, [0]))
    >>> partner = states.observations(others.partners[[0]])
    >>> own = Gradient(agent).attribute(partner, int(states.greedy[0]))
    >>> bool((swapped[""] == own).all())
    True

    :param explained: explainer that is ready to explain
    :param others: who knows the other states
    """

    name = "swapped"

    def __init__(self, explained: Explainer, others: OtherStates) -> None:
        super().__init__(explained)
        self.others = others

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        swapped = self.others.explain_swapped(self.explained, batch)
        return {key: attributions.to(batch.device) for key, attributions in swapped.items()}


def make_own_controls(
    explainer: Explainer, train: StateDataset, others: OtherStates
) -> dict[str, OwnControl]:
    """Make the controls of an explainer that learns, by name.

    :param explainer: explainer that is ready to explain
    :param train: training states, of which the templates are the means
    :param others: who knows the other states of each evaluated state
    """
    return {Template.name: Template(explainer, train), Swapped.name: Swapped(explainer, others)}
