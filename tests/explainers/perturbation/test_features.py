"""Feature ablation against Captum, Kernel SHAP against the definition of Shapley values."""

from itertools import combinations, permutations
from math import factorial

import numpy as np
import pytest
import torch
from captum import attr
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.perturbation.feature_ablation import FeatureAblation
from sb3_explain.explainers.perturbation.kernel_shap import KernelSHAP, sample_sets
from sb3_explain.states.dataset import StateDataset
from tests.agents.loading.models import CASES, make_model
from tests.explainers.known import known_agent, known_states

#: the features that the agent below reads, of eight
READ = (1, 4, 6)


def mlp(n_in, n_out, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(n_in, 16), nn.ReLU(), nn.Linear(16, n_out))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net


class Reads(nn.Module):
    """A network that is not linear, of three features."""

    def __init__(self, n_scores):
        super().__init__()
        self.net = mlp(len(READ), n_scores)

    def forward(self, observations):
        return self.net(observations[:, READ])


def agent_of(module, n_features, action_space=None):
    space = spaces.Box(-3, 3, (n_features,), np.float32)
    return Agent.from_module(module, space, action_space or spaces.Discrete(3))


def shapley_values(value, n_features):
    """phi_j = sum over S without j of |S|! (M - |S| - 1)! / M! (v(S + j) - v(S))."""
    phi = []
    for j in range(n_features):
        others, total = [i for i in range(n_features) if i != j], 0.0
        for size in range(n_features):
            weight = factorial(size) * factorial(n_features - size - 1) / factorial(n_features)
            for inside in combinations(others, size):
                total += weight * (value({*inside, j}) - value({*inside}))
        phi.append(total)
    return phi


def readings(agent, state, baseline):
    """Score of every choice by the set of features that are as they are, one pass a set."""
    known = {}

    def read(inside):
        key = frozenset(inside)
        if key not in known:
            row = baseline.clone()
            row[list(key)] = state[list(key)]
            known[key] = agent.scores(row[None])[0].double().numpy()
        return known[key]

    return read


def test_kernel_shap_of_eight_features_is_exact():
    agent = agent_of(mlp(8, 3), 8)
    states = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    baseline = torch.linspace(-1, 1, 8)
    explainer = KernelSHAP(agent, baseline=lambda s: baseline.expand(s.shape))
    found = explainer.attribute_all(states)
    for i, state in enumerate(states):
        expected = np.array(shapley_values(readings(agent, state, baseline), 8)).T
        np.testing.assert_allclose(found[i], expected, atol=1e-5)
    assert explainer.forwards_per_state == 256


def test_kernel_shap_is_the_mean_over_orders():
    agent = agent_of(mlp(4, 3), 4)
    state = torch.tensor([1.0, -2.0, 0.5, 1.5])
    read = readings(agent, state, torch.zeros(4))
    expected = np.zeros(4)
    for order in permutations(range(4)):
        for place, j in enumerate(order):
            expected[j] += (read(order[: place + 1]) - read(order[:place]))[2] / factorial(4)
    np.testing.assert_allclose(KernelSHAP(agent).attribute(state[None], 2)[0], expected, atol=1e-5)


def test_sampled_sets_come_near_and_add_up():
    agent = agent_of(mlp(13, 3), 13)
    states = torch.randn(4, 13, generator=torch.Generator().manual_seed(0))
    exact = KernelSHAP(agent, n_samples=2**13).attribute(states)
    sampled = KernelSHAP(agent, n_samples=1000)
    assert 500 < sampled.forwards_per_state <= 1000
    found = sampled.attribute(states)
    target = agent.greedy(states)[:, None]
    difference = (agent.scores(states) - agent.scores(torch.zeros(1, 13))).gather(1, target)
    torch.testing.assert_close(found.sum(dim=1, keepdim=True), difference)
    assert (found - exact).abs().max() < 0.1 * exact.abs().max()
    few = KernelSHAP(agent, n_samples=100).attribute(states)
    assert (few - exact).abs().mean() > (found - exact).abs().mean()


def test_sizes_are_drawn_from_the_shapley_kernel():
    sets, weights = sample_sets(6, 40_002, seed=0)
    assert not sets[0].any() and sets[1].all() and (weights[:2] == 0).all()
    drawn = np.bincount(sets.sum(axis=1), weights, minlength=6)[1:6]
    kernel = 1 / np.array([5, 8, 9, 8, 5])  # k (M - k)
    np.testing.assert_allclose(drawn / drawn.sum(), kernel / kernel.sum(), atol=0.01)
    number = {tuple(row): weight for row, weight in zip(sets, weights, strict=True)}
    assert all(number[tuple(~row)] == number[tuple(row)] for row in sets)


def test_sampled_sets_are_exact_for_a_linear_agent():
    torch.manual_seed(0)
    net = nn.Linear(20, 3)
    agent, states = agent_of(net, 20), torch.randn(2, 20)
    found = KernelSHAP(agent, n_samples=200).attribute(states, torch.tensor([0, 2]))
    expected = states * net.weight.detach()[[0, 2]]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_seed_decides_the_sets():
    agent = agent_of(mlp(13, 3), 13)
    sets = [KernelSHAP(agent, n_samples=100, seed=seed).sets for seed in (0, 0, 1)]
    assert torch.equal(sets[0], sets[1]) and not torch.equal(sets[0][:60], sets[2][:60])


