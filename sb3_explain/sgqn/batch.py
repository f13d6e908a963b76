"""A batch of transitions, as the networks take it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """A batch of augmented transitions.

    :param images: (B, C, H, W) in [0, 1]
    :param actions: (B, A) in [-1, 1]
    :param next_images: (B, C, H, W) in [0, 1]
    :param rewards: (B, 1)
    :param dones: (B, 1), 1 where the episode ended and not by its time limit
    """

    images: Tensor
    actions: Tensor
    next_images: Tensor
    rewards: Tensor
    dones: Tensor
