"""Which keys of an observation are pictures, and by which axes."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.picture_axes import PictureAxes, guess_axes
from sb3_explain.states.batch import StateBatch
from tests.agents.reading import corner_reader


class Net(nn.Module):
    """A convolution of what a function makes of an observation."""

    def __init__(self, before, n_channels):
        super().__init__()
        self.before = before
        self.convolution = nn.Conv2d(n_channels, 2, 3, padding=1)
        self.calls = 0

    def forward(self, observed):
        self.calls += 1
        read = self.convolution(self.before(observed))
        return read.reshape(len(observed), -1)[:, :3]


def pictures_of(before, n_channels, shape, dtype=np.float32, high=1, **details):
    space = spaces.Box(0, high, shape, dtype)
    agent = Agent.from_module(Net(before, n_channels), space, spaces.Discrete(3), **details)
    return agent, agent.layout.pictures.get("")


MIXED = torch.randn(72, 72, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))


def standardize(x):
    return (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)


@pytest.mark.parametrize(
    ("before", "n_channels", "shape", "axes"),
    [
        (lambda x: x, 3, (3, 8, 9), (1, 2)),
        (lambda x: x.permute(0, 3, 1, 2), 3, (8, 9, 3), (0, 1)),
        (lambda x: x.permute(0, 3, 2, 1), 3, (8, 9, 3), (1, 0)),
        (lambda x: x.permute(0, 3, 1, 2), 9, (9, 9, 9), (0, 1)),
        (lambda x: x.permute(0, 3, 1, 2), 20, (7, 7, 20), (0, 1)),
        (lambda x: x[:, None], 1, (8, 9), (0, 1)),
        (lambda x: x.permute(0, 1, 4, 2, 3).flatten(1, 2), 6, (2, 8, 9, 3), (1, 2)),
        (lambda x: x.permute(0, 1, 4, 2, 3).flatten(0, 1), 3, (2, 8, 9, 3), (1, 2)),
        (lambda x: x, 4, (4, 8, 1), (1, 2)),
        (lambda x: x.permute(0, 3, 1, 2), 3, (1, 9, 3), (0, 1)),
        (lambda x: x, 3, (3, 2, 2), (1, 2)),
        (standardize, 3, (3, 8, 9), (1, 2)),
        (lambda x: nn.functional.interpolate(x, size=(20, 12)), 3, (3, 8, 9), (1, 2)),
        (lambda x: nn.functional.pad(x, (2, 2, 2, 2)), 3, (3, 5, 5), (1, 2)),
    ],
)
def test_a_convolution_says_by_which_axes_it_reads(before, n_channels, shape, axes):
    agent, found = pictures_of(before, n_channels, shape)
    assert found == PictureAxes(len(shape), *axes)
    x = torch.rand(2, 3, *shape)  # with an axis in front
    picture = agent.layout.arrange_key("", x)
    assert picture.shape == (2, 3, *agent.layout.shapes[""])
    assert torch.equal(agent.layout.restore_key("", picture), x)
    height, width = (shape[axis] for axis in axes)
    assert picture.shape[-2:] == (height, width)


@pytest.mark.parametrize(
    ("before", "n_channels", "shape", "high"),
    [
        # a linear layer leaves nothing in its place
        (lambda x: (x.flatten(1) @ MIXED).reshape(-1, 1, 8, 9), 1, (8, 9), 1),
        # what is looked up has no gradient
        (lambda x: TOKENS[x.long()].permute(0, 3, 1, 2), 5, (8, 9), 3),
        # one row of features is no picture
        (lambda x: x.flatten(1)[:, None, None], 1, (2, 4, 3, 3), 1),
    ],
)
def test_what_no_convolution_reads_in_place_is_features(before, n_channels, shape, high):
    agent, found = pictures_of(before, n_channels, shape, high=high)
    assert found is None and agent.layout.shapes[""] == (int(np.prod(shape)),)


def test_functions_and_keys_side_by_side():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.ones(1, 3, 3, 3))

        def forward(self, observed):
            joined = torch.cat([observed["a"], observed["b"].permute(0, 3, 1, 2)], dim=1)
            read = nn.functional.conv2d(joined, self.kernel).flatten(1)[:, :3]
            return read + observed["map"].flatten(1)[:, :3] + observed["v"]

    space = spaces.Dict(
        a=spaces.Box(0, 1, (1, 6, 7)),
        b=spaces.Box(0, 1, (6, 7, 2)),
        map=spaces.Box(0, 1, (6, 7)),
        v=spaces.Box(0, 1, (3,)),
    )
    agent = Agent.from_module(Functional(), space, spaces.Discrete(3))
    assert agent.layout.pictures == {"a": PictureAxes(3, 1, 2), "b": PictureAxes(3, 0, 1)}
    assert agent.layout.shapes == {"a": (1, 6, 7), "b": (2, 6, 7), "map": (42,), "v": (3,)}


@pytest.mark.parametrize(
    ("space", "policy", "kwargs", "is_picture"),
    [
        (spaces.Box(0, 255, (3, 36, 36), np.uint8), "MlpPolicy", {}, True),
        (spaces.Box(0, 255, (3, 36, 36), np.uint8), "CnnPolicy", {}, True),
        (spaces.Box(0, 1, (3, 36, 36)), "CnnPolicy", {"normalize_images": False}, True),
        (spaces.Box(0, 1, (3, 36, 36)), "MlpPolicy", {}, False),
        (spaces.Box(0, 2, (9, 9, 1), np.int8), "MlpPolicy", {}, False),
        (spaces.Box(0, 1, (9, 9, 3)), "MlpPolicy", {"normalize_images": False}, False),
        (spaces.MultiBinary([3, 6, 6]), "MlpPolicy", {}, False),
        (spaces.Box(-1, 1, (4,)), "MlpPolicy", {}, False),
    ],
)
def test_what_stable_baselines3_treats_as_an_image(space, policy, kwargs, is_picture):
    from tests.agents.loading.models import Noise

    env = Noise(space, spaces.Discrete(3))
    model = PPO(policy, env, n_steps=8, batch_size=8, device="cpu", policy_kwargs=kwargs)
    agent = Agent.from_model(model)
    assert bool(agent.layout.pictures) is is_picture
    agent = Agent.from_model(model, picture_keys=())
    assert not agent.layout.pictures


def test_finding_them_changes_nothing():
    agent = corner_reader("hwc")
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert list(agent.layout.pictures) == [""]
    assert agent.forwards == 0
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert agent.layout is agent.layout


def test_the_user_knows_better():
    board = spaces.Dict(board=spaces.Box(0, 2, (9, 9, 2), np.int8), v=spaces.Box(0, 1, (3,)))

    class Flat(nn.Module):
        def forward(self, observed):
            return observed["board"].float().flatten(1)[:, :3] + observed["v"]

    def agent(**details):
        return Agent.from_module(Flat(), board, spaces.Discrete(3), **details)

    assert not agent().layout.pictures
    assert agent(picture_keys=["board"]).layout.pictures == {"board": PictureAxes(3, 0, 1)}
    assert agent(picture_keys="board").layout.pictures == {"board": PictureAxes(3, 0, 1)}
    with pytest.raises(ExplainError, match="unknown key of the observation 'bord'; did you mean"):
        agent(picture_keys=["bord"])
    with pytest.raises(ExplainError, match="is no picture, which has 2 to 4 axes"):
        _ = agent(picture_keys=["v"]).layout
    assert not corner_reader("hwc", picture_keys=()).layout.pictures


def test_axes_by_the_shape_alone():
    assert guess_axes((3, 8, 9)) == PictureAxes(3, 1, 2)
    assert guess_axes((8, 9, 3)) == PictureAxes(3, 0, 1)
    assert guess_axes((8, 9)) == PictureAxes(2, 0, 1)
    assert guess_axes((4, 8, 9, 3)) == PictureAxes(4, 1, 2)
    assert guess_axes((4, 3, 8, 9)) == PictureAxes(4, 2, 3)
    assert guess_axes((8,)) is None and guess_axes((1,) * 5) is None


def test_the_order_of_the_keys_is_the_agents_whatever_a_dict_has():
    class Sum(nn.Module):
        def forward(self, seen):
            return torch.cat([seen["z"], seen["a"]], dim=1)

    box = spaces.Box(-9, 9, (1,))
    space = spaces.Dict([("z", box), ("a", box)])
    agent = Agent.from_module(Sum(), space, spaces.Discrete(2))
    seen = {"a": torch.ones(1, 1), "z": torch.zeros(1, 1)}
    for given in (seen, dict(reversed(seen.items()))):
        batch = StateBatch(agent, given)
        assert list(batch.by_key) == ["z", "a"]
        assert batch.observations.tolist() == [[0.0, 1.0]]
