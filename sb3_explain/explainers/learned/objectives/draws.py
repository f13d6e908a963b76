"""What training draws at random for each state: numbers, and targets to train the masks of."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.action_spaces import greedy_targets, group_numbers, group_sizes
from sb3_explain.states.batch import StateBatch


def draw_numbers(positions: NDArray[np.int64], n: int) -> Tensor:
    """Draw (n, B) numbers in [0, 1) that depend on the states' positions alone.

    A run that goes on after a stop draws what an unbroken one draws, and validation always draws
    the same.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(positions.tobytes()))
    return torch.rand(n, len(positions), generator=generator)


def pick_targets(batch: StateBatch, drawn: Tensor) -> StateBatch:
    """Pick the target of each state: the greedy one of a sub-action, or a dimension, at random.

    A batch that explains a quantity such as the value stays as it is.

    :param batch: B states
    :param drawn: (B,) uniform numbers
    """
    if batch.scalar is not None:
        return batch
    agent = batch.agent
    drawn = drawn.to(agent.device)
    if isinstance(agent.action_space, spaces.Box):
        return batch.with_target((drawn * agent.n_targets).long())
    sizes = group_sizes(agent.action_space)
    if len(sizes) == 1:
        return batch
    greedy = greedy_targets(agent.action_space, batch.own_target_scores).nonzero()[:, 1]
    number = (drawn * len(sizes)).long()[:, None]
    return batch.with_target(greedy.view(len(batch), -1).gather(1, number)[:, 0])


def pick_others(batch: StateBatch, drawn: Tensor) -> Tensor | None:
    """Pick another target of the same sub-action at random: (B,), or ``None`` if there is none.

    :param batch: B states with their targets
    :param drawn: (B,) uniform numbers
    """
    space = batch.agent.action_space
    if batch.scalar is not None or isinstance(space, spaces.Box):
        return None
    sizes = torch.tensor(group_sizes(space), device=batch.device)
    if bool((sizes < 2).any()):
        return None
    number = group_numbers(space).to(batch.device)[batch.target]
    size, start = sizes[number], (sizes.cumsum(0) - sizes)[number]
    step = 1 + (drawn.to(batch.device) * (size - 1)).long()
    return start + (batch.target - start + step) % size
