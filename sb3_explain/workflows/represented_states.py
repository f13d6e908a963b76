"""States as their agent represents them, so that what it ignores makes no difference."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import copy_agent, find_layers
from sb3_explain.states.batch import PASS
from sb3_explain.states.dataset import StateDataset

Array = NDArray[np.float64]


def represent_states(agent: Agent, states: StateDataset) -> Array:
    """Return the inputs of the agent's last layer, (n, D), standardised over the states.

    So a score on the screen that the agent ignores makes no difference. For a module whose layers
    are not known, the agent's scores are returned.
    """
    watched = copy_agent(agent)
    layers = find_layers(watched)
    captured: list[torch.Tensor] = []
    if layers:
        last = watched.view.policy.get_submodule(layers[0])
        last.register_forward_pre_hook(
            lambda _, inputs: captured.append(inputs[0].flatten(1).cpu())
        )
        for positions in np.array_split(np.arange(len(states)), -(-len(states) // PASS)):
            batch = states.batch(watched, positions)
            batch.scores(batch.by_key)
    else:
        captured.append(torch.from_numpy(states.column("scores")))
    return standardize(torch.cat(captured))


def standardize(rows: Tensor) -> Array:
    """(n, D) columns less their means, in standard deviations; zeros where nothing changes."""
    rows = rows.double()
    std = rows.std(dim=0)
    standardized: Array = ((rows - rows.mean(dim=0)) / torch.where(std > 0, std, 1.0)).numpy()
    return standardized
