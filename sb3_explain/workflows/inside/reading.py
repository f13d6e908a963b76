"""What the layers of an agent say of its states, read in parts."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agents.activations import list_innermost
from sb3_explain.agents.agent import Agent
from sb3_explain.states.dataset import StateDataset

#: states of one forward pass
CHUNK = 64


def choose_layers(agent: Agent) -> list[str]:
    """Choose the layers that hold no other one, less those that say the same as the one before."""
    modules = dict(agent.view.policy.named_modules())
    same = (nn.Flatten, nn.Identity, nn.Dropout, nn.Sequential)  # innermost, it is empty
    return [name for name in list_innermost(agent.layers) if not isinstance(modules[name], same)]


@torch.no_grad()
def read_activations(
    agent: Agent, states: StateDataset, positions: NDArray[np.int64], layer: str
) -> Tensor:
    """Read what a layer says of states.

    :param agent: the agent
    :param states: its states
    :param positions: (n,) positions of the states
    :param layer: name of the layer
    :return: (n, ...) activations, on the CPU
    """
    parts = []
    for part in np.array_split(positions, -(-len(positions) // CHUNK)):
        batch = states.batch(agent, part)
        seen = agent.layout.restore(batch.by_key)
        parts.append(agent.activations(seen, layer, batch.policy_inputs.get("lstm_states")).cpu())
    return torch.cat(parts)
