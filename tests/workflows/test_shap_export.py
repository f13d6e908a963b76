"""What to_shap returns is drawn by shap itself."""

import re
import warnings

import gymnasium
import matplotlib.pyplot
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import nn

from sb3_explain import Agent, collect, make_explainer, to_shap

pytestmark = pytest.mark.slow  # shap takes long to import


@pytest.fixture(scope="module")
def agent():
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0, device="cpu").learn(64)
    return Agent.from_model(model)


@pytest.fixture(scope="module")
def states(agent):
    return collect(agent, n_states=60, max_per_episode=10, render=False, progress=False)


@pytest.fixture
def shap():
    """shap, whose figures are drawn in memory, and closed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import shap

    yield shap
    plt.close("all")


def read_texts(axes):
    return [text.get_text() for text in axes.findobj() if hasattr(text, "get_text")]


@pytest.mark.parametrize("name", ["kernel_shap", "feature_ablation", "input_x_gradient"])
def test_a_beeswarm_is_drawn_without_a_warning(agent, states, shap, name):
    made = to_shap(agent, states, name, target=1, states=states)
    assert isinstance(made, shap.Explanation) and made.shape == (60, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = shap.plots.beeswarm(made, show=False)
    said = read_texts(axes.figure)
    assert set(agent.feature_names[""]) <= set(said)
    points = [each.get_offsets() for each in axes.collections if len(each.get_offsets())]
    drawn = np.sort(np.concatenate(points)[:, 0])
    assert len(drawn) == made.values.size
    np.testing.assert_allclose(drawn, np.sort(made.values.flatten()), atol=1e-6)


def test_a_waterfall_goes_from_the_baseline_to_the_score(agent, states, shap):
    explainer = make_explainer("kernel_shap", agent, states, baseline="mean")
    made = to_shap(agent, states, explainer, target=1)
    observed = states.observations(np.arange(60))
    scores = agent.scores(observed)[:, 1].detach().numpy()
    np.testing.assert_allclose(made.values.sum(axis=1) + made.base_values, scores, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = shap.plots.waterfall(made[7], show=False)
    said = " ".join(read_texts(axes.figure))
    for name in agent.feature_names[""]:
        assert name in said
    shown = re.findall(r"\$ = (-?\d+\.?\d*)\$", said.replace("\N{MINUS SIGN}", "-"))
    ends = {round(float(number), 3) for number in shown}
    assert ends == {round(float(made.base_values[7]), 3), round(float(scores[7]), 3)}


@pytest.mark.parametrize("name", ["kernel_shap", "integrated_gradients"])
@pytest.mark.parametrize("target", ["left", "value", "left - right"])
def test_base_values_are_the_scores_on_the_baseline(agent, states, name, target):
    mean = torch.full((4,), 0.25)
    explainer = make_explainer(name, agent, baseline=lambda seen: mean.expand_as(seen))
    made = to_shap(agent, states, explainer, target)
    read = {
        "left": lambda seen: agent.scores(seen)[:, 0],
        "value": agent.values,
        "left - right": lambda seen: agent.scores(seen)[:, 0] - agent.scores(seen)[:, 1],
    }[target]
    np.testing.assert_allclose(made.base_values, float(read(mean[None])[0]), atol=1e-4)
    scores = read(states.observations(np.arange(60))).detach().numpy()
    np.testing.assert_allclose(made.values.sum(axis=1) + made.base_values, scores, atol=1e-5)
    assert made.output_names == target and made[3].output_names == target


def test_a_sum_that_misses_the_score_is_said_and_not_hidden_in_the_base_values(caplog):
    """An agent that jumps, and integrated gradients of so few steps that they miss where."""

    class Jump(nn.Module):
        def forward(self, seen):
            return torch.tanh(400 * (seen[:, :1] - 0.513)) * torch.tensor([[1.0, -1.0]])

    agent = Agent.from_module(Jump(), spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2))
    observations = np.array([[1.0, 0.0], [0.2, 0.0]], np.float32)
    made = to_shap(agent, observations, "integrated_gradients", 0, n_steps=4)
    np.testing.assert_allclose(made.base_values, -1, atol=1e-6)
    missed = np.abs(np.array([1, -1]) - made.base_values - made.values.sum(axis=1)).max()
    (line,) = [r.getMessage() for r in caplog.records if "miss" in r.getMessage()]
    assert f"by up to {missed:.2g} of the 2 that" in line and "n_steps" in line


def test_what_does_not_add_up_has_no_base_values(agent, states, shap, caplog):
    made = to_shap(agent, states, "feature_ablation", target=1)
    assert made.base_values is None and made.output_names == "right"
    (line,) = [r.getMessage() for r in caplog.records if "base values" in r.getMessage()]
    assert "feature_ablation" in line and "integrated_gradients and kernel_shap do" in line
    with pytest.raises(TypeError):
        shap.plots.waterfall(made[7], show=False)
    for draw in (shap.plots.beeswarm, shap.plots.bar):
        draw(made, show=False)
        matplotlib.pyplot.close("all")


def test_targets_of_their_own_have_one_name(agent, states):
    greedy = agent.greedy(states.observations(np.arange(60)))
    made = to_shap(agent, states, target=None)
    several = len(set(greedy.tolist())) > 1
    assert made.output_names == ("each state's own target" if several else "left")


def test_one_observation_of_the_value_is_drawn(agent, shap):
    observation, _ = gymnasium.make("CartPole-v1").reset(seed=0)
    made = to_shap(agent, observation, "kernel_shap", target="value")
    assert made.shape == (1, 4)
    value = float(agent.values(agent.tensor(observation[None]))[0])
    np.testing.assert_allclose(made.values.sum(axis=1) + made.base_values, value, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shap.plots.waterfall(made[0], show=False)
        shap.plots.bar(made, show=False)


def test_a_feature_that_never_varies_is_named(agent, states, caplog):
    rows = states.observations(np.arange(20)).clone()
    rows[:, 1] = 0.25
    to_shap(agent, rows, "integrated_gradients", target=1)
    name = agent.feature_names[""][1]
    assert [r.getMessage() for r in caplog.records] == [
        f"{name} never changes in these states: nothing can be said about it."
    ]
    caplog.clear()
    to_shap(agent, rows[:1], "integrated_gradients", target=1)
    assert not caplog.records
