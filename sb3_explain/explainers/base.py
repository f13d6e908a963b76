"""What every explainer is: a map over the observation for an action of the agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from sb3_explain.agent import Agent
from sb3_explain.errors import ExplainError
from sb3_explain.references import Reference
from sb3_explain.states import StateDataset


class Explainer(ABC):
    """An explanation method bound to one frozen agent.

    :param agent: the agent to explain
    """

    #: name in the registry, set by each class
    name: ClassVar[str]
    #: the maps are masks in [0, 1] that may be laid over an observation as they are
    gives_masks: ClassVar[bool] = False
    #: the maps order the cells; a map that is the same everywhere does not
    orders_cells: ClassVar[bool] = True
    #: what the explainer puts in the place of masked cells, if it has a reference of its own
    reference: Reference | None = None

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    @abstractmethod
    def attribute(self, observations: Tensor, target: Tensor | int | None = None) -> Tensor:
        """Maps of the observations' shape.

        :param observations: (B, ...) in the policy's own layout and raw range
        :param target: (B,) index of the action to explain, or one index for all; the greedy action
            when not given
        """

    def shown(self, maps: Tensor) -> Tensor:
        """The masks that the agent is shown states through, for an explainer that gives masks.

        :param maps: (B, ...) as :meth:`attribute` gave them
        :return: of the maps' shape; the maps themselves, unless some cells are never hidden
        """
        return maps

    def targets(self, observations: Tensor, target: Tensor | int | None) -> Tensor:
        """``target`` for every state, or the greedy actions (B,) where it is not given."""
        if target is not None:
            return torch.as_tensor(target, device=self.agent.device).expand(len(observations))
        with torch.no_grad():
            return self.agent.greedy(observations)


class TrainedExplainer(Explainer):
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
        :param options: see :class:`sb3_explain.training.TrainingOptions`
        """

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write what has been learned to ``folder``: safetensors and JSON."""

    def require_fitted(self) -> None:
        """:raises ExplainError: if there is nothing learned to explain with"""
        if not self.fitted:
            raise ExplainError(f"this {self.name} has not been fitted: call fit(train, validation)")
