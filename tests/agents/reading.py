"""Agents that read known places of observations of any axes, and states for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.spaces import join_keys, spaces_by_key
from sb3_explain.states.dataset import StateDataset
from tests.agents.random_agents import make_model
from tests.agents.random_specs import Spec

#: height and width of pictures, and side of the corner that is read
HEIGHT, WIDTH, CORNER = 16, 20, 4

#: by name: shape of a picture, what turns it to (B, C, H, W), and where its corner is
AXES: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor], tuple[Any, ...]]] = {
    "chw": ((2, HEIGHT, WIDTH), lambda x: x, (slice(None), slice(CORNER), slice(CORNER))),
    "hwc": (
        (HEIGHT, WIDTH, 2),
        lambda x: x.permute(0, 3, 1, 2),
        (slice(CORNER), slice(CORNER)),
    ),
    "whc": (
        (WIDTH, HEIGHT, 2),
        lambda x: x.permute(0, 3, 2, 1),
        (slice(CORNER), slice(CORNER)),
    ),
    "hw": ((HEIGHT, WIDTH), lambda x: x[:, None], (slice(CORNER), slice(CORNER))),
    "fhwc": (
        (2, HEIGHT, WIDTH, 3),
        lambda x: x.permute(0, 1, 4, 2, 3).flatten(1, 2),
        (slice(None), slice(CORNER), slice(CORNER)),
    ),
}


class CornerReader(nn.Module):
    """Two actions: the corner of a picture is bright, or it is not; it is seen by a convolution.

    :param to_picture: turns what is observed to (B, C, H, W)
    :param n_channels: C
    :param key: key of the picture, if there are others, which are not read
    :param cell: row and column, in corners' sides, of the square that is read in the corner's place
    """

    def __init__(
        self,
        to_picture: Callable[[Tensor], Tensor],
        n_channels: int,
        key: str,
        cell: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.to_picture, self.key, self.cell = to_picture, key, cell
        self.convolution = nn.Conv2d(n_channels, 1, CORNER, stride=CORNER, bias=False)
        nn.init.constant_(self.convolution.weight, 1 / n_channels / CORNER**2)
        self.relu = nn.ReLU()

    def forward(self, observed: Any) -> Tensor:
        picture = self.to_picture(observed[self.key] if self.key else observed)
        bright = self.relu(self.convolution(picture.float()))[:, 0, *self.cell] - 0.5
        return 12 * torch.stack([bright, -bright], dim=1)


class RowReader(nn.Module):
    """Three actions by a linear layer, of which only the first row of a board is not 0.

    :param shape: (rows, columns, planes)
    :param key: key of the board, if there are others, which are not read
    :param read: (...) of that shape: what is read in the first row's place
    """

    def __init__(self, shape: tuple[int, ...], key: str, read: Tensor | None = None) -> None:
        super().__init__()
        self.key = key
        if read is None:
            read = torch.zeros(shape, dtype=torch.bool)
            read[0] = True
        weights = torch.zeros(8, *shape)
        drawn = torch.randn(8, int(read.sum()), generator=torch.Generator().manual_seed(0))
        weights[:, read] = drawn
        self.weights = nn.Parameter(weights.flatten(1))
        self.relu = nn.ReLU()
        head = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
        self.head = nn.Parameter(head)

    def forward(self, observed: Any) -> Tensor:
        board = (observed[self.key] if self.key else observed).float()
        return self.relu(board.flatten(1) @ self.weights.T) @ self.head.T


def corner_reader(axes: str, *, beside: bool = False, **details: Any) -> Agent:
    """An agent that reads the corner of a picture.

    :param axes: name in :data:`AXES`
    :param beside: whether a vector stands beside it in a dict
    """
    shape, to_picture, _ = AXES[axes]
    n_channels = to_picture(torch.zeros(1, *shape)).shape[1]
    space: spaces.Space[Any] = spaces.Box(0, 1, shape, np.float32)
    if beside:
        space = spaces.Dict(screen=space, vector=spaces.Box(-1, 1, (3,)))
    reader = CornerReader(to_picture, n_channels, "screen" if beside else "")
    return Agent.from_module(reader, space, spaces.Discrete(2), **details)


def row_reader(shape: tuple[int, ...] = (9, 9, 1), *, beside: bool = False) -> Agent:
    """An agent that reads the first row of a board of int8.

    :param beside: whether a score stands beside it in a dict
    """
    space: spaces.Space[Any] = spaces.Box(0, 2, shape, np.int8)
    if beside:
        space = spaces.Dict(board=space, score=spaces.Box(0, 81, (2,)))
    return Agent.from_module(RowReader(shape, "board" if beside else ""), space, spaces.Discrete(3))


class Extractor(BaseFeaturesExtractor):
    """A reader in the place of a policy's features extractor.

    :param reader: its scores are the features
    :param n_scores: number of its scores
    """

    def __init__(self, space: spaces.Space[Any], reader: nn.Module, n_scores: int) -> None:
        super().__init__(space, n_scores)
        self.reader = reader

    def forward(self, observed: Any) -> Tensor:
        return self.reader(observed)


def live_reader(algorithm: str, reader: nn.Module, space: spaces.Space[Any], n: int) -> Agent:
    """The agent of a live model whose scores are those of a reader.

    :param algorithm: ``"ppo"`` or ``"dqn"``
    :param reader: gives n scores of an observation
    :param space: space of the observations
    :param n: number of actions
    """
    kwargs = {
        "features_extractor_class": Extractor,
        "features_extractor_kwargs": {"reader": reader, "n_scores": n},
        "net_arch": [],
        **({"ortho_init": False} if algorithm == "ppo" else {}),
    }
    model = make_model(Spec(algorithm, space, spaces.Discrete(n), kwargs), noise=0)
    head = model.policy.action_net if algorithm == "ppo" else model.policy.q_net.q_net[0]
    with torch.no_grad():
        head.weight.copy_(torch.eye(n))
        head.bias.zero_()
    return Agent.from_model(model)


def random_states(agent: Agent, n: int = 40) -> StateDataset:
    """States of random observations; pictures are of squares, boards of whole numbers."""
    rng, frames = np.random.default_rng(0), {}
    for key, space in spaces_by_key(agent.observation_space).items():
        assert isinstance(space, spaces.Box)
        values = rng.uniform(space.low, space.high, (n, *space.shape))
        if space.dtype == np.int8:
            values = rng.integers(space.low, space.high + 1, (n, *space.shape))
        elif key in agent.layout.pictures:
            coarse = torch.from_numpy(rng.random((n, 1, HEIGHT // CORNER, WIDTH // CORNER)))
            fine = coarse.repeat_interleave(CORNER, 2).repeat_interleave(CORNER, 3)
            whole = fine.expand(-1, agent.layout.shapes[key][0], -1, -1)
            values = agent.layout.restore_key(key, whole).numpy()
        frames[key] = torch.from_numpy(values.astype(space.dtype))
    greedy = agent.greedy(join_keys({key: observed.float() for key, observed in frames.items()}))
    columns = {"episode": np.arange(n) // 4, "greedy": greedy.numpy()}
    return StateDataset(frames, columns, np.ones(n, bool))
