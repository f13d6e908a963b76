"""Targets of every kind of action, against numbers worked out by hand."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from sb3_explain.agents import action_spaces
from sb3_explain.common.errors import ExplainError

SUB_ACTIONS = spaces.MultiDiscrete([2, 3])


def test_bits_are_pairs_of_targets_whose_softmax_is_their_probability():
    space = spaces.MultiBinary(2)
    logits = torch.tensor([[0.0, 3.0], [-2.0, 1.0]])
    chosen = action_spaces.target_scores(space, logits)
    assert chosen.tolist() == [[0.0, 0.0, -1.5, 1.5], [1.0, -1.0, -0.5, 0.5]]
    probabilities = action_spaces.log_probabilities(space, chosen).exp()
    torch.testing.assert_close(probabilities[:, 1::2], logits.sigmoid())
    names = action_spaces.target_names(space, ["jump", "run"])
    assert names == ("jump off", "jump on", "run off", "run on")


def test_probabilities_are_of_each_group():
    scores = torch.tensor([[0.0, np.log(3), 0.0, np.log(2), 0.0]]).float()
    expected = torch.tensor([[0.25, 0.75, 0.25, 0.5, 0.25]])
    torch.testing.assert_close(action_spaces.log_probabilities(SUB_ACTIONS, scores).exp(), expected)


def test_the_best_of_each_group_and_the_first_of_equals():
    scores = torch.tensor([[1.0, 0.0, 2.0, 5.0, 5.0], [3.0, 3.0, 0.0, -1.0, -1.0]])
    best = action_spaces.greedy_targets(SUB_ACTIONS, scores)
    assert best.int().tolist() == [[1, 0, 0, 1, 0], [1, 0, 1, 0, 0]]


def test_the_default_target():
    discrete = action_spaces.default_target(spaces.Discrete(3), torch.tensor([[1.0, 3.0, 2.0]]))
    assert discrete.tolist() == [1]
    # surest: 0.88 of the first group; 0.99 of the second
    scores = torch.tensor([[2.0, 0.0, 1.0, 1.0, 1.0], [0.1, 0.0, 0.0, 9.0, 0.0]])
    assert action_spaces.default_target(SUB_ACTIONS, scores).tolist() == [0, 3]
    # from the middle, in units of the range: 0.1 / 2 and 1 / 10; 0.9 / 2 and 4 / 10
    box = spaces.Box(np.array([-1, 0]), np.array([1, 10]), dtype=np.float64)
    actions = torch.tensor([[0.1, 6.0], [-0.9, 9.0]])
    assert action_spaces.default_target(box, actions).tolist() == [1, 0]
    squashed = torch.tensor([[0.1, -0.2]])
    assert action_spaces.default_target(box, squashed, squashed=True).tolist() == [1]


def test_the_divergence_of_gaussians_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    mean, other = torch.randn(2, 4, generator=generator)
    std, other_std = torch.rand(2, 4, generator=generator) + 0.1
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, std), normal(other, other_std))
    torch.testing.assert_close(
        action_spaces.gaussian_divergence(mean, std, other, other_std), expected
    )


def test_unbounded_dimensions_have_unit_range():
    box = spaces.Box(np.array([-np.inf, -2]), np.array([np.inf, 4]), dtype=np.float64)
    middle, extent = action_spaces.score_range(box)
    assert middle.tolist() == [0.0, 1.0] and extent.tolist() == [1.0, 6.0]


def test_other_spaces_are_refused():
    with pytest.raises(ExplainError, match="Text action spaces"):
        action_spaces.group_sizes(spaces.Text(5))
