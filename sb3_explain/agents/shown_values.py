"""Features as people read them: by their names, and in their own units.

VecNormalize divides each feature by its standard deviation, so that what a policy sees under the
name "angle (rad)" is no angle. Where the statistics are known, people are shown what stood there
before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import join_features
from sb3_explain.envs.feature_names import list_feature_names
from sb3_explain.envs.recipe import Normalizer

#: a value of less than this share of its feature's magnitude is what rounding leaves of 0
ROUNDING = 1e-6


def show_values(agent: Agent, by_key: Mapping[str, Tensor]) -> Tensor:
    """Return the values of features in their own units, one key after the other, (B, M) float64.

    What VecNormalize has clipped is shown as the bound.

    >>> from sb3_explain.agents.shown_values import show_values
    >>> show_values(agent, {"": agent.tensor(np.full((2, 4), 0.5))}).shape
    torch.Size([2, 4])

    :param agent: the agent that observes them
    :param by_key: (B, ...) what stands under each key, as explainers see it
    """
    return join_features(
        {key: _restore(agent, key, observed.double().cpu()) for key, observed in by_key.items()}
    )


def name_features(agent: Agent, sizes: Mapping[str, int]) -> list[str]:
    """Name all features; those whose values :func:`show_values` cannot restore as normalized.

    :param agent: the agent that observes them
    :param sizes: number of features by key
    """
    names = []
    for key, size in sizes.items():
        own = list_feature_names({key: size}, agent.feature_names)
        normalized = key in agent.normalizers and not _can_restore(agent, key)
        names += [f"{name} (normalized)" for name in own] if normalized else own
    return names


def _can_restore(agent: Agent, key: str) -> bool:
    """Tell whether the statistics are of all features, or of those of one frame of a vector."""
    own, known = agent.layout.own_shapes[key], agent.normalizers[key].mean.shape
    return own == known or (len(own) == len(known) == 1 and own[0] % known[0] == 0)


def _restore(agent: Agent, key: str, observed: Tensor) -> Tensor:
    """Undo the normalization of what stands under a key, (B, ...)."""
    if key not in agent.normalizers or not _can_restore(agent, key):
        return observed
    normalizer: Normalizer = agent.normalizers[key]
    n_frames = math.prod(agent.layout.own_shapes[key]) // normalizer.mean.size
    mean, variance = (
        torch.as_tensor(part, dtype=torch.float64).reshape(-1).repeat(n_frames)
        for part in (normalizer.mean, normalizer.var)
    )
    deviation = (variance + normalizer.epsilon).sqrt()
    raw = observed.reshape(len(observed), -1) * deviation + mean
    tiny = raw.abs() < ROUNDING * torch.maximum(mean.abs(), deviation)
    return raw.masked_fill(tiny, 0.0).reshape(observed.shape)
