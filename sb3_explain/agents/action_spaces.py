"""Scores, probabilities and targets of every kind of action space.

A target is what one explanation explains: why this action? The targets of a Discrete action space
are its actions, which form one group. A MultiDiscrete space has a group of targets for each
sub-action, side by side; a MultiBinary space a group of two, off and on, for each bit. The targets
of a Box space are the dimensions of the action. These do not exclude each other, so they have no
probabilities, only a distance from the agent's own action.

Shapes: B states, K scores of an agent, C targets. C = 2 K for MultiBinary spaces, else C = K.
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


def count_scores(space: spaces.Space[Any]) -> int:
    """K, the number of scores that an agent with this action space gives a state.

    :param space: action space of the agent
    :raises ExplainError: if the space is not Discrete, MultiDiscrete, MultiBinary or Box
    """
    n_targets = sum(group_sizes(space))
    return n_targets // 2 if isinstance(space, spaces.MultiBinary) else n_targets


def group_sizes(space: spaces.Space[Any]) -> list[int]:
    """Number of targets in each group; the dimensions of a Box action form one group.

    :param space: action space of the agent
    :raises ExplainError: if the space is not Discrete, MultiDiscrete, MultiBinary or Box
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
    """(C,) index of the group that each target belongs to."""
    sizes = torch.tensor(group_sizes(space))
    return torch.arange(len(sizes)).repeat_interleave(sizes)


def target_scores(space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """(..., C) score of each target, from an agent's scores (..., K).

    A bit's logit z becomes -z/2 for off and z/2 for on, whose softmax is the bit's probability.
    """
    if isinstance(space, spaces.MultiBinary):
        return torch.stack([-scores / 2, scores / 2], dim=-1).flatten(-2)
    return scores


def target_names(space: spaces.Space[Any], action_names: Sequence[str]) -> tuple[str, ...]:
    """C names of the targets, from K names of the scores."""
    if isinstance(space, spaces.MultiBinary):
        return tuple(f"{name} {state}" for name in action_names for state in ("off", "on"))
    return tuple(action_names)


def log_probabilities(space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """(..., C) log-probability of each target within its group.

    :param space: action space of the agent
    :param scores: (..., C) scores of the targets
    """
    sizes = group_sizes(space)
    if len(sizes) == 1:
        return scores.log_softmax(dim=-1)
    return torch.cat([part.log_softmax(-1) for part in torch.split(scores, sizes, dim=-1)], dim=-1)


def greedy_targets(space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """(..., C) whether each target has the highest score (..., C) of its group."""
    parts = torch.split(scores, group_sizes(space), dim=-1)
    best = [part == part.amax(dim=-1, keepdim=True) for part in parts]
    # of equal scores the first alone, as argmax has it
    return torch.cat([part & (part.cumsum(dim=-1) == 1) for part in best], dim=-1)


def margins(space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """(B, G) probability of the best target of each group, less that of the second best.

    It is 1 where there is no second, as for Box actions.

    :param space: action space of the agent
    :param scores: (B, C) scores of the targets
    """
    if isinstance(space, spaces.Box):
        return torch.ones_like(scores[:, :1])
    probabilities = log_probabilities(space, scores).exp()
    groups = torch.split(probabilities, group_sizes(space), dim=1)
    padded = [torch.nn.functional.pad(part, (0, 1)) for part in groups]
    best = [part.topk(2, dim=1).values for part in padded]
    return torch.stack([two[:, 0] - two[:, 1] for two in best], dim=1)


def default_target(space: spaces.Space[Any], scores: Tensor, *, squashed: bool = False) -> Tensor:
    """(B,) index of the target that is explained unless another is named.

    It is the greedy action. Of several sub-actions it is the greedy one with the highest
    probability; of a Box action's dimensions the one farthest from the middle of its range, in
    units of that range.

    :param space: action space of the agent
    :param scores: (B, C) scores of the targets
    :param squashed: whether the scores of Box actions lie in [-1, 1], whatever the action's range
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

    :param space: action space of A dimensions
    :param squashed: whether the scores lie in [-1, 1], whatever the action's range
    """
    low, high = (bound.astype(np.float64).reshape(-1) for bound in (space.low, space.high))
    if squashed:
        low, high = -np.ones_like(low), np.ones_like(high)
    bounded = (np.abs(low) < 1e30) & (np.abs(high) < 1e30)
    low, high = np.where(bounded, low, -0.5), np.where(bounded, high, 0.5)
    middle, extent = (high + low) / 2, high - low
    return torch.from_numpy(middle), torch.from_numpy(extent)


def measure_moves(space: spaces.Box, scores: Tensor, own: Tensor, *, squashed: bool) -> Tensor:
    """(..., A) how far two actions are apart as the environment receives them, in their ranges.

    Beyond its range an action is clipped, so that two scores there are one action.

    :param space: action space of A dimensions
    :param scores: (..., A) scores of the one action
    :param own: (..., A) scores of the other
    :param squashed: whether the scores lie in [-1, 1], whatever the action's range
    """
    extent = score_range(space, squashed=squashed)[1].to(scores)
    if not squashed:  # else they are scaled to the range, which leaves shares of it as they are
        low, high = (torch.from_numpy(b.reshape(-1)).to(scores) for b in (space.low, space.high))
        scores, own = (each.clamp(low, high) for each in (scores, own))
    return (scores - own).abs() / extent


def gaussian_divergence(mean: Tensor, std: Tensor, own_mean: Tensor, own_std: Tensor) -> Tensor:
    """KL(N(mean, std) || N(own_mean, own_std)) of each dimension, in nats; all of one shape."""
    ratio = std / own_std
    shift = (mean - own_mean) / own_std
    return (ratio.square() + shift.square() - 1) / 2 - ratio.log()


def action_probabilities(space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """(..., K) probabilities for the scores (..., K) of any action space but Box."""
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
    first_action: int = 0,
) -> NDArray[Any]:
    """(B, ...) actions as the environment takes them: greedy without ``rng``, else sampled.

    :param space: action space of the agent
    :param scores: (B, K) scores of the actions
    :param std: (B, A) standard deviation of Box actions, to sample them
    :param rng: one random generator per row
    :param squashed: whether the scores of Box actions lie in [-1, 1], whatever the action's range
    :param first_action: number of the Discrete action that score 0 stands for
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
        return columns[0] + first_action
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
