"""Whoever names no explainer is given one that supports the agent."""

import logging

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import nn

from sb3_explain import Agent, list_explainers
from sb3_explain.callbacks import MetricsCallback, SaliencyCallback
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.make import default_explainer
from tests.explainers.kinds import KINDS, agent_of


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_supports_the_agent(kind):
    name = default_explainer(agent_of(kind))
    assert EXPLAINERS[name].unsupported(agent_of(kind)) is None


@pytest.mark.parametrize(
    ("space", "layers", "expected"),
    [
        (spaces.Box(-1, 1, (3,), np.float32), [nn.Linear(3, 2), nn.ReLU()], "guided_backprop"),
        (spaces.Box(-1, 1, (3,), np.float32), [nn.Linear(3, 2)], "gradient"),
        (spaces.Discrete(4), [nn.Embedding(4, 2)], "feature_ablation"),
    ],
)
def test_which_is_the_default(space, layers, expected):
    agent = Agent.from_module(nn.Sequential(*layers), space, spaces.Discrete(2))
    assert default_explainer(agent) == expected


@pytest.mark.parametrize("name", ["stalder", "visionmask", "ssinet", "occlusion", "kernel_shap"])
def test_a_baseline_may_be_any_function(name):
    """As the docs promise of every explainer that has a baseline."""

    def zeros(observations):
        return 0 * observations

    explainer = EXPLAINERS[name](agent_of("image and vector"), baseline=zeros)
    replaced = explainer.baselines["image"](torch.ones(2, 3, 40, 37))
    assert not replaced.any() and explainer.baselines["image"].name == "zeros"


def test_a_refusal_names_what_supports_the_agent():
    agent = agent_of("category")
    for name in EXPLAINERS.keys() - set(list_explainers(agent)):
        with pytest.raises(ExplainError, match="; feature_ablation does, and list_explainers"):
            EXPLAINERS[name](agent)
    with pytest.raises(ExplainError, match="; occlusion does"):
        EXPLAINERS["kernel_shap"](agent_of("image"))


@pytest.mark.parametrize("kind", [SaliencyCallback, MetricsCallback])
def test_callbacks_explain_agents_of_categories(kind, tmp_path, caplog):
    model = PPO("MlpPolicy", "FrozenLake-v1", n_steps=32, batch_size=32, device="cpu", seed=0)
    callback = kind(every=32, budget=None, folder=str(tmp_path), on_error="raise")
    with caplog.at_level(logging.WARNING):
        model.learn(64, callback=callback)
    assert callback.worked == [32, 64]
    assert any("feature_ablation is used instead" in r.getMessage() for r in caplog.records)


def test_an_explainer_that_does_not_support_the_agent_leaves_the_others(tmp_path, caplog):
    model = PPO("MlpPolicy", "FrozenLake-v1", n_steps=32, batch_size=32, device="cpu", seed=0)
    callback = MetricsCallback(
        ["smoothgrad", "kernel_shap"], ["sparseness"], every=None, budget=None, folder=str(tmp_path)
    )
    model.learn(32, callback=callback)
    assert callback.worked == [32]
    assert list(callback.supported) == ["kernel_shap"]
    assert any("smoothgrad does not support" in r.getMessage() for r in caplog.records)
