"""What is known of an agent's states in clusters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.behavior.clustering import Clustering
from sb3_explain.workflows.behavior.clusters import BehaviorCluster
from sb3_explain.workflows.behavior.transitions import Endings


@dataclasses.dataclass(frozen=True, repr=False)
class Behavior:
    """What is known of an agent's states in clusters, see :class:`.BehaviorMap`."""

    agent: Agent
    states: StateDataset
    layer: str
    embedding: str
    clustering: Clustering
    labels: NDArray[np.int64]
    clusters: tuple[BehaviorCluster, ...]
    transitions: NDArray[np.int64]
    endings: Endings
    columns: Mapping[str, NDArray[Any]]

    @property
    def is_continuous(self) -> bool:
        """Whether the agent's actions are continuous."""
        return isinstance(self.agent.action_space, spaces.Box)
