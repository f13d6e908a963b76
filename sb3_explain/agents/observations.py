"""Which keys of an observation are images, and which are features."""

from __future__ import annotations

import torch
from gymnasium import spaces

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.spaces import is_image, spaces_by_key


def find_image(agent: Agent) -> str | None:
    """Find the first key of an agent's observation that is an image; ``None`` if there is none."""
    by_key = spaces_by_key(agent.observation_space)
    return next((key for key, space in by_key.items() if is_image(space)), None)


def find_image_keys(agent: Agent) -> dict[str, tuple[int, ...]]:
    """Find the keys of an agent's observation that are images, with their shapes (C, H, W)."""
    by_key = spaces_by_key(agent.observation_space)
    return {key: tuple(space.shape or ()) for key, space in by_key.items() if is_image(space)}


def find_feature_keys(agent: Agent) -> dict[str, int]:
    """Find the other keys of an agent's observation, with their numbers of features."""
    return {
        name: count_features(space)
        for name, space in spaces_by_key(agent.observation_space).items()
        if not is_image(space)
    }


def count_features(space: spaces.Space[object]) -> int:
    """Count the features of a space; a category is one feature."""
    return int(torch.Size(space.shape or ()).numel())
