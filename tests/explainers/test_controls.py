"""The rows that explain nothing, and the plain gradient."""

import torch
from gymnasium import spaces

from sb3_explain.agents.agent import Agent
from sb3_explain.explainers.controls import Constant, Empty, Random
from sb3_explain.explainers.gradients.gradient import Gradient
from tests.toys import dot_agent, dot_states


def observations(n: int = 4) -> torch.Tensor:
    return dot_states(dot_agent(), 20).observations(range(n)).float()


def test_controls():
    agent, seen = dot_agent(), observations()
    assert not Empty(agent).attribute(seen).any()
    assert (Constant(agent, area=0.3).attribute(seen) == 0.3).all()
    noise = Random(agent, seed=1).attribute(seen)
    assert torch.equal(noise, Random(agent, seed=1).attribute(seen))
    assert 0.45 < noise.mean() < 0.55 and noise.shape == seen.shape


def test_the_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    agent = Agent.from_module(net, spaces.Box(-1, 1, (3,)), spaces.Discrete(2))
    point = torch.rand(1, 3)
    ours = Gradient(agent).attribute(point, torch.tensor([1]))
    for i in range(3):
        step = torch.zeros(1, 3)
        step[0, i] = 1e-2
        slope = (agent.scores(point + step) - agent.scores(point - step))[0, 1] / 2e-2
        assert abs(float(ours[0, i]) - abs(float(slope))) < 1e-3


def test_the_default_target_is_the_greedy_action():
    agent, seen = dot_agent(), observations()
    gradient = Gradient(agent)
    assert torch.equal(gradient.attribute(seen), gradient.attribute(seen, agent.greedy(seen)))
