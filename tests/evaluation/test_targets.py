"""Metrics of any target: which measure it, and what those compute that do."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.parameter_randomization import parameter_randomization
from sb3_explain.evaluation.targets import OF_ACTIONS, OF_QUANTITIES
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.states.dataset import StateDataset
from tests.toys import dot_agent, dot_states

AGENT = dot_agent()
STATES = dot_states(AGENT, 40, length=10)
QUICK = {"n_resamples": 20, "batch_size": 8}


def boxes():
    """A box of some pixels in each state."""
    inside = np.zeros((len(STATES), 24, 24), bool)
    inside[:, 4:9, 4:9] = True
    return inside


def test_every_metric_measures_the_value_or_is_one_of_actions():
    explainer = EXPLAINERS["occlusion"](AGENT)
    options = {"n_evaluated": 8, "boxes": boxes(), "target": "value", **QUICK}
    row = evaluate(AGENT, STATES, [explainer], **options).rows["occlusion"]
    assert not row.failures
    assert not set(row.intervals) & OF_ACTIONS
    assert {"sparseness", *OF_QUANTITIES} <= set(row.intervals)
    assert all(np.isfinite(values).any() for values in row.values.values())
    assert set(METRICS) >= OF_ACTIONS


@pytest.mark.parametrize("name", sorted(OF_QUANTITIES))
def test_metrics_of_quantities_refuse_actions_in_one_line_and_are_left_out(name):
    explainer = EXPLAINERS["occlusion"](AGENT)
    with pytest.raises(ExplainError, match=f"{name} asks by how much a quantity changes"):
        evaluate(AGENT, STATES, [explainer], [name], **QUICK)
    found = evaluate(AGENT, STATES, [], n_evaluated=2, target="left", **QUICK)
    assert name not in found.rows["gradient"].intervals
    assert "insertion" in found.rows["gradient"].intervals


def test_value_preservation_is_a_slow_loop_over_steps():
    explainer = EXPLAINERS["occlusion"](AGENT)
    options = {"target": "value", "baseline": "black", "n_evaluated": 3, **QUICK}
    metrics = {"value_preservation": {"steps": 4}}
    found = evaluate(AGENT, STATES, [explainer], metrics, **options)
    sample = STATES.sample(3, 0)
    observations = STATES.observations(sample).float()
    attributions = explainer.attribute(observations, "value").abs().flatten(1)
    for number, (own, state) in enumerate(zip(attributions, observations, strict=True)):
        order, curve = own.argsort(descending=True, stable=True), []
        for k in range(5):
            seen = torch.zeros_like(state).flatten()
            some = order[: round(k * len(order) / 4)]
            seen[some] = state.flatten()[some]
            values = AGENT.values(torch.stack([seen.view(state.shape), state]))
            curve.append(float((values[0] - values[1]).abs()))
        area = sum((a + b) / 2 for a, b in pairwise(curve)) / 4
        measured = found.values["occlusion"]["value_preservation"][number]
        assert measured == pytest.approx(area, abs=1e-5) and area > 0


@pytest.mark.parametrize("name", sorted(OF_ACTIONS))
def test_metrics_of_actions_refuse_the_value_in_one_line(name):
    explainer = EXPLAINERS["occlusion"](AGENT)
    with pytest.raises(ExplainError, match=f"{name} asks how probable an action is, and value"):
        evaluate(AGENT, STATES, [explainer], [name], target="value", **QUICK)


def test_the_maps_that_are_measured_are_those_of_the_target():
    explainer = EXPLAINERS["occlusion"](AGENT)
    measured = {}
    for target in ("value", "left", 0, "left - right"):
        found = evaluate(AGENT, STATES, [explainer], ["sparseness"], target=target, **QUICK)
        measured[target] = found.values["occlusion"]["sparseness"]
        assert found.states["target"] == ("left" if target == 0 else target)
    assert np.array_equal(measured["left"], measured[0])
    assert not np.array_equal(measured["left"], measured["value"])
    batch = STATES.batch(AGENT, np.arange(len(STATES)), "value")
    attributions = explainer.attribute_batch(batch)[""].abs()
    for own, value in zip(attributions, measured["value"], strict=True):
        flat = own.flatten().double().sort().values
        n, ranks = len(flat), torch.arange(1, len(flat) + 1).double()
        if flat.sum() > 0:
            gini = 2 * (ranks * flat).sum() / (n * flat.sum()) - (n + 1) / n
            assert value == pytest.approx(float(gini), abs=1e-5)


def test_insertion_of_a_named_action_starts_from_its_own_probability():
    explainer = EXPLAINERS["occlusion"](AGENT)
    options = {"target": "right", "n_evaluated": 6, **QUICK}
    found = evaluate(AGENT, STATES, [explainer], ["insertion"], **options)
    sample = STATES.sample(6, 0)
    own = AGENT.probabilities(STATES.observations(sample))[:, 2].mean()
    assert found.states["own_probability"] == pytest.approx(float(own), abs=1e-6)


def test_an_explainer_of_actions_alone_has_no_value_and_the_others_stand():
    explainers = [EXPLAINERS["sarfa"](AGENT), EXPLAINERS["occlusion"](AGENT)]
    found = evaluate(AGENT, STATES, explainers, ["sparseness"], target="value", **QUICK)
    assert "sarfa explains actions, not value" in found.rows["sarfa"].failures["sparseness"]
    assert np.isfinite(found.values["occlusion"]["sparseness"]).any()


def test_an_unknown_target_is_refused_before_anything_is_measured():
    with pytest.raises(ExplainError, match="unknown target 'LEEFT'; did you mean 'left'"):
        evaluate(AGENT, STATES, [EXPLAINERS["occlusion"](AGENT)], target="LEEFT")


def test_weights_are_randomised_for_any_target():
    result = parameter_randomization(
        dense := table_agent(), dense_states(), ["gradient"], target="left - right",
        n_evaluated=6, n_resamples=20, progress=False,
    )  # fmt: skip
    alike = result.values["gradient"]
    assert np.allclose(alike["nothing"]["spearman"], 1)
    assert not np.allclose(alike[result.layers[1]]["spearman"], 1)
    assert dense.target_names[:2] == ("left", "right")


def table_agent():
    """Two actions by a network of two layers."""
    from gymnasium import spaces
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    space = spaces.Box(-1, 1, (6,), np.float32)
    return Agent.from_module(layers, space, spaces.Discrete(2), action_names=["left", "right"])


def dense_states():
    """States of :func:`table_agent`."""
    rows = np.random.default_rng(0).uniform(-1, 1, (20, 6)).astype(np.float32)
    return StateDataset.from_arrays(rows, np.arange(20) // 5, np.zeros(20, int))


def test_what_is_said_of_a_named_action_is_a_slow_loop_over_the_policy():
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0, device="cpu")
    with torch.no_grad():
        model.policy.action_net.weight.mul_(200)
    agent = Agent.from_model(model)
    rows = np.random.default_rng(0).uniform(-1, 1, (60, 4)).astype(np.float32)
    states = StateDataset.from_arrays(rows, np.arange(60) // 6, np.zeros(60, int))
    options = {"target": "left", "baseline": "black", "n_resamples": 50}
    named = {"slopes": EXPLAINERS["gradient"](agent)}  # the gradient itself is a control
    found = evaluate(agent, states, named, ["accuracy@0.25", "insertion"], **options)

    def probabilities(observation):
        with torch.no_grad():
            given = model.policy.get_distribution(torch.as_tensor(observation)[None])
        return given.distribution.probs[0].numpy()

    stays, taken, own = [], [], []
    for row in rows:
        moved = torch.tensor(row[None], requires_grad=True)
        latent = model.policy.mlp_extractor.forward_actor(moved)
        (slope,) = torch.autograd.grad(model.policy.action_net(latent)[0, 0], moved)
        shown = np.zeros(4, np.float32)
        highest = int(slope[0].abs().argmax())
        shown[highest] = row[highest]
        stays.append(probabilities(shown).argmax() == 0)
        taken.append(model.predict(row, deterministic=True)[0] == 0)
        own.append(probabilities(row)[0])
    assert 0.1 < np.mean(stays) < 0.9 and abs(np.mean(stays) - np.mean(taken)) > 0.01
    assert found.intervals["slopes"]["accuracy@0.25"].mean == pytest.approx(np.mean(stays))
    assert found.states["target_taken"] == pytest.approx(np.mean(taken))
    said = " ".join(found.summary()).replace("\N{NO-BREAK SPACE}", " ")
    assert f"the agent takes left in {np.mean(stays) * 100:.0f} % of the 60 states" in said
    assert f"the agent takes left in {np.mean(taken) * 100:.0f} % of the states." in said
    assert f"the mean probability of left is {np.mean(own):.3f}" in said
    assert "agent's action" not in said and "same action" not in said


@pytest.mark.parametrize("target", [None, "value", "left - right"])
def test_how_often_a_target_is_taken_is_said_of_named_actions_alone(target):
    found = evaluate(AGENT, STATES, [], ["sparseness"], target=target, n_evaluated=4, **QUICK)
    assert "target_taken" not in found.states
