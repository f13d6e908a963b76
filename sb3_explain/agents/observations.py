"""Which keys of an observation are images, which are features, and which of these are boards."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.picture_axes import PictureAxes, guess_axes
from sb3_explain.envs.spaces import spaces_by_key


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


def measure_extents(agent: Agent) -> dict[str, Tensor]:
    """Measure the range of each feature by key: high minus low, or 1 if it is unbounded.

    :return: (1, ...) ranges by key, in the form of ``agent.layout``
    """
    by_key, layout = spaces_by_key(agent.observation_space), agent.layout
    extents = {}
    for name, shape in layout.own_shapes.items():
        low, high = getattr(by_key[name], "low", 0.0), getattr(by_key[name], "high", 1.0)
        extent = np.broadcast_to(np.float64(high) - np.float64(low), shape)
        bounded = np.isfinite(extent) & (extent > 0) & (extent < np.finfo(np.float32).max)
        known = torch.from_numpy(np.where(bounded, extent, 1.0)).float()[None]
        extents[name] = layout.arrange_key(name, known)
    return extents
