"""Which keys of an observation are images, and which are features."""

from __future__ import annotations

import math

from sb3_explain.agents.agent import Agent


def find_image(agent: Agent) -> str | None:
    """Find the first key of an agent's observation that is an image; ``None`` if there is none."""
    return next(iter(agent.layout.pictures), None)


def find_image_keys(agent: Agent) -> dict[str, tuple[int, ...]]:
    """Find the keys of an agent's observation that are images, with their shapes (C, H, W)."""
    layout = agent.layout
    return {key: layout.shapes[key] for key in layout.pictures}


def find_feature_keys(agent: Agent) -> dict[str, int]:
    """Find the other keys of an agent's observation, with their numbers of features."""
    return {
        key: count
        for key, count in count_features(agent).items()
        if key not in agent.layout.pictures
    }


def count_features(agent: Agent) -> dict[str, int]:
    """Count the features of every key; a category is one feature."""
    return {key: math.prod(shape) for key, shape in agent.layout.shapes.items()}
