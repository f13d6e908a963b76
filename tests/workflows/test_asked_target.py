"""Pages of a target that was asked for: every picture, figure, metric and sentence is of it."""

import json
import re

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.explainers.perturbation.feature_ablation import FeatureAblation
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows import feature_pictures
from sb3_explain.workflows.pictures import make_examples
from sb3_explain.workflows.pipeline import explain
from tests.agents.reading import random_states, row_reader
from tests.toys import dot_agent, dot_states

QUICK = {"n_states": 120, "n_evaluated": 30, "collect_kwargs": {"max_per_episode": 20}}


@pytest.fixture(scope="module")
def model():
    made = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0, device="cpu")
    with torch.no_grad():  # a new policy's probabilities are all nearly 0.5
        made.policy.action_net.weight.mul_(200)
    return made


def slopes(model, observations, read):
    """Mean |d read / d feature| over the states, one state after the other."""
    total = torch.zeros(observations.shape[1])
    for observation in observations.float():
        moved = observation[None].clone().requires_grad_()
        (slope,) = torch.autograd.grad(read(model.policy, moved).sum(), moved)
        total += slope[0].abs()
    return (total / len(observations)).numpy()


@pytest.mark.parametrize(
    ("target", "name", "read"),
    [
        ("value", "value", lambda policy, seen: policy.predict_values(seen)),
        (1, "right", lambda policy, seen: logits(policy, seen)[:, 1]),
        ("right - left", "right - left", lambda policy, seen: logits(policy, seen) @ SIDES),
    ],
)
def test_importances_are_of_the_target(model, monkeypatch, target, name, read):
    drawn = []
    monkeypatch.setattr(
        feature_pictures, "importance_figure", lambda *given, **_: drawn.append(given)
    )
    agent = Agent.from_model(model)
    held = random_states(Agent.from_module(nn.Linear(4, 2), BOX, spaces.Discrete(2)))
    picture = make_examples(held, Gradient(agent), target)["importance"]
    (importances, features, names) = drawn[0]
    assert list(names) == [name] and len(features) == 4
    expected = slopes(model, held.observations(np.arange(len(held))), read)
    np.testing.assert_allclose(importances["gradient"].mean, expected[None], rtol=1e-4)
    assert f"Which features matter to {name}, over 40 test states" in picture.caption
    assert picture.alt == f"importance of every feature to {name}"


BOX = spaces.Box(-1, 1, (4,), np.float32)
SIDES = torch.tensor([-1.0, 1.0])


def logits(policy, seen):
    return policy.action_net(policy.mlp_extractor.forward_actor(policy.extract_features(seen)))


def test_boards_are_of_the_target():
    agent = row_reader((6, 7, 2), beside=True)
    name = agent.target_names[1]
    examples = make_examples(random_states(agent), FeatureAblation(agent), name)
    assert list(examples) == ["importance_board", "importance"]
    assert all(f" matter to {name}, over 40" in one.caption for one in examples.values())


def test_pictures_are_of_the_target():
    agent = dot_agent(n_stack=1)
    frames = dot_states(agent, 40).observations(np.arange(40))
    scores = agent.scores(frames.float()).numpy()
    states = StateDataset.from_arrays(
        frames.numpy(), np.arange(40) // 20, scores.argmax(axis=1), scores=scores
    )
    examples = make_examples(states, Gradient(agent), "left")
    assert examples
    for example in examples.values():
        assert list(example.action_names) == ["left"] and len(example.attributions) == 1
        assert not example.is_chosen(0)
        where, _, said = example.caption.partition(": ")
        episode, step, position = map(int, re.findall(r"\d+", where))
        assert position == episode * 20 + step
        share = agent.probabilities(states.observations([position]))[0, 0]
        assert said.startswith("left (probability ")
        if 0.01 < share < 0.99:
            assert said == f"left (probability {share * 100:.0f} %)"


def test_a_page_of_the_value_measures_the_value(model, tmp_path):
    agent = Agent.from_model(model)
    options = {**QUICK, "explainers": "feature_ablation", "progress": False}
    evaluation = explain(agent, tmp_path, target="value", **options)
    assert list(evaluation.rows["feature_ablation"].values) == ["value_preservation", "sparseness"]
    page = (tmp_path / "report.html").read_text()
    assert "Value preservation of Feature ablation is" in page
    assert "are in the table below" not in page and "What value depends on" in page
    assert "Which features matter to value" in page and "which action" not in page
    assert "How far value is, on what is revealed" in page
    assert "Revealing the observation<" in page and "the change of value is computed" in page
    assert 'alt="Value preservation curves of Feature ablation' in page
    assert "probability of value" not in page and "Insertion" not in page


def test_a_page_of_an_action_speaks_of_that_action(model, tmp_path):
    agent = Agent.from_model(model)
    options = {**QUICK, "explainers": "feature_ablation", "progress": False}
    explain(agent, tmp_path, target="left", **options)
    page = (tmp_path / "report.html").read_text()
    states = json.loads((tmp_path / "metrics.json").read_text())["states"]
    assert states["target"] == "left" and 0 < states["target_taken"] < 1
    assert "What left depends on" in page and "Which features matter to left" in page
    assert "the agent takes left in" in page and "the probability of left is computed" in page
    for wrong in ("agent's action is", "the same action", "what the action depends on"):
        assert wrong not in page
