"""Whole tables of agents and attributions made by hand: what is to be found is known."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.dataset import StateDataset
from tests.evaluation.metrics.test_specificity import SIDE, Known, Reader, Same
from tests.evaluation.test_evaluate import Learned

N, N_FEATURES = 60, 20


class KnownLearned(Known, Learned):
    """The pixels that the agent reads, of an explainer that learns."""

    name = "known"


class SameLearned(Same, Learned):
    """The same attributions for every state, of an explainer that learns."""

    name = "same"


@pytest.fixture(scope="module")
def reading():
    """An agent that reads one pixel, another one in each state, measured with both explainers."""
    agent = Agent.from_module(
        Reader(), spaces.Box(0, 255, (1, SIDE, SIDE), np.uint8), spaces.Discrete(2)
    )
    frames = np.full((N, 1, SIDE, SIDE), 20, np.uint8)
    column = np.random.default_rng(0).integers(0, SIDE, N)
    frames[np.arange(N), 0, 0, column] = 200
    frames[np.arange(N), 0, 3, column] = 255
    states = StateDataset.from_arrays(frames, np.arange(N) // 5, np.zeros(N, int))
    explainers = [KnownLearned(agent), SameLearned(agent)]
    metrics = {
        "insertion": {"steps": 36}, "policy_preservation": {"steps": 36},
        "specificity": {"steps": 36}, "policy_specificity": {"steps": 36},
    }  # fmt: skip
    black = np.zeros((1, SIDE, SIDE), np.float32)
    return evaluate(
        agent, states, explainers, metrics,
        baseline=lambda seen: torch.from_numpy(black).expand(seen.shape), n_resamples=500,
    )  # fmt: skip


def test_a_known_pixel_is_specific_and_the_same_for_all_is_not(reading):
    for metric in ("specificity", "policy_specificity"):
        assert reading.rows["known"].intervals[metric].low > 0.1
        same = reading.rows["same"].intervals[metric]
        assert (same.mean, same.low, same.high) == (0, 0, 0)
        for control in ("known template", "same template", "same swapped"):
            assert (reading.values[control][metric] == 0).all()


def test_controls_are_clearly_worse_than_attributions_that_know_the_state(reading):
    for control in ("known template", "known swapped"):
        own, other = (reading.rows[name].intervals for name in ("known", control))
        assert own["insertion"].low > other["insertion"].high
        assert own["policy_preservation"].high < other["policy_preservation"].low
    [sentence] = [each for each in reading.summary() if "much the same" in each]
    assert "the maps of same are much the same" in sentence


class Forcing(Explainer):
    """First what speaks for the target, last what speaks against it."""

    name = "forcing"

    def explain(self, batch):
        weights = self.agent.view.policy.weight
        return {"": (weights[batch.target] - weights[1 - batch.target]) * batch.observations}


class Keeping(Explainer):
    """What speaks for the agent's action and what speaks against it, in turn."""

    name = "keeping"

    def explain(self, batch):
        half = torch.arange(N_FEATURES // 2, 0, -1.0)
        turn = torch.stack([half, half - 0.5]).flatten()  # the first, the eleventh, the second
        return {"": turn.expand(batch.observations.shape)}


def test_attributions_that_force_an_action_are_told_from_those_that_keep_the_policy():
    """Insertion prefers the first; its cap takes their gain, two metrics turn it into a loss."""
    net = nn.Linear(N_FEATURES, 2, bias=False)
    with torch.no_grad():
        net.weight.zero_()
        net.weight[0, :10] = 0.5
        net.weight[1, 10:] = 0.45
    box = spaces.Box(-9, 9, (N_FEATURES,), np.float32)
    agent = Agent.from_module(net, box, spaces.Discrete(2))
    strength = np.random.default_rng(0).uniform(0.8, 1.2, (N, 1)).astype(np.float32)
    states = StateDataset.from_arrays(
        np.tile(strength, N_FEATURES), np.arange(N) // 5, np.zeros(N, int)
    )
    metrics = {
        "insertion": {"steps": 20}, "insertion capped": {"steps": 20, "cap": True},
        "policy_preservation": {"steps": 20}, "policy_preservation@0.5": {}, "forced_action": {},
    }  # fmt: skip
    evaluation = evaluate(
        agent, states, [Forcing(agent), Keeping(agent)], metrics, baseline="black", n_resamples=500
    )
    forcing, keeping = (evaluation.rows[name].intervals for name in ("forcing", "keeping"))
    own = evaluation.states["own_probability"]
    expected = (1 / (1 + np.exp(-0.5 * strength.astype(float)))).mean()
    assert own == pytest.approx(expected, abs=1e-6)
    assert forcing["insertion"].low > own + 0.2 > keeping["insertion"].high + 0.2
    assert own - 0.01 < forcing["insertion capped"].mean < own
    for metric in ("policy_preservation", "policy_preservation@0.5"):
        assert forcing[metric].low > 5 * keeping[metric].high
    assert forcing["forced_action"].mean == 1 and keeping["forced_action"].mean == 0
