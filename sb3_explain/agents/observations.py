"""Which keys of an observation are images, which are features, and which of these are boards."""

from __future__ import annotations

import math

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.picture_axes import PictureAxes, guess_axes


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


def find_boards(agent: Agent) -> dict[str, PictureAxes]:
    """Find the keys of an observation that are boards: features of two to four axes.

    >>> from sb3_explain.agents.observations import find_boards
    >>> find_boards(agent)
    {}

    :param agent: agent that observes them
    :return: rows and columns by key
    """
    layout = agent.layout
    guessed = {
        key: guess_axes(shape)
        for key, shape in layout.own_shapes.items()
        if key not in layout.pictures
    }
    return {key: axes for key, axes in guessed.items() if axes is not None}
