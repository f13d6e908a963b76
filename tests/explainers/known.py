"""Agents of every kind whose actions depend on known features only, and states to explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.states.dataset import StateDataset

#: features of a vector, and their scales: what is read must not depend on the unit
N_FEATURES = 8
SCALES = np.array([1.0, 50.0, 0.01, 1.0, 10.0, 1.0, 0.1, 1.0], np.float32)
#: an image's side; the corner that matters is a quarter of a side
SIDE = 16
CORNER = 4


class LinearNet(nn.Module):
    """Scores that are linear in a few features of a vector.

    :param features: for each score the features that it reads, each with its weight
    """

    def __init__(self, features: list[dict[int, float]]) -> None:
        super().__init__()
        weights = torch.zeros(len(features), N_FEATURES)
        for score, read in enumerate(features):
            for feature, weight in read.items():
                weights[score, feature] = weight / float(SCALES[feature])
        self.weights = nn.Parameter(weights)

    def forward(self, observations: Tensor) -> Tensor:
        return observations.float() @ self.weights.T


class DictNet(nn.Module):
    """Three actions: one reads a corner of the image, one a feature of the vector, one neither."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(4.0))
        self.means = nn.Conv2d(1, 1, CORNER, stride=CORNER, bias=False)
        nn.init.constant_(self.means.weight, CORNER**-2)

    def forward(self, observations: Mapping[str, Tensor]) -> Tensor:
        corner = self.means(observations["the image"].float() / 128)[:, 0, 0, 0] - 1
        feature = observations["a.b/vector"][:, 2].float() / float(SCALES[2])
        return self.gain * torch.stack([2 * corner, feature, torch.zeros_like(feature)], dim=1)


class CornerNet(nn.Module):
    """Three actions: the left of a corner of the newest frame is bright, its right is, neither.

    It sees by a convolution, of which it reads the corner alone. Scores and values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(12.0))
        self.convolution = nn.Conv2d(2, 2, 4, stride=2, padding=1, bias=False)
        kernels = torch.eye(2)[:, :, None, None].expand(2, 2, 4, 4) / 16
        self.convolution.weight = nn.Parameter(kernels.contiguous())

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        features = self.convolution(observations.float() / 255)
        left = features[:, 1, :4, :2].mean((1, 2)) - 0.5
        right = features[:, 1, :4, 2:4].mean((1, 2)) - 0.5
        scores = self.gain * torch.stack([left, right, torch.zeros_like(left)], dim=1)
        return scores, scores.amax(dim=1)


#: pixels of the newest frame that :class:`CornerNet` reads: the 9 x 9 first of 24 x 24
READ = (..., 1, slice(0, 9), slice(0, 9))
PICTURE = spaces.Box(0, 255, (2, 24, 24), np.uint8)

VECTOR = spaces.Box(-np.inf, np.inf, (N_FEATURES,), np.float32)
#: action space, and for each score the features that it reads
KINDS: dict[str, tuple[spaces.Space[Any], list[dict[int, float]]]] = {
    "discrete": (spaces.Discrete(3), [{0: 4.0}, {1: 4.0}, {}]),
    "multi_discrete": (
        spaces.MultiDiscrete([3, 2]),
        [{0: 4.0}, {1: 4.0}, {}, {4: 3.0, 5: 3.0}, {4: -3.0, 5: -3.0}],
    ),
    "multi_binary": (spaces.MultiBinary(3), [{0: 5.0}, {2: 5.0}, {4: 5.0}]),
    "box": (spaces.Box(-1, 1, (3,)), [{0: 0.3}, {1: 0.3, 2: 0.3}, {6: 0.3}]),
    "box_1": (spaces.Box(-1, 1, (1,)), [{3: 0.5}]),
}


def corner_agent() -> Agent:
    """The agent of :class:`CornerNet`."""
    return Agent.from_module(CornerNet(), PICTURE, spaces.Discrete(3), n_stack=2)


def corner_states(agent: Agent, n: int, seed: int = 0) -> StateDataset:
    """Stacks of two frames of random squares, which follow each other in no way."""
    squares = np.random.default_rng(seed).integers(0, 256, (n, 1, 6, 6), dtype=np.uint8)
    frames = squares.repeat(4, axis=2).repeat(4, axis=3)
    episode = np.arange(n) // 20
    blank = StateDataset.from_arrays(frames, episode, np.zeros(n, int), n_stack=2)
    greedy = agent.greedy(blank.observations(np.arange(n))).numpy()
    return StateDataset.from_arrays(frames, episode, greedy, n_stack=2)


def known_agent(kind: str) -> Agent:
    """An agent of a kind of :data:`KINDS`, or ``"dict"``."""
    if kind == "dict":
        image = spaces.Box(0, 255, (1, SIDE, SIDE), np.uint8)
        observed = spaces.Dict({"the image": image, "a.b/vector": VECTOR})
        return Agent.from_module(DictNet(), observed, spaces.Discrete(3))
    action_space, features = KINDS[kind]
    return Agent.from_module(LinearNet(features), VECTOR, action_space)


def known_states(agent: Agent, n: int = 1500, seed: int = 0) -> StateDataset:
    """Independent normal features, and blocky images."""
    rng = np.random.default_rng(seed)
    vectors = (rng.standard_normal((n, N_FEATURES)) * SCALES).astype(np.float32)
    frames = {"": torch.from_numpy(vectors)}
    if isinstance(agent.observation_space, spaces.Dict):
        blocks = rng.integers(0, 256, (n, 1, SIDE // CORNER, SIDE // CORNER), dtype=np.uint8)
        images = blocks.repeat(CORNER, axis=2).repeat(CORNER, axis=3)
        frames = {"the image": torch.from_numpy(images), "a.b/vector": frames[""]}
    episode = np.arange(n) // 10
    columns = {"episode": episode, "greedy": np.zeros(n, np.int64)}
    if isinstance(agent.action_space, spaces.Discrete):
        observed: Any = frames if len(frames) > 1 else frames[""]
        columns["greedy"] = agent.greedy(observed).numpy()
    return StateDataset(frames, columns, np.ones(n, bool))
