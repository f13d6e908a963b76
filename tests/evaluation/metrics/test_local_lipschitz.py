"""The local Lipschitz estimate against Quantus, a slow loop and a map whose answer is known."""

import numpy as np
import pytest
import quantus
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.evaluation.metrics.local_lipschitz import local_lipschitz
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch
from tests.evaluation.metrics.by_quantus import robustness


class LegacyNoise:
    """The stream of np.random.seed(seed), which Quantus draws from."""

    def __init__(self, seed):
        self.state = np.random.RandomState(seed)

    def standard_normal(self, shape, dtype):
        return self.state.standard_normal(shape).astype(dtype)


@pytest.mark.filterwarnings("ignore")
def test_quantus(inputs):
    metric = quantus.LocalLipschitzEstimate(
        nr_samples=4, perturb_std=0.1, abs=False, normalise=False, disable_warnings=True
    )
    theirs, batch, attributions = robustness(metric, inputs, seed=7)
    ours = local_lipschitz(batch, inputs.explainer, attributions, LegacyNoise(7), n=4)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_slow_loop(inputs):
    batch = inputs.batch
    ours = local_lipschitz(batch, inputs.explainer, inputs.attributions, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    for i, observation in enumerate(batch.observations):
        ratios = []
        for _ in range(5):
            noise = 0.1 * rng.standard_normal(observation.shape, dtype=np.float32).astype(float)
            neighbor = observation.double()[None] + 255 * torch.from_numpy(noise)[None]
            moved = inputs.explainer.attribute(neighbor, batch.target[i : i + 1])
            ratios.append(
                np.linalg.norm((moved - inputs.attributions[i]).numpy()) / np.linalg.norm(noise)
            )
        assert ours[i].item() == pytest.approx(max(ratios), abs=1e-6)


class Linear(Explainer):
    """f(s) = 3 s / 255 has the Lipschitz constant 3 everywhere."""

    name = "linear"

    def explain(self, batch):
        return {"": 3 * batch.observations / 255}


def test_a_linear_map_by_hand(inputs):
    explainer = Linear(inputs.agent)
    attributions = explainer.attribute(inputs.batch.observations)
    result = local_lipschitz(inputs.batch, explainer, attributions, inputs.rng)
    torch.testing.assert_close(result, torch.full((6,), 3.0), rtol=1e-5, atol=0)


def test_the_target_stays(inputs):
    seen = []

    class Spy(Linear):
        def explain(self, batch):
            seen.append(batch.target)
            return super().explain(batch)

    local_lipschitz(inputs.batch, Spy(inputs.agent), inputs.attributions, inputs.rng)
    assert len(seen) == 5
    assert all(torch.equal(target, inputs.batch.target) for target in seen)


def test_unbounded_features_have_unit_range():
    big = np.finfo(np.float32).max
    low = np.array([-2, -np.inf, -big, 0], dtype=np.float32)
    high = np.array([2, np.inf, big, 1], dtype=np.float32)
    agent = Agent.from_module(nn.Linear(4, 2), spaces.Box(low, high), spaces.Discrete(2))
    assert StateBatch(agent, torch.zeros(1, 4)).get_extent().tolist() == [4.0, 1.0, 1.0, 1.0]
