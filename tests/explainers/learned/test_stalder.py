"""Explainer (Stalder et al.): its loss from the definition, on one and on several sub-actions."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.learned.stalder import Stalder
from tests.explainers.kinds import agent_of, states_of
from tests.explainers.known import corner_agent, corner_states, known_agent, known_states

QUIET = {"precision": "no", "progress": False}


def softmax(z):
    e = np.exp(np.asarray(z) - max(z))
    return e / e.sum()


def bounds(mask):
    """The sorted mask between a step of a twentieth and one of three tenths of the cells."""
    pixels = sorted(mask.flatten().tolist(), reverse=True)
    n = len(pixels)
    lacking = sum(max(1 - pixel, 0) for i, pixel in enumerate(pixels) if i < 0.05 * n)
    excess = sum(max(pixel - (i < 0.3 * n), 0) for i, pixel in enumerate(pixels))
    return (lacking + excess) / n


def variation(mask):
    """Mean absolute differences of neighbours in the rows and in the columns, of (F, H, W)."""
    return float(np.abs(np.diff(mask, axis=1)).mean() + np.abs(np.diff(mask, axis=2)).mean())


def expected_terms(explainer, states, n):
    """One state, one sub-action and one choice at a time."""
    agent = explainer.agent
    space = agent.action_space
    sizes = [space.n] if isinstance(space, spaces.Discrete) else space.nvec.tolist()
    observations = states.observations(np.arange(n)).float()
    baseline = explainer.baseline(observations)
    batch = explainer.batch(states, np.arange(n))
    with torch.no_grad():
        masks = explainer.masks(explainer.network, batch)[""]
    totals = dict.fromkeys(
        ("cross_entropy", "negative_entropy", "total_variation", "bounds", "mean"), 0.0
    )
    for b in range(n):
        first = 0
        for size in sizes:
            own = slice(first, first + size)
            first += size
            target = int(agent.scores(observations[b : b + 1])[0, own].argmax())
            group = masks[b, own].numpy()
            m = group[target]
            rest = [group[i] for i in range(size) if i != target]
            others = np.max(rest, axis=0) if rest else np.zeros_like(m)
            s, r = observations[b].numpy(), baseline[b].numpy()
            stored = agent.scores(torch.from_numpy((s * m + r * (1 - m))[None]))[0, own].tolist()
            left = agent.scores(torch.from_numpy((s * (1 - m) + r * m)[None]))[0, own].tolist()
            p = softmax(left)
            share = 1 / len(sizes) / n
            totals["cross_entropy"] -= math.log(softmax(stored)[target]) * share
            totals["negative_entropy"] += (p * np.log(p)).mean() * share
            if m.ndim == 3:
                totals["total_variation"] += (variation(m) + variation(others)) * share
            totals["bounds"] += bounds(m) * share
            totals["mean"] += (0.1 * m.mean() + 0.3 * others.mean()) * share
    return totals


def compare(explainer, states, n=4):
    with torch.no_grad():
        ours = explainer.losses(explainer.network, states, np.arange(n))
    expected = expected_terms(explainer, states, n)
    for name, value in expected.items():
        assert float(ours[name]) == pytest.approx(value, abs=2e-6, rel=1e-5), name
    weights = {"cross_entropy": 1, "negative_entropy": 2, "total_variation": 3, "bounds": 4}
    total = sum(weights.get(name, 1) * value for name, value in expected.items())
    assert float(ours["loss"]) == pytest.approx(total, abs=1e-5)


WEIGHTED = {"lambda_e": 2.0, "lambda_tv": 3.0, "lambda_a": 4.0}


def test_the_loss_of_images_is_the_definition():
    agent = corner_agent()
    states = corner_states(agent, 60)
    explainer = Stalder(agent, **WEIGHTED)
    explainer.fit(states.subset(range(40)), states.subset(range(40, 60)), epochs=2, **QUIET)
    compare(explainer, states)


@pytest.mark.parametrize("kind", ["discrete", "multi_discrete"])
def test_the_loss_of_vectors_is_the_definition(kind):
    agent = known_agent(kind)
    states = known_states(agent, 200)
    explainer = Stalder(agent, **WEIGHTED)
    explainer.fit(states.subset(range(150)), states.subset(range(150, 200)), **QUIET)
    compare(explainer, states)


def test_a_sub_action_without_alternative_has_no_other_masks():
    net = torch.nn.Linear(8, 3)
    agent = Agent.from_module(net, spaces.Box(-1, 1, (8,)), spaces.MultiDiscrete([2, 1]))
    states = known_states(agent, 20)
    explainer = Stalder(agent, baseline="black")
    expected = expected_terms(explainer, states, 3)
    ours = explainer.losses(explainer.network, states, np.arange(3))
    assert float(ours["mean"].detach()) == pytest.approx(expected["mean"], rel=1e-5)
    ours["loss"].backward()
    assert all(p.grad.isfinite().all() for p in explainer.network.parameters())


def test_the_temperature_divides_the_scores():
    agent = known_agent("discrete")
    states = known_states(agent, 8)
    plain = Stalder(agent, baseline="black")
    sharp = Stalder(agent, baseline="black", temperature=0.5)
    halved = sharp.losses(sharp.network, states, np.arange(8))
    with torch.no_grad():
        agent.view.policy.weights.mul_(2)
    doubled = plain.losses(plain.network, states, np.arange(8))
    for name, term in doubled.items():
        torch.testing.assert_close(halved[name], term)


@pytest.mark.parametrize("kind", ["recurrent", "action masks"])
def test_memory_and_action_masks_are_held(kind):
    agent, states = agent_of(kind), states_of(kind)
    explainer = Stalder(agent)
    explainer.fit(
        states.subset(range(24)), states.subset(range(24, 32)), epochs=1, batch_size=8, **QUIET
    )
    terms = explainer.losses(explainer.network, states, np.arange(6))
    assert all(term.isfinite() for term in terms.values())
    batch = explainer.batch(states, np.arange(6))
    masks = explainer.masks(explainer.network, batch)
    of_target = {n: mask[torch.arange(6), batch.target][:, None] for n, mask in masks.items()}
    seen = explainer.blend(of_target, batch)[0]
    log_probabilities = agent.scores(
        {name: rows[:, 0] for name, rows in seen.items()}, **states.policy_inputs(np.arange(6))
    ).log_softmax(dim=1)
    expected = -log_probabilities[torch.arange(6), batch.target].mean()
    torch.testing.assert_close(terms["cross_entropy"], expected)


def test_continuous_actions_are_refused():
    with pytest.raises(ExplainError, match=r"stalder does not support this agent: .*Box"):
        Stalder(known_agent("box"))
