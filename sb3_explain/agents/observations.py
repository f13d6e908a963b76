"""Which keys of an observation are images, and which are features."""

from __future__ import annotations

import torch
from gymnasium import spaces

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.spaces import entries_of


def image_of(agent: Agent) -> str | None:
    """The name of the observation's first entry that is an image; ``None`` if it has none."""
    entries = entries_of(agent.observation_space)
    return next((name for name, entry in entries.items() if len(entry.shape or ()) == 3), None)


def image_entries(agent: Agent) -> dict[str, tuple[int, ...]]:
    """Shapes (C, H, W) of the entries of an agent's observation that are images."""
    shapes = {n: tuple(e.shape or ()) for n, e in entries_of(agent.observation_space).items()}
    return {name: shape for name, shape in shapes.items() if len(shape) == 3}


def feature_entries(agent: Agent) -> dict[str, int]:
    """Number of features of each entry of an agent's observation that is no image."""
    return {
        name: cells(space)
        for name, space in entries_of(agent.observation_space).items()
        if len(space.shape or ()) != 3
    }


def cells(space: spaces.Space[object]) -> int:
    """Number of cells of an entry; a category is one."""
    return int(torch.Size(space.shape or ()).numel())
