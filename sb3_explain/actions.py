"""Actions that an environment takes, from a policy's scores: greedy or drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor


def action_probabilities(space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """(..., K) probabilities from the scores (..., K) of actions that are not Box."""
    if isinstance(space, spaces.MultiBinary):
        return torch.sigmoid(scores)
    if isinstance(space, spaces.MultiDiscrete):
        parts = torch.split(scores, space.nvec.tolist(), dim=-1)
        return torch.cat([part.softmax(dim=-1) for part in parts], dim=-1)
    return scores.softmax(dim=-1)


def drawn_actions(
    space: spaces.Space[Any],
    scores: Tensor,
    std: Tensor | None,
    rng: Sequence[np.random.Generator] | None,
    *,
    squashed: bool,
) -> NDArray[Any]:
    """(B, ...) actions: greedy without ``rng``, else drawn.

    :param space: of the actions
    :param scores: (B, K)
    :param std: (B, A), for drawing Box actions
    :param rng: one generator per row
    :param squashed: the scores of Box actions are in [-1, 1]
    """
    if isinstance(space, spaces.Box):
        return _box_actions(space, scores, std, rng, squashed=squashed)
    probabilities = action_probabilities(space, scores)
    if isinstance(space, spaces.MultiBinary):
        if rng is None:
            return probabilities.round().cpu().numpy().astype(space.dtype)
        draws = np.stack([row.random(scores.shape[1]) for row in rng])
        return (draws < probabilities.cpu().numpy()).astype(space.dtype)
    discrete = isinstance(space, spaces.Discrete)
    sizes = [scores.shape[1]] if discrete else space.nvec.tolist()  # type: ignore[attr-defined]
    parts = torch.split(probabilities, sizes, dim=1)
    if rng is None:
        columns = [part.argmax(dim=1).cpu().numpy() for part in parts]
    else:
        draws = np.stack([row.random(len(sizes)) for row in rng])
        columns = [
            _inverse_cdf(part.double().cpu().numpy(), draws[:, i]) for i, part in enumerate(parts)
        ]
    if isinstance(space, spaces.Discrete):
        return columns[0] + int(space.start)
    return np.stack(columns, axis=1)


def _box_actions(
    space: spaces.Box,
    means: Tensor,
    std: Tensor | None,
    rng: Sequence[np.random.Generator] | None,
    *,
    squashed: bool,
) -> NDArray[Any]:
    if rng is not None and std is not None:
        noise = np.stack([row.standard_normal(means.shape[1]) for row in rng])
        noise_tensor = torch.as_tensor(noise, dtype=means.dtype, device=means.device)
        # A squashed policy draws its noise before the tanh.
        inner = torch.atanh(means.clamp(-1 + 1e-6, 1 - 1e-6)) if squashed else means
        means = inner + std * noise_tensor
        means = torch.tanh(means) if squashed else means
    actions = means.cpu().numpy().reshape(-1, *space.shape)
    if squashed:
        # BasePolicy.unscale_action, in the same order of operations
        bounded: NDArray[Any] = space.low + 0.5 * (actions + 1.0) * (space.high - space.low)
    else:
        bounded = np.clip(actions, space.low, space.high)
    return bounded


def _inverse_cdf(probabilities: NDArray[Any], draws: NDArray[Any]) -> NDArray[Any]:
    """(B,) categories of (B, K) probabilities at uniform draws (B,)."""
    cumulative = probabilities.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]
    # the number of thresholds at or below the draw; the last threshold is 1 and never reached
    categories: NDArray[Any] = (cumulative <= draws[:, None]).sum(axis=1)
    return categories
