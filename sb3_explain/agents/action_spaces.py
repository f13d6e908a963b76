"""Targets: what there is to explain about an action, for every kind of action space.

An explanation answers for one target. Discrete actions are one group of targets. MultiDiscrete
actions are a group for each sub-action, side by side. MultiBinary actions are a group of two, off
and on, for each bit. The targets of Box actions are the action's dimensions; they exclude nothing,
so that they have no probability, only a distance from what the agent would have done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.common.errors import ExplainError


def group_sizes(space: spaces.Space[Any]) -> list[int]:
    """Number of targets of each group, in order; for Box actions one group of its dimensions.

    :raises ExplainError: for action spaces that agents do not have
    """
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        sizes: list[int] = space.nvec.flatten().tolist()
        return sizes
    if isinstance(space, spaces.MultiBinary):
        return [2] * int(np.prod(space.shape))
    if isinstance(space, spaces.Box):
        return [int(np.prod(space.shape))]
    raise ExplainError(f"{type(space).__name__} action spaces are not supported")


def group_numbers(space: spaces.Space[Any]) -> Tensor:
    """(C,) the group that each target belongs to."""
    sizes = torch.tensor(group_sizes(space))
    return torch.arange(len(sizes)).repeat_interleave(sizes)


def target_scores(space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """(..., C) score of every target, from an agent's scores (..., K).

    A bit's logit z becomes -z/2 for off and z/2 for on, whose softmax is the bit's probability.
    """
    if isinstance(space, spaces.MultiBinary):
        return torch.stack([-scores / 2, scores / 2], dim=-1).flatten(-2)
    return scores


def target_names(space: spaces.Space[Any], action_names: Sequence[str]) -> tuple[str, ...]:
    """A name for each target, from the names of the scores."""
    if isinstance(space, spaces.MultiBinary):
        return tuple(f"{name} {state}" for name in action_names for state in ("off", "on"))
    return tuple(action_names)


def log_probabilities(space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """(..., C) logarithm of each target's probability in its group, from targets (..., C)."""
    sizes = group_sizes(space)
    if len(sizes) == 1:
        return scores.log_softmax(dim=-1)
    return torch.cat([part.log_softmax(-1) for part in torch.split(scores, sizes, dim=-1)], dim=-1)


def greedy_targets(space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """(..., C) whether each target is the best of its group."""
    parts = torch.split(scores, group_sizes(space), dim=-1)
    best = [part == part.amax(dim=-1, keepdim=True) for part in parts]
    # of equal scores the first alone, as argmax has it
    return torch.cat([part & (part.cumsum(dim=-1) == 1) for part in best], dim=-1)


def default_target(space: spaces.Space[Any], scores: Tensor, *, squashed: bool = False) -> Tensor:
    """(B,) the target that is explained unless another is named.

    The greedy action; of several sub-actions the surest one's; of a Box action's dimensions the one
    that is farthest from the middle of its range, in units of the range.

    :param scores: (B, C) of the targets
    :param squashed: see :func:`score_range`
    """
    if isinstance(space, spaces.Box):
        middle, extent = score_range(space, squashed=squashed)
        distance = (scores - middle.to(scores)) / extent.to(scores)
        return distance.abs().argmax(dim=1)
    if len(group_sizes(space)) == 1:
        return scores.argmax(dim=1)
    chosen = greedy_targets(space, scores)
    sureness = log_probabilities(space, scores).masked_fill(~chosen, -torch.inf)
    return sureness.argmax(dim=1)


def score_range(space: spaces.Box, *, squashed: bool = False) -> tuple[Tensor, Tensor]:
    """(A,) middle and (A,) extent of the scores of a Box action; 0 and 1 where it is unbounded.

    :param squashed: the scores are in [-1, 1], whatever the range of the action
    """
    low, high = (bound.astype(np.float64).reshape(-1) for bound in (space.low, space.high))
    if squashed:
        low, high = -np.ones_like(low), np.ones_like(high)
    bounded = (np.abs(low) < 1e30) & (np.abs(high) < 1e30)
    low, high = np.where(bounded, low, -0.5), np.where(bounded, high, 0.5)
    middle, extent = (high + low) / 2, high - low
    return torch.from_numpy(middle), torch.from_numpy(extent)


def gaussian_divergence(mean: Tensor, std: Tensor, own_mean: Tensor, own_std: Tensor) -> Tensor:
    """KL(N(mean, std) || N(own_mean, own_std)) of each dimension, in nats."""
    ratio = std / own_std
    shift = (mean - own_mean) / own_std
    return (ratio.square() + shift.square() - 1) / 2 - ratio.log()


def action_probabilities(space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """(..., K) probabilities from the scores (..., K) of actions that are not Box."""
    if isinstance(space, spaces.MultiBinary):
        return torch.sigmoid(scores)
    if isinstance(space, spaces.MultiDiscrete):
        parts = torch.split(scores, space.nvec.tolist(), dim=-1)
        return torch.cat([part.softmax(dim=-1) for part in parts], dim=-1)
    return scores.softmax(dim=-1)


def draw_actions(
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
        return _draw_box_actions(space, scores, std, rng, squashed=squashed)
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


def _draw_box_actions(
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
