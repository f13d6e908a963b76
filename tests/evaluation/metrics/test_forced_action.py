"""Forced action: an explanation that paints an action is told from one that shows evidence."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import order
from sb3_explain.evaluation.metrics.forced_action import forced_action
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch
from tests.explainers.kinds import agent_of, states_of

N_FEATURES = 20


class Painter(Explainer):
    """It marks the features that speak for the target, by the agent's own weights."""

    name = "painter"

    def explain(self, batch):
        weights = self.agent.view.policy.weight[batch.target]
        return {"": weights * batch.observations}


class Faithful(Explainer):
    """It marks the features that the agent decides by, whatever the target."""

    name = "faithful"

    def explain(self, batch):
        weights = self.agent.view.policy.weight[batch.own_scores.argmax(dim=1)]
        return {"": weights * batch.observations}


@pytest.fixture(scope="module")
def agent():
    net = nn.Linear(N_FEATURES, 3, bias=False)
    with torch.no_grad():
        net.weight.zero_()
        net.weight[0, :10] = 1.0  # ten features speak for the first action
        net.weight[1, 10:14] = 0.9  # and a few for each other one
        net.weight[2, 14:18] = 0.8
    space = spaces.Box(-np.inf, np.inf, (N_FEATURES,), np.float32)
    return Agent.from_module(net, space, spaces.Discrete(3))


def measure(agent, kind, states, **options):
    batch = StateBatch(agent, states).resolve_target()
    explainer = kind(agent)
    ordering = order(explainer.attribute(states))
    rng = np.random.default_rng(0)
    return forced_action(batch, explainer, torch.zeros_like(states), ordering, rng, **options)


def test_a_map_that_forces_an_action_is_told_from_one_that_does_not(agent):
    states = torch.ones(6, N_FEATURES)
    assert (agent.greedy(states) == 0).all()
    assert measure(agent, Painter, states).tolist() == [1.0] * 6
    assert measure(agent, Faithful, states).tolist() == [0.0] * 6


@pytest.mark.parametrize("rank", [2, 3])
def test_slow_loop(agent, rank):
    states = torch.rand(8, N_FEATURES, generator=torch.Generator().manual_seed(0))
    got = measure(agent, Painter, states, rank=rank, share=0.2)
    weights = agent.view.policy.weight.detach().numpy()
    for i, state in enumerate(states.numpy()):
        other = np.argsort(-(weights @ state))[rank - 1]
        best = np.argsort(-(weights[other] * state), kind="stable")[:4]
        shown = np.zeros(N_FEATURES)
        shown[best] = state[best]
        assert got[i] == float(np.argmax(weights @ shown) == other)


def test_the_other_action_is_never_that_of_the_agent(agent):
    asked = []

    class Asking(Painter):
        def explain(self, batch):
            asked.append(batch.target)
            return super().explain(batch)

    states = torch.rand(200, N_FEATURES, generator=torch.Generator().manual_seed(1))
    measure(agent, Asking, states)
    others = torch.cat(asked)[-200:]
    assert (others != agent.greedy(states)).all()
    assert set(others.tolist()) == {1, 2}  # both of them


def test_an_action_that_the_explainer_does_not_know_does_not_count(agent):
    class Half(Painter):
        unknown_targets = frozenset({2})

        def explain(self, batch):
            assert 2 not in batch.target.tolist()
            return super().explain(batch)

    states = torch.rand(40, N_FEATURES, generator=torch.Generator().manual_seed(0))
    half, whole = (measure(agent, kind, states) for kind in (Half, Painter))
    assert 0 < int(half.isnan().sum()) < 40 and not whole.isnan().any()
    assert torch.equal(half[~half.isnan()], whole[~half.isnan()])
    assert (
        measure(agent, Half, states, rank=3)[agent.scores(states).argmin(dim=1) == 2].isnan().all()
    )


def test_where_there_is_no_other_action_there_is_no_value(agent):
    assert measure(agent, Painter, torch.ones(3, N_FEATURES), rank=4).isnan().all()
    box = agent_of("Box")
    batch = states_of("Box").batch(box, [0, 1, 2]).resolve_target()
    seen = batch.observations
    rng = np.random.default_rng(0)
    assert (
        forced_action(batch, Painter(box), torch.zeros_like(seen), order(seen), rng).isnan().all()
    )
