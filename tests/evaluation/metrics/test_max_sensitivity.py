"""Sensitivity to noise against Quantus, a slow loop and a map whose answer is known."""

import numpy as np
import pytest
import quantus
import torch

from sb3_explain.evaluation.metrics.max_sensitivity import max_sensitivity
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch
from tests.evaluation.metrics.by_quantus import robustness


class LegacyNoise:
    """The stream of np.random.seed(seed), which Quantus draws from."""

    def __init__(self, seed):
        self.uniform = np.random.RandomState(seed).uniform


@pytest.mark.filterwarnings("ignore")
def test_quantus(inputs):
    metric = quantus.MaxSensitivity(
        nr_samples=4, lower_bound=0.2, abs=False, normalise=False, disable_warnings=True
    )
    theirs, batch, attributions = robustness(metric, inputs, seed=7)
    ours = max_sensitivity(batch, inputs.explainer, attributions, LegacyNoise(7), n=4, radius=0.2)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_slow_loop(inputs):
    batch = inputs.batch
    ours = max_sensitivity(batch, inputs.explainer, inputs.attributions, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    for i, observation in enumerate(batch.observations.double()):
        own, changes = inputs.attributions[i].numpy(), []
        for _ in range(5):
            noise = torch.from_numpy(rng.uniform(-0.02, 0.02, observation.shape))
            neighbor = (observation + 255 * noise)[None]
            moved = inputs.explainer.attribute(neighbor, batch.target[i : i + 1]).numpy()
            changes.append(np.linalg.norm(moved - own))
        assert ours[i].item() == pytest.approx(max(changes) / np.linalg.norm(own), abs=1e-6)


class Shifted(Explainer):
    """f(s) = s / 255 + offset: the noise itself is the change."""

    name = "shifted"
    offset = 0.0

    def explain(self, batch):
        return {"": batch.observations / 255 + self.offset}


def test_by_hand(inputs):
    """Every cell moves by exactly the radius; the map is 0 in one case, 2 everywhere in the other.

    144 * 4 cells: ||change|| = 24 * radius and ||f(s)|| = 48.
    """

    class Corners:
        def uniform(self, low, high, shape):
            return np.full(shape, high)

    black = StateBatch(inputs.agent, torch.zeros(1, 4, 12, 12), 0)
    explainer = Shifted(inputs.agent)
    result = max_sensitivity(black, explainer, torch.zeros(1, 4, 12, 12), Corners(), radius=0.1)
    assert result.item() == pytest.approx(2.4, rel=1e-5)
    explainer.offset = 2.0
    attributions = torch.full((1, 4, 12, 12), 2.0)
    result = max_sensitivity(black, explainer, attributions, Corners(), radius=0.1)
    assert result.item() == pytest.approx(2.4 / 48, rel=1e-5)
