"""Relevance mass by hand, and by a slow loop."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics.relevance_mass import relevance_mass
from sb3_explain.states.batch import StateBatch


def agent_of(space, n_stack=1):
    class Blank(nn.Module):
        def forward(self, observations):
            first = next(iter(observations.values())) if isinstance(observations, dict) else (
                observations
            )  # fmt: skip
            return torch.zeros(len(first), 2)

    return Agent.from_module(Blank(), space, spaces.Discrete(2), n_stack=n_stack)


def test_by_hand():
    agent = agent_of(spaces.Box(0, 255, (1, 2, 5), np.uint8))
    batch = StateBatch(agent, torch.zeros(5, 1, 2, 5), 0)
    boxes = torch.zeros(5, 2, 5, dtype=torch.bool)
    boxes[:4, 0, :2] = True  # a fifth of the area; none in the last state
    attributions = torch.zeros(5, 1, 2, 5)
    attributions[0] = 3.0  # everywhere the same
    attributions[1, 0, 0, 1] = 0.2  # all in the box
    attributions[2, 0, 0, 0], attributions[2, 0, 1, 4] = -1.0, 3.0  # a quarter of the magnitude
    result = relevance_mass(batch, attributions, boxes)
    expected = torch.tensor([1.0, 5.0, 1.25, torch.nan, torch.nan], dtype=torch.float64)
    torch.testing.assert_close(result, expected, equal_nan=True)


def test_slow_loop_over_the_newest_of_stacked_colour_frames():
    generator = torch.Generator().manual_seed(0)
    agent = agent_of(spaces.Box(0, 255, (6, 4, 5), np.uint8), n_stack=2)
    attributions = torch.randn(3, 6, 4, 5, generator=generator)
    boxes = torch.rand(3, 4, 5, generator=generator) < 0.4
    result = relevance_mass(StateBatch(agent, torch.zeros(3, 6, 4, 5), 0), attributions, boxes)
    for i in range(3):
        mass = inside = 0.0
        for channel in (3, 4, 5):
            for y in range(4):
                for x in range(5):
                    mass += abs(attributions[i, channel, y, x].item())
                    inside += abs(attributions[i, channel, y, x].item()) * boxes[i, y, x].item()
        area = boxes[i].sum().item() / 20
        assert result[i].item() == pytest.approx(inside / mass / area, rel=1e-6)


def test_boxes_of_every_layer():
    agent = agent_of(spaces.Box(0, 255, (2, 1, 2), np.uint8), n_stack=2)
    boxes = torch.tensor([[[[True, False]], [[False, False]]]])
    attributions = torch.tensor([[[[2.0, 1.0]], [[1.0, 0.0]]]])
    # half of the mass in a quarter of the cells
    result = relevance_mass(StateBatch(agent, torch.zeros(1, 2, 1, 2), 0), attributions, boxes)
    assert result.tolist() == [2.0]


def test_only_the_images_of_that_size_count_in_a_dict():
    sizes = {"far": (1, 2, 2), "near": (1, 3, 3)}
    space = spaces.Dict(
        {name: spaces.Box(0, 255, size, np.uint8) for name, size in sizes.items()}
        | {"speed": spaces.Box(-1, 1, (3,), np.float32)}
    )
    by_key = {name: torch.zeros(1, *size) for name, size in sizes.items()}
    batch = StateBatch(agent_of(space), {**by_key, "speed": torch.zeros(1, 3)}, 0)
    far = torch.tensor([[[[1.0, 0.0], [0.0, 3.0]]]])
    attributions = batch.flatten_keys(
        {"far": far, "near": torch.ones(1, 1, 3, 3), "speed": torch.ones(1, 3)}
    )
    boxes = torch.tensor([[[True, False], [False, False]]])
    assert relevance_mass(batch, attributions, boxes).tolist() == [1.0]
    with pytest.raises(ExplainError, match="fit no image"):
        relevance_mass(batch, attributions, torch.ones(1, 7, 7, dtype=torch.bool))
