"""Which keys of an observation are images, and which are features."""

from __future__ import annotations

import torch
from gymnasium import spaces

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.spaces import spaces_by_key


def image_of(agent: Agent) -> str | None:
    """The name of the observation's first key that is an image; ``None`` if it has none."""
    by_key = spaces_by_key(agent.observation_space)
    return next((name for name, observed in by_key.items() if len(observed.shape or ()) == 3), None)


def image_keys(agent: Agent) -> dict[str, tuple[int, ...]]:
    """Shapes (C, H, W) of the keys of an agent's observation that are images."""
    shapes = {n: tuple(e.shape or ()) for n, e in spaces_by_key(agent.observation_space).items()}
    return {name: shape for name, shape in shapes.items() if len(shape) == 3}


def feature_keys(agent: Agent) -> dict[str, int]:
    """Number of features of each key of an agent's observation that is no image."""
    return {
        name: cells(space)
        for name, space in spaces_by_key(agent.observation_space).items()
        if len(space.shape or ()) != 3
    }


def cells(space: spaces.Space[object]) -> int:
    """Number of cells of a key; a category is one."""
    return int(torch.Size(space.shape or ()).numel())
