"""Accuracy by hand, on an agent whose two scores are the two features of its observation."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.evaluation.metrics.accuracy import accuracy, accuracy_clear
from sb3_explain.evaluation.metrics.accuracy_at import accuracy_at
from sb3_explain.states.batch import StateBatch


@pytest.fixture
def identity():
    space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    return Agent.from_module(nn.Identity(), space, spaces.Discrete(2))


def test_accuracy_by_hand(identity):
    observations = torch.tensor([[3.0, 1.0], [3.0, 1.0], [-1.0, 1.0], [3.0, 2.0]])
    masks = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.5, 1.0]])
    batch = StateBatch(identity, observations)
    assert batch.target.tolist() == [0, 0, 1, 0]
    # seen: (3, 1) -> 0, (0, 1) -> 1, (-1, 0) -> 1, (1.5, 2) -> 1
    result = accuracy(batch, masks, torch.zeros(4, 2))
    assert result.tolist() == [1.0, 0.0, 1.0, 0.0]


def test_only_states_with_a_clear_winner_count(identity):
    # softmax of (0.1, 0) is (0.525, 0.475): a margin just under 0.05
    observations = torch.tensor([[0.1, 0.0], [0.2, 0.0], [5.0, 0.0]])
    masks = torch.tensor([[1.0, 1.0], [1.0, 1.0], [-1.0, 1.0]])
    result = accuracy_clear(StateBatch(identity, observations), masks, torch.zeros(3, 2))
    assert result[0].isnan()
    assert result[1:].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("space", "clear"),
    [
        (spaces.Box(-1, 1, (1,)), [True, True]),
        (spaces.Box(-1, 1, (2,)), [True, True]),
        (spaces.MultiDiscrete([1, 1]), [True, True]),
        (spaces.MultiDiscrete([2, 1]), [False, True]),
    ],
)
def test_without_a_second_target_every_winner_is_clear(space, clear):
    """The first sub-action's scores are 0.1 and 0, or the state's own features."""
    n = sum(space.nvec) if isinstance(space, spaces.MultiDiscrete) else space.shape[0]
    agent = Agent.from_module(nn.Identity(), spaces.Box(-1, 1, (int(n),)), space)
    observations = torch.tensor([[0.1, 0.0, 0.5], [0.5, 0.0, 0.5]])[:, : int(n)]
    batch = StateBatch(agent, observations, 0)
    shown = accuracy_clear(batch, torch.ones_like(observations), torch.zeros_like(observations))
    assert (~shown.isnan()).tolist() == clear


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (0.25, 1.0), (0.5, 0.0), (1.0, 0.0)])
def test_accuracy_at_a_share_keeps_that_many_cells(share, expected):
    # Four cells; their sum is the score of the first action against 0.5.
    module = nn.Linear(4, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0] * 4, [0.0] * 4]))
        module.bias.copy_(torch.tensor([0.0, 0.5]))
    space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    agent = Agent.from_module(module, space, spaces.Discrete(2))
    observations = torch.tensor([[-1.0, 1.0, -3.0, 1.0]])
    ordering = torch.tensor([[1, 0, 3, 2]])
    # running sums of the kept cells: 0, 1, 0, 1, -2
    batch = StateBatch(agent, observations, 0)
    result = accuracy_at(batch, ordering, torch.zeros(1, 4), share=share)
    assert result.item() == expected


def test_a_share_of_few_features_is_one_of_them_at_least():
    space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    agent = Agent.from_module(nn.Identity(), space, spaces.Discrete(4))
    batch = StateBatch(agent, torch.tensor([[1.0, 0.0, 3.0, 0.0], [1.0, 0.0, 3.0, 0.0]]))
    ordering = torch.tensor([[2, 0, 1, 3], [0, 1, 2, 3]])
    # a tenth of four features is none; the first row shows feature 2, the second feature 0
    assert accuracy_at(batch, ordering, torch.zeros(2, 4)).tolist() == [1.0, 0.0]


def test_full_and_empty_masks(inputs):
    everything = torch.ones_like(inputs.baseline)
    shown = accuracy(inputs.batch, everything, inputs.baseline)
    assert shown.tolist() == [1.0] * len(shown)
    hidden = accuracy(inputs.batch, torch.zeros_like(inputs.baseline), inputs.baseline)
    black = inputs.agent.greedy(torch.zeros(1, 4, 12, 12))
    assert hidden.tolist() == (inputs.batch.target == black).float().tolist()