def test_one_feature_has_it_all():
    agent = agent_of(mlp(1, 3), 1)
    found = KernelSHAP(agent).attribute(torch.tensor([[2.0]]), 1)
    expected = (agent.scores(torch.tensor([[2.0]])) - agent.scores(torch.zeros(1, 1)))[0, 1]
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_feature_ablation_is_captums():
    agent = Agent.from_model(make_model(CASES["ppo-multidiscrete"]))
    states, baseline = torch.randn(4, 5), torch.full((4, 5), 0.3)
    target = torch.tensor([0, 4, 8, 2])
    theirs = attr.FeatureAblation(agent.scores).attribute(states, baseline, target=target)
    explainer = FeatureAblation(agent, baseline=lambda s: torch.full_like(s, 0.3))
    torch.testing.assert_close(explainer.attribute(states, target), theirs)


def test_cells_of_images_are_ablated_only_when_told():
    torch.manual_seed(0)
    space = spaces.Box(0, 255, (1, 4, 5), np.uint8)
    agent = Agent.from_module(
        nn.Sequential(nn.Flatten(), nn.Linear(20, 3)), space, spaces.Discrete(3)
    )
    for explainer in (FeatureAblation, KernelSHAP):
        with pytest.raises(ExplainError, match="occlusion does"):
            explainer(agent)
    images = torch.rand(2, 1, 4, 5) * 255
    theirs = attr.FeatureAblation(agent.scores).attribute(images, target=torch.tensor([2, 0]))
    said = FeatureAblation(agent, images=True)
    torch.testing.assert_close(said.attribute(images, torch.tensor([2, 0])), theirs)
    assert said.forwards_per_state == 21


@pytest.mark.parametrize("explainer", [FeatureAblation, KernelSHAP])
def test_a_dict_has_features_and_a_held_image(explainer):
    agent = Agent.from_model(make_model(CASES["ppo-dict"]))
    rng = np.random.default_rng(0)
    states = {
        "image": torch.from_numpy(rng.integers(0, 256, (3, 1, 36, 36))).float(),
        "kind": torch.tensor([2, 0, 1]),
        "vector": torch.from_numpy(rng.uniform(-1, 1, (3, 4))).float(),
    }
    found = explainer(agent).attribute(states, 1)
    assert not found["image"].any()
    assert found["kind"].shape == (3,)
    assert found["kind"].abs()[1] < 1e-6 < found["kind"].abs()[2]  # the second has its baseline
    black = {"image": states["image"], "kind": torch.zeros(3), "vector": torch.zeros(3, 4)}
    if explainer is KernelSHAP:
        difference = (agent.scores(states) - agent.scores(black))[:, 1]
        torch.testing.assert_close(found["kind"] + found["vector"].sum(dim=1), difference)
    else:
        without = agent.scores({**states, "kind": torch.zeros(3)})
        torch.testing.assert_close(found["kind"], (agent.scores(states) - without)[:, 1])


@pytest.mark.parametrize("explainer", [FeatureAblation, KernelSHAP])
@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(3),
        spaces.Box(-1, 1, (2,)),
    ],
    ids=lambda space: type(space).__name__,
)
def test_known_features_have_the_mass(explainer, space):
    n_scores = {"Discrete": 3, "MultiDiscrete": 5, "MultiBinary": 3, "Box": 2}
    agent = agent_of(Reads(n_scores[type(space).__name__]), 8, space)
    attributions = explainer(agent).attribute_all(torch.randn(30, 8)).abs()
    assert attributions.shape == (30, agent.n_targets, 8)
    assert (attributions[..., READ].sum() >= 0.99 * attributions.sum()) and attributions[
        ..., READ
    ].min() >= 0
    assert (attributions[..., READ].mean(dim=(0, 1)) > 0).all()


@pytest.mark.parametrize("explainer", [FeatureAblation, KernelSHAP])
def test_all_targets_share_their_passes(explainer):
    agent = known_agent("multi_discrete")
    observed = known_states(agent, 200).observations(range(200))  # more than one pass has rows
    shared = explainer(agent)
    before = agent.forwards
    attributions = shared.attribute_all(observed)
    assert agent.forwards - before <= 200 * (shared.forwards_per_state + 1)
    for action in range(agent.n_targets):
        torch.testing.assert_close(attributions[:, action], shared.attribute(observed, action))


def test_smaller_passes_give_the_same_maps(monkeypatch):
    agent = agent_of(mlp(8, 3), 8)
    states, rows = torch.randn(7, 8), []
    read = agent.view.scores
    monkeypatch.setattr(
        agent.view, "scores", lambda o, lstm_states: rows.append(len(o)) or read(o, lstm_states)
    )
    for explainer in (FeatureAblation, KernelSHAP):
        whole = explainer(agent).attribute(states, 1)
        assert max(rows) > 3
        rows.clear()
        torch.testing.assert_close(
            explainer(agent, max_batch_bytes=3 * 32).attribute(states, 1), whole
        )
        assert max(rows) <= 3


def test_baselines_of_categories_are_fitted():
    agent = Agent.from_model(make_model(CASES["a2c-discrete-observation"]))
    states = StateDataset.from_arrays(np.array([1, 4, 4, 5, 2]), np.zeros(5), np.zeros(5, int))
    found = FeatureAblation(agent, states=states).attribute(torch.tensor([5, 4]), 3)
    difference = agent.scores(torch.tensor([5])) - agent.scores(torch.tensor([4]))
    torch.testing.assert_close(found, torch.stack([difference[0, 3], torch.zeros(())]))


def test_impossible_settings():
    agent = agent_of(mlp(13, 3), 13)
    with pytest.raises(ExplainError, match="give a larger n_samples"):
        KernelSHAP(agent, n_samples=10)
    with pytest.raises(ExplainError, match="at least 4 sets"):
        KernelSHAP(agent, n_samples=1)
    with pytest.raises(ExplainError, match="did you mean 'black'"):
        KernelSHAP(agent, baseline="blakc")
