"""Policy preservation: the divergence of two policies, by hand and in a slow loop."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.stats import entropy, norm
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import order
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.evaluation.metrics.policy_preservation import (
    policy_preservation,
    policy_preservation_at,
)
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from tests.explainers.kinds import agent_of, states_of


def softmax(scores):
    return torch.as_tensor(scores, dtype=torch.float64).softmax(dim=-1).numpy()


def identity(n=4, action_space=None):
    space = spaces.Box(-np.inf, np.inf, (n,), np.float32)
    return Agent.from_module(nn.Identity(), space, action_space or spaces.Discrete(n))


def test_slow_loop_over_steps():
    agent = identity()
    states = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) * 2
    baseline = torch.full_like(states, 0.3)
    ordering = order(torch.rand(5, 4, generator=torch.Generator().manual_seed(1)))
    curves = policy_preservation(StateBatch(agent, states), baseline, ordering, steps=4)
    for i in range(5):
        seen = baseline[i].clone()
        for k in range(5):
            if k:
                seen[ordering[i, k - 1]] = states[i, ordering[i, k - 1]]
            assert curves[i, k] == pytest.approx(
                entropy(softmax(states[i]), softmax(seen)), abs=1e-5
            )
    assert (curves[:, -1] == 0).all()
    at = policy_preservation_at(StateBatch(agent, states), ordering, baseline, share=0.5)
    torch.testing.assert_close(at, curves[:, 2])


def test_several_shares_stand_side_by_side():
    """A table of three shares, against a loop over states."""
    agent = identity(20)
    vectors = 2 * np.random.default_rng(0).normal(size=(12, 20)).astype(np.float32)
    states = StateDataset.from_arrays(vectors, np.arange(12) // 2, vectors.argmax(axis=1))
    shares = (0.05, 0.1, 0.2)
    names = [f"policy_preservation@{share}" for share in shares]
    evaluation = evaluate(
        agent, states, [], names, baseline=lambda observed: 0 * observed, n_resamples=10
    )
    values = evaluation.values["gradient"]
    assert list(values) == names
    for i, state in enumerate(vectors):
        attribution = Gradient(agent).attribute(torch.from_numpy(vectors[[i]]))[0].numpy()
        best = np.argsort(-attribution, kind="stable")
        for share, name in zip(shares, names, strict=True):
            shown = np.zeros(20)
            shown[best[: round(20 * share)]] = state[best[: round(20 * share)]]
            expected = entropy(softmax(state), softmax(shown))
            assert values[name][i] == pytest.approx(expected, abs=1e-5)
    assert len({float(values[name].mean()) for name in names}) == 3


def test_a_surer_agent_is_no_closer_to_its_policy():
    """Insertion rewards the first map and this metric the second."""
    agent = identity(2)
    state, baseline = torch.tensor([[1.0, 0.5]]), torch.zeros(1, 2)
    surer, both = torch.tensor([[0, 1]]), torch.tensor([[1, 0]])
    batch = StateBatch(agent, state, 0)
    probability = [batch.preference(torch.tensor([[1.0, 0.0]])), batch.preference(state)]
    assert probability[0] > probability[1]
    shown = [policy_preservation_at(batch, o, baseline, share=0.5) for o in (surer, both)]
    expected = [entropy(softmax([1, 0.5]), softmax(seen)) for seen in ([1, 0], [0, 0.5])]
    np.testing.assert_allclose([float(one) for one in shown], expected, atol=1e-6)


def test_of_several_sub_actions_that_of_the_target_counts():
    agent = identity(5, spaces.MultiDiscrete([2, 3]))
    batch = StateBatch(agent, torch.tensor([[2.0, 0.0, 1.0, 0.0, 0.0]]), 2)
    seen = torch.tensor([[9.0, -9.0, 0.0, 0.0, 3.0]])
    expected = entropy(softmax([1, 0, 0]), softmax([0, 0, 3]))
    assert float(batch.divergence(seen)) == pytest.approx(expected, abs=1e-6)


def test_of_a_box_action_the_targets_dimension_counts():
    agent = agent_of("Box")
    states = states_of("Box")
    batch = states.batch(agent, np.arange(4)).with_target(1)
    copies = batch.observations + 0.3
    mean, std = batch._marginals(batch.observations, None)
    there, width = batch._marginals(copies, None)
    x = np.linspace(-60, 60, 400_001)
    for i in range(4):
        p = norm.logpdf(x, float(mean[i, 1]), float(std[i, 1]))
        q = norm.logpdf(x, float(there[i, 1]), float(width[i, 1]))
        expected = np.trapezoid(np.exp(p) * (p - q), x)
        assert float(batch.divergence(copies)[i]) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert (batch.divergence(copies) > 0).all()


def test_an_action_that_is_masked_out_has_no_part():
    agent = identity(3)
    batch = StateBatch(agent, torch.tensor([[1.0, 0.0, -1e8]]), 0)
    far = batch.divergence(torch.tensor([[0.0, 1.0, 50.0]]))
    assert torch.isfinite(far).all() and float(far) > 1
    assert float(batch.divergence(batch.observations)) == 0
