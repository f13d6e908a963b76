"""Which keys of an observation are images, and which are features."""

from __future__ import annotations

import torch
from gymnasium import spaces

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.spaces import is_image, spaces_by_key


def find_image(agent: Agent) -> str | None:
    """The name of the observation's first key that is an image; ``None`` if it has none."""
    by_key = spaces_by_key(agent.observation_space)
    return next((key for key, space in by_key.items() if is_image(space)), None)


def image_keys(agent: Agent) -> dict[str, tuple[int, ...]]:
    """Shapes (C, H, W) of the keys of an agent's observation that are images."""
    by_key = spaces_by_key(agent.observation_space)
    return {key: tuple(space.shape or ()) for key, space in by_key.items() if is_image(space)}


def feature_keys(agent: Agent) -> dict[str, int]:
    """Number of features of each key of an agent's observation that is no image."""
    return {
        name: count_features(space)
        for name, space in spaces_by_key(agent.observation_space).items()
        if not is_image(space)
    }


def count_features(space: spaces.Space[object]) -> int:
    """Number of cells of a key; a category is one."""
    return int(torch.Size(space.shape or ()).numel())
