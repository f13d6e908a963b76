"""Agents of any module: what it may return, and what is refused in one line."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.make import make_explainer

OBSERVED, ACTIONS = spaces.Box(-1, 1, (6,), np.float32), spaces.Discrete(3)


class Returns(nn.Module):
    """A linear layer, and what becomes of its scores."""

    def __init__(self, change):
        super().__init__()
        self.scores = nn.Linear(6, 3)
        self.change = change

    def forward(self, observations):
        return self.change(self.scores(observations))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: {"logits": x}, "it returns a dict, but must return a tensor"),
        (lambda x: (x, x[:, 0], x), "it returns a tuple of Tensor, Tensor, Tensor"),
        (lambda x: (), "it returns a tuple of nothing"),
        (lambda x: x.detach().numpy(), "it returns a ndarray"),
        (lambda x: None, "it returns a NoneType"),
        (lambda x: torch.distributions.Categorical(logits=x), "it returns a Categorical"),
        (lambda x: x.argmax(1), "it returns torch.int64"),
        (lambda x: x > 0, "it returns torch.bool"),
        (lambda x: x[None], r"the shape \(1, 8, 3\)"),
        (lambda x: x[:, :2], r"the shape \(8, 2\)"),
        (lambda x: x * torch.nan, "its scores are NaN"),
    ],
)
def test_what_is_no_score_is_named(change, said):
    with pytest.raises(ExplainError, match=f"Returns cannot be an agent: .*{said}"):
        Agent.from_module(Returns(change), OBSERVED, ACTIONS)


@pytest.mark.parametrize(
    "change",
    [lambda x: [x, x[:, :1]], lambda x: x.double(), lambda x: x.half(), lambda x: (x,)],
    ids=["list", "double", "half", "alone"],
)
def test_scores_of_any_precision_are_read(change):
    module = Returns(change)
    seen = torch.linspace(-1, 1, 60).reshape(10, 6)
    agent = Agent.from_module(module, OBSERVED, ACTIONS)
    torch.testing.assert_close(
        agent.scores(seen).float(), module.scores(seen), atol=1e-2, rtol=1e-2
    )


@pytest.mark.parametrize("make", [torch.jit.script, lambda m: torch.jit.trace(m, torch.ones(1, 6))])
def test_torchscript_is_read_and_explained(make):
    module = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    agent = Agent.from_module(make(module), OBSERVED, ACTIONS)
    seen = torch.linspace(-1, 1, 12).reshape(2, 6).requires_grad_()
    torch.testing.assert_close(agent.scores(seen), module(seen))
    best = module(seen).amax(dim=1).sum()
    (slopes,) = torch.autograd.grad(best, seen)
    found = make_explainer("gradient", agent).attribute(seen.detach())
    torch.testing.assert_close(found, slopes.abs())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"acton_names": "abc"}, "'acton_names'; did you mean 'action_names'"),
        ({"picture_keys": True}, "picture_keys is True: give a list of keys"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(given, said):
    with pytest.raises(ExplainError, match=said):
        Agent.from_module(nn.Linear(6, 3), OBSERVED, ACTIONS, **given)
    with pytest.raises(ExplainError, match=said):
        Agent.from_model(PPO("MlpPolicy", "CartPole-v1", device="cpu"), **given)


def test_a_shape_is_no_space():
    with pytest.raises(ExplainError, match=r"observation_space must be .*not builtins\.tuple"):
        Agent.from_module(nn.Linear(6, 3), (6,), ACTIONS)
    with pytest.raises(ExplainError, match=r"action_space must be .*not builtins\.int"):
        Agent.from_module(nn.Linear(6, 3), OBSERVED, 3)


def test_numbers_as_names_are_text():
    agent = Agent.from_module(nn.Linear(6, 3), OBSERVED, ACTIONS, action_names=[10, 20, 30])
    assert agent.find_target("20") == 1


def test_masks_are_arrays_or_tensors_of_the_scores_shape():
    agent = Agent.from_module(nn.Linear(6, 3), OBSERVED, ACTIONS)
    masks = np.array([[0, 1, 0], [0, 0, 1]])
    assert agent.act(torch.zeros(2, 6), action_masks=masks).tolist() == [1, 2]
    for wrong in (torch.ones(2, 4), torch.ones(3, 3), torch.ones(3)):
        with pytest.raises(ExplainError, match=r"here they are \(2, 3\): give 0 or 1 for each"):
            agent.scores(torch.zeros(2, 6), action_masks=wrong)
