"""What every explainer is: a map over the observation for a target of the agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations, structured
from sb3_explain.states.baselines import (
    Baseline,
)
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES, rows_at_once


class Explainer(ABC):
    """An explanation method bound to one frozen agent.

    A subclass has a ``name``, :meth:`explain`, and where it does not support every agent
    :meth:`unsupported`.

    :param agent: the agent to explain
    :param max_batch_bytes: bytes that the perturbed copies of one forward pass take at most; passes
        become smaller, the maps stay the same
    :raises ExplainError: if the method does not support this agent
    """

    #: name in the registry, set by each class
    name: ClassVar[str]
    #: the maps are masks in [0, 1] that may be laid over an observation as they are
    gives_masks: ClassVar[bool] = False
    #: the maps order the cells; a map that is the same everywhere does not
    orders_cells: ClassVar[bool] = True
    #: by key, what the explainer puts in the place of masked cells; empty if it masks nothing
    baselines: Mapping[str, Baseline] = {}

    def __init__(self, agent: Agent, *, max_batch_bytes: int = MAX_BATCH_BYTES) -> None:
        self.agent = agent
        self.max_batch_bytes = max_batch_bytes
        require_supported(self, agent)

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        """Why the method cannot support ``agent``, in a few words; ``None`` if it can."""
        return None

    @property
    def forwards_per_state(self) -> int:
        """Observations that are passed through the agent for one map, once the target is known."""
        return 0

    @abstractmethod
    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        """Maps of the target, one for each key of the observation, of the key's shape.

        :param batch: at most as many states as their copies fit into ``max_batch_bytes``"""

    def attribute(
        self,
        observations: Observations,
        target: Tensor | int | None = None,
        *,
        policy_inputs: Mapping[str, Tensor] | None = None,
    ) -> Any:
        """Maps of the observations' shape; a dict of maps for Dict observations.

        :param observations: (B, ...) in the policy's own layout and raw range, or a dict of such
        :param target: (B,) index of the target to explain, or one index for all; the greedy action
            when not given (:func:`sb3_explain.agents.action_spaces.default_target` for other action
            spaces)
        :param policy_inputs: ``lstm_states`` of a recurrent agent and ``action_masks``, held while
            the observations are perturbed
            (:meth:`sb3_explain.states.dataset.StateDataset.policy_inputs`)
        """
        batch = StateBatch(self.agent, observations, target, policy_inputs)
        return structured(self.attribute_batch(batch))

    def attribute_all(
        self, observations: Observations, *, policy_inputs: Mapping[str, Tensor] | None = None
    ) -> Any:
        """Maps of all C targets: (B, C, ...), a dict of such for Dict observations."""
        batch = StateBatch(self.agent, observations, policy_inputs=policy_inputs)
        each = [
            self.attribute_batch(batch.aimed_at(target)) for target in range(self.agent.n_targets)
        ]
        return structured({n: torch.stack([m[n] for m in each], dim=1) for n in batch.by_key})

    def attribute_batch(self, batch: StateBatch) -> dict[str, Tensor]:
        """Maps of the targets by key, for any number of states.

        Whoever has a :class:`~sb3_explain.states.batch.StateBatch` already saves the forward passes
        that explainers share by calling this in place of :meth:`attribute`.
        """
        parts = [self.explain(part) for part in batch.split(self.chunk(batch))]
        return {name: torch.cat([part[name] for part in parts]).detach() for name in parts[0]}

    def rows(self, observed: Tensor) -> int:
        """Copies of ``key`` (B, ...) that pass the agent at once."""
        return rows_at_once(observed, self.max_batch_bytes)

    def chunk(self, batch: StateBatch) -> int:
        """Copies of whole states that pass the agent at once."""
        return self.rows(max(batch.by_key.values(), key=lambda observed: observed[0].numel()))

    def shown(self, attributions: Tensor) -> Tensor:
        """The masks that the agent is shown states through, for an explainer that gives masks.

        :param attributions: (B, ...) in the form of
            :attr:`sb3_explain.states.batch.StateBatch.observations`
        :return: of the maps' shape; the maps themselves, unless some cells are never hidden
        """
        return attributions


class FittedExplainer(Explainer):
    """An explainer that has to learn from states before it can explain."""

    @property
    @abstractmethod
    def fitted(self) -> bool:
        """Whether it has learned."""

    @property
    @abstractmethod
    def fit_seconds(self) -> float:
        """Seconds that fitting took."""

    @abstractmethod
    def fit(self, train: StateDataset, validation: StateDataset, **options: Any) -> Any:
        """Learn from states.

        :param train: states to learn from
        :param validation: states that decide when to stop
        :param options: see :class:`sb3_explain.common.training.TrainingOptions`
        """

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write what has been learned to ``folder``: safetensors and JSON."""

    def require_fitted(self) -> None:
        """:raises ExplainError: if there is nothing learned to explain with"""
        if not self.fitted:
            raise ExplainError(f"this {self.name} has not been fitted: call fit(train, validation)")


def require_supported(explainer: Explainer | type[Explainer], agent: Agent) -> None:
    """:raises ExplainError: if the method does not support ``agent``"""
    reason = explainer.unsupported(agent)
    if reason is not None:
        raise ExplainError(f"{explainer.name} does not support this agent: {reason}")
