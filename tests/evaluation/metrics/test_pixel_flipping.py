"""Pixel flipping against Quantus, and by hand."""

import numpy as np
import pytest
import quantus
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import order
from sb3_explain.evaluation.measuring import integrate
from sb3_explain.evaluation.metrics.pixel_flipping import pixel_flipping
from sb3_explain.states.batch import StateBatch


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("baseline", [0.0, 200.0])
def test_quantus(baseline):
    """Channels are separate features there, and 84 must divide height times width."""
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 7, 7), nn.Tanh(), nn.Flatten(), nn.Linear(72, 4))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
        module[0].weight /= 255
    space = spaces.Box(0, 255, (3, 21, 24), np.uint8)
    agent = Agent.from_module(module, space, spaces.Discrete(4))
    observations = torch.randint(0, 256, (5, 3, 21, 24), generator=generator).float()
    attributions = torch.rand(observations.shape, generator=generator)
    target = agent.greedy(observations)
    metric = quantus.PixelFlipping(
        features_in_step=84, perturb_baseline=baseline, normalise=False, disable_warnings=True
    )
    expected = metric(
        model=module.eval(),
        x_batch=observations.numpy().copy(),
        y_batch=target.numpy(),
        a_batch=attributions.numpy().copy(),
        channel_first=True,
        softmax=True,
        batch_size=1,
    )
    curves = pixel_flipping(
        StateBatch(agent, observations, target), order(attributions), baseline=baseline
    )
    assert curves.shape == (5, 18)
    assert np.ptp(expected, axis=1).min() > 0.05
    np.testing.assert_allclose(curves, expected, atol=1e-6)


def test_few_features_are_flipped_one_by_one():
    """The scores are the features, two actions: softmax is a sigmoid of their difference."""
    space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    agent = Agent.from_module(nn.Identity(), space, spaces.Discrete(2))
    batch = StateBatch(agent, torch.tensor([[2.0, 1.0]]), 0)
    curve = pixel_flipping(batch, torch.tensor([[1, 0]]), baseline=-1.0)
    np.testing.assert_allclose(curve[0], [1 / (1 + np.exp(-3.0)), 0.5], atol=1e-6)


def test_the_area_of_a_single_cell_is_its_value():
    agent = Agent.from_module(nn.Linear(1, 2), spaces.Box(-1, 1, (1,)), spaces.Discrete(2))
    curve = pixel_flipping(StateBatch(agent, torch.ones(1, 1)), torch.zeros(1, 1, dtype=torch.long))
    assert integrate(curve).tolist() == curve[:, 0].tolist()


def test_no_step_is_larger_than_asked_for():
    space = spaces.Box(-np.inf, np.inf, (200,), np.float32)
    agent = Agent.from_module(nn.Linear(200, 2), space, spaces.Discrete(2))
    batch = StateBatch(agent, torch.ones(1, 200))
    assert pixel_flipping(batch, torch.arange(200)[None]).shape == (1, 3)
