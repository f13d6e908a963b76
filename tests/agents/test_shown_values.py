"""Under a feature's name stands its value in its own unit, not what VecNormalize made of it."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.envs.recipe import Normalizer
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.explainers.make import make_explainer
from sb3_explain.explainers.showing import Look, list_panels
from sb3_explain.report.panels import BarPanel
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.feature_pictures import describe_values
from sb3_explain.workflows.pictures import make_examples

RNG = np.random.default_rng(0)


def normalizer(shape) -> Normalizer:
    return Normalizer(RNG.normal(size=shape), RNG.uniform(0.1, 9, shape), 1e-8, 10.0)


def vector_agent(n: int, statistics: Normalizer | None, n_stack: int = 1) -> Agent:
    return Agent.from_module(
        nn.Linear(n, 2), spaces.Box(-9, 9, (n,)), spaces.Discrete(2), n_stack=n_stack,
        normalizers={} if statistics is None else {"": statistics},
        feature_names=["angle (rad)", "speed (m/s)"],
    )  # fmt: skip


@pytest.mark.parametrize(("n", "frames"), [(2, 1), (6, 1), (6, 3)])
def test_values_are_those_before_the_normalization(n, frames):
    statistics = normalizer((n // frames,))
    agent = vector_agent(n, statistics, n_stack=n // 2)
    raw = RNG.normal(size=(5, frames, n // frames))
    seen = torch.from_numpy(statistics(raw).reshape(5, n))
    np.testing.assert_allclose(show_values(agent, {"": seen}), raw.reshape(5, n), atol=1e-5)
    assert name_features(agent, {"": n})[-2:] == ["angle (rad)", "speed (m/s)"]


def test_what_was_zero_is_zero_again_and_what_is_not_normalized_stays():
    statistics = normalizer((2,))
    seen = torch.from_numpy(statistics(np.zeros((1, 2))))
    assert show_values(vector_agent(2, statistics), {"": seen}).tolist() == [[0.0, 0.0]]
    assert torch.equal(show_values(vector_agent(2, None), {"": seen}), seen.double())


def test_what_cannot_be_undone_is_named_normalized():
    """Statistics of one frame of a stack whose axes are not known."""
    agent = Agent.from_module(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), spaces.Box(-9, 9, (2, 6)),
        spaces.Discrete(2), normalizers={"": normalizer((2, 3))}, picture_keys=(),
    )  # fmt: skip
    seen = torch.ones(1, 12)
    assert torch.equal(show_values(agent, {"": seen}), seen.double())
    assert all(name.endswith("(normalized)") for name in name_features(agent, {"": 12}))


def test_bars_and_figures_of_a_model_with_vecnormalize():
    env = VecNormalize(make_vec_env("CartPole-v1", seed=0))
    model = PPO("MlpPolicy", env, n_steps=64, seed=0, device="cpu").learn(128)
    agent = Agent.from_model(model)
    raw = np.array([[0.05, -1.0, 0.1, 0.25], [0.15, -1.0, -0.1, 0.5]], np.float32)
    seen = agent.normalize(raw)
    assert not np.allclose(seen, raw, atol=0.1)
    held = StateDataset.from_arrays(seen, [0, 1], [0, 1], scores=np.zeros((2, 2)))
    ablation = make_explainer("feature_ablation", agent, held, baseline="mean")
    batch = ablation.read_batch(seen, 0)
    parts = ablation.attribute_batch(batch)
    (panel,) = list_panels(batch, parts, 1, Look(), baselines=ablation.baselines)
    assert isinstance(panel, BarPanel)
    np.testing.assert_allclose(panel.values, raw[1], atol=1e-5)
    np.testing.assert_allclose(panel.replaced, raw.mean(axis=0), atol=1e-5)
    assert describe_values(batch, [""], {})[:2] == ["0.1 ± 0.05", "always -1"]
    assert "never changes" in make_examples(held, Gradient(agent))["importance"].caption


def test_a_clipped_value_is_shown_as_the_bound():
    statistics = Normalizer(np.ones(2), np.full(2, 4.0), 0.0, 10.0)
    seen = torch.from_numpy(statistics(np.array([[100.0, 3.0]])))
    assert show_values(vector_agent(2, statistics), {"": seen}).tolist() == [[21.0, 3.0]]
