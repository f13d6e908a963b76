"""A small agent, its states and maps, for the tests of all metrics."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import order
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset


class Smooth(Explainer):
    """A map that depends smoothly on the observation and on the target, in any precision."""

    name = "smooth"
    gives_masks = True

    def explain(self, batch):
        scaled = batch.observations / 255
        weight = 1 + batch.target.reshape(-1, *[1] * (scaled.dim() - 1))
        return {"": torch.sigmoid(4 * scaled * scaled.roll(1, -1) - weight)}


@pytest.fixture(scope="session")
def conv_agent():
    """Any module as an agent: images (4, 12, 12), three actions."""
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 6, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(150, 3))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        module[0].weight /= 255
    space = spaces.Box(0, 255, (4, 12, 12), np.uint8)
    return Agent.from_module(module, space, spaces.Discrete(3))


@pytest.fixture
def inputs(conv_agent):
    """All that a metric may ask for, for six states."""
    generator = torch.Generator().manual_seed(1)
    observations = torch.randint(0, 256, (6, 4, 12, 12), generator=generator).float()
    batch = StateBatch(conv_agent, observations, conv_agent.greedy(observations))
    explainer = Smooth(conv_agent)
    attributions = explainer.attribute(observations, batch.target)
    states = StateDataset.from_arrays(observations, [0, 0, 1, 1, 2, 2], batch.target)
    batch.positions = torch.arange(6)
    others = OtherStates(conv_agent, states, np.arange(6), batch.target.numpy(), seed=0)
    return SimpleNamespace(
        agent=conv_agent,
        explainer=explainer,
        batch=batch,
        attributions=attributions,
        masks=attributions,
        ordering=order(attributions),
        baseline=torch.zeros_like(observations),
        attribution=torch.randn(observations.shape, generator=generator),
        boxes=torch.rand(6, 12, 12, generator=generator) < 0.2,
        others=others,
        rng=np.random.default_rng(0),
    )
