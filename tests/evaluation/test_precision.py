"""Agents in bfloat16: their outputs, the maps of every method, and what these cost in ranks."""

import inspect

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from sb3_explain import Occlusion, evaluate, layer_attributions, make_explainer
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import FittedExplainer
from tests.explainers.kinds import KINDS, QUICK, agent_of, states_of

AGENT = agent_of("image")
STATES = states_of("image")
OBSERVATIONS = STATES.observations(np.arange(8))


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_near_and_float32(kind):
    agent, states = agent_of(kind), states_of(kind)
    half = agent.with_precision("bf16")
    batch = states.batch(agent, np.arange(6))
    seen, inputs = agent.layout.restore(batch.by_key), batch.policy_inputs
    exact, near = (one.scores_and_values(seen, **inputs) for one in (agent, half))
    for expected, found in zip(exact, near, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05, equal_nan=True)
    if half.view.n_critics:
        torch.testing.assert_close(half.critics(seen), agent.critics(seen), rtol=0.05, atol=0.05)


def test_networks_compute_in_bfloat16_and_weights_stay():
    half, seen = AGENT.with_precision("bf16"), []
    layer = next(m for m in half.view.policy.modules() if isinstance(m, torch.nn.Conv2d))
    hook = layer.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    half.scores(OBSERVATIONS)
    AGENT.scores(OBSERVATIONS)
    half.with_precision("float32").scores(OBSERVATIONS)
    hook.remove()
    assert seen == [torch.bfloat16, torch.float32, torch.float32]
    assert half.fingerprint() == AGENT.fingerprint() and half.forwards == len(OBSERVATIONS)
    assert AGENT.precision == "float32" and half.with_precision("bf16").precision == "bf16"
    with pytest.raises(ExplainError, match="did you mean 'bf16'"):
        AGENT.with_precision("bf15")


@pytest.mark.parametrize("name", [n for n, k in EXPLAINERS.items() if not k.unsupported(AGENT)])
def test_every_method_explains_it(name):
    if issubclass(EXPLAINERS[name], FittedExplainer):
        pytest.skip("it learns from an agent in float32")
    known = inspect.signature(EXPLAINERS[name]).parameters
    few = {option: count for option, count in QUICK.items() if option in known}
    half = make_explainer(name, AGENT.with_precision("bf16"), STATES, **few)
    exact = make_explainer(name, AGENT, STATES, **few)
    target = AGENT.greedy(OBSERVATIONS)
    found, expected = (each.attribute(OBSERVATIONS, target) for each in (half, exact))
    assert found.dtype == torch.float32 and bool(found.isfinite().all())
    pairs = zip(found.flatten(1).numpy(), expected.flatten(1).numpy(), strict=True)
    alike = [
        spearmanr(near, far).statistic
        for near, far in pairs
        if np.ptp(far) > 1e-4 * np.abs(far).max()
    ]
    assert not alike or np.mean(alike) > 0.7


def test_what_is_inside_is_float32():
    half = AGENT.with_precision("bf16")
    for layer in half.layers:
        assert half.activations(OBSERVATIONS, layer).dtype == torch.float32
    assert layer_attributions(half, OBSERVATIONS, "action_net").dtype == torch.float32


def test_evaluate_says_what_it_costs():
    half = AGENT.with_precision("bf16")
    found = evaluate(half, STATES, {"mine": Occlusion(half)}, ["sparseness"], n_resamples=50)
    sample = STATES.sample(len(STATES), 0)[:16]
    observations = STATES.observations(sample)
    target = half.greedy(observations)
    pairs = (Occlusion(one).attribute(observations, target).flatten(1) for one in (half, AGENT))
    alike = [spearmanr(a.numpy(), b.numpy()).statistic for a, b in zip(*pairs, strict=True)]
    (mine,) = found.states["rank_correlation_float32"].values()
    assert mine == pytest.approx(np.mean(alike)) and 0.9 < mine < 1
    (said,) = [line for line in found.summary() if "bfloat16" in line]
    assert f"{mine:.3f} (Mine)" in said or f"{mine:.3f} (mine)" in said
    exact = evaluate(AGENT, STATES, ["occlusion"], ["sparseness"], n_resamples=50)
    assert "rank_correlation_float32" not in exact.states
