"""Agents that look at images of any size, everywhere or at a known place, and images for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent

#: rows and columns that the agent of :class:`RegionNet` looks at
REGION = (slice(30, 46), slice(40, 56))


class SmoothNet(nn.Module):
    """A convolution and a linear layer with random weights, smooth everywhere, in float64.

    Scores and values.

    :param shape: (C, H, W)
    :param n_scores: K
    """

    def __init__(self, shape: tuple[int, ...], n_scores: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.convolution = nn.Conv2d(shape[0], 5, 5, stride=3)
            n_features = self.convolution(torch.zeros(1, *shape)).numel()
            self.head = nn.Linear(n_features, n_scores + 1)
            nn.init.normal_(self.head.weight, std=20 * n_features**-0.5)
        self.double()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.tanh(4 * self.convolution(images.double() / 255))
        outputs = self.head(features.flatten(1))
        return outputs[:, :-1], outputs[:, -1]


class RegionNet(nn.Module):
    """Four actions that prefer a bright left, right, upper or lower half of :data:`REGION`.

    :param gain: the larger, the less linear are their probabilities
    """

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, images: Tensor) -> Tensor:
        seen = images[:, :, *REGION].mean(dim=1) / 255
        height, width = seen.shape[1] // 2, seen.shape[2] // 2
        halves = seen[:, :, :width], seen[:, :, width:], seen[:, :height], seen[:, height:]
        return self.gain * torch.stack([half.mean(dim=(1, 2)) for half in halves], dim=1)


def smooth_agent(
    shape: tuple[int, ...] = (2, 23, 31), actions: spaces.Space[Any] | None = None, n_stack: int = 1
) -> Agent:
    """The agent of :class:`SmoothNet`."""
    actions = actions or spaces.Discrete(4)
    sizes = {spaces.MultiDiscrete: lambda: actions.nvec.sum(), spaces.Discrete: lambda: actions.n}
    n_scores = int(sizes.get(type(actions), lambda: np.prod(actions.shape))())
    space = spaces.Box(0, 255, shape, np.uint8)
    return Agent.from_module(SmoothNet(shape, n_scores), space, actions, n_stack=n_stack)


def region_agent(gain: float = 4.0) -> Agent:
    """The agent of :class:`RegionNet`, on images (2, 84, 84)."""
    space = spaces.Box(0, 255, (2, 84, 84), np.uint8)
    return Agent.from_module(RegionNet(gain), space, spaces.Discrete(4), n_stack=2)


def images(n: int, shape: tuple[int, ...], seed: int = 0, block: int = 6) -> Tensor:
    """(n, C, H, W) float32 images of squares of random brightness, in the range 0 to 255."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    coarse = rng.integers(0, 256, (n, channels, -(-height // block), -(-width // block)))
    fine = coarse.repeat(block, axis=2).repeat(block, axis=3)[:, :, :height, :width]
    return torch.from_numpy(fine.astype(np.float32))
