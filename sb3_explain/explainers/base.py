"""What every explainer is: a map over the observation for a target of the agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import require_arguments, takes_any
from sb3_explain.common.training import TrainingOptions, training_options
from sb3_explain.envs.spaces import Observations, join_keys
from sb3_explain.states.baselines import (
    Baseline,
)
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.cache import ForwardCache
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
    #: whether the class takes ``baseline`` and ``states``
    takes_baseline: ClassVar[bool] = False
    #: by key, what the explainer puts in the place of masked cells; empty if it masks nothing
    baselines: Mapping[str, Baseline] = {}

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Refuse arguments that the class does not have in one line, before it is made."""
        if not takes_any(cls.__init__):
            require_arguments(cls, cls, options)
        return super().__new__(cls)

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
    ) -> Observations:
        """Attributions of the target, in the observations' shape; a dict of such for a dict.

        :param observations: (B, ...) in the policy's own layout and raw range, or a dict of such
        :param target: (B,) index of the target to explain, or one index for all; the greedy action
            when not given (:func:`sb3_explain.agents.action_spaces.default_target` for other action
            spaces)
        :param policy_inputs: ``lstm_states`` of a recurrent agent and ``action_masks``, held while
            the observations are perturbed
            (:meth:`sb3_explain.states.dataset.StateDataset.policy_inputs`)
        :raises ExplainError: if the observations do not fit the agent, or there is no such target
        """
        batch = StateBatch(self.agent, observations, target, policy_inputs)
        return join_keys(self.attribute_batch(batch))

    def attribute_batch(self, batch: StateBatch) -> dict[str, Tensor]:
        """Attributions of the batch's targets, by key of the observation.

        :param batch: any number of states; where it has a cache, explainers of the same states
            share their forward passes
        :return: (B, ...) by key, of the shape of what stands under it
        """
        parts = [self.explain(part) for part in batch.split(self.chunk(batch))]
        return {key: torch.cat([part[key] for part in parts]).detach() for key in parts[0]}

    def attribute_all(
        self,
        observations: Observations | StateBatch,
        *,
        policy_inputs: Mapping[str, Tensor] | None = None,
    ) -> Observations:
        """Attributions of all C targets, with the forward passes of one where the method has them.

        :param observations: as :meth:`attribute` takes them, or a batch of states
        :param policy_inputs: as :meth:`attribute` takes them; those of a batch stand in it
        :return: (B, C, ...), a dict of such for Dict observations
        """
        batch = observations
        if not isinstance(batch, StateBatch):
            batch = StateBatch(self.agent, batch, policy_inputs=policy_inputs)
        parts = [self.explain_all(part) for part in batch.split(self.chunk(batch))]
        return join_keys({key: torch.cat([p[key] for p in parts]).detach() for key in parts[0]})

    def explain_all(self, batch: StateBatch) -> dict[str, Tensor]:
        """(B, C, ...) attributions of all targets by key, of as many states as :meth:`explain`.

        A method that has them all at once overrides this; others share their forward passes
        through a cache.
        """
        if batch.cache is None:
            batch = batch.with_cache(ForwardCache())
        each = [self.explain(batch.aimed_at(target)) for target in range(self.agent.n_targets)]
        return {key: torch.stack([one[key] for one in each], dim=1) for key in each[0]}

    def rows(self, observed: Tensor) -> int:
        """Copies of ``observed`` (B, ...), what stands under a key, that pass the agent at once."""
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

    #: fingerprints of the states that it has learned from, and the options of training
    learned_from: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed

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

    def plain_settings(self) -> dict[str, Any]:
        """What the explainer is apart from what it has learned, as plain data."""
        return {}

    def training_options(self, options: Mapping[str, Any]) -> TrainingOptions:
        """How it learns: the options given, the defaults of the method for the others."""
        return training_options(options)

    @classmethod
    @abstractmethod
    def load(cls, folder: str | Path, agent: Agent) -> Self:
        """Read what :meth:`save` wrote.

        :param folder: where it stands
        :param agent: the agent that it was fitted to
        :raises ExplainError: if files are missing or damaged, or the agent is another
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
