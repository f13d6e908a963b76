"""Whoever names no explainer is given one that supports the agent."""

import pytest
import torch
from stable_baselines3 import PPO

from sb3_explain import collect, demo_agent, list_explainers, parameter_randomization
from sb3_explain.callbacks import MetricsCallback, SaliencyCallback
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.make import default_explainer, make_quick_explainer
from tests.explainers.kinds import KINDS, agent_of


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_default_supports_the_agent(kind, quick):
    name = default_explainer(agent_of(kind), quick=quick)
    assert EXPLAINERS[name].unsupported(agent_of(kind)) is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("image", ("sarfa", "integrated_gradients")),
        ("vector", ("feature_ablation", "feature_ablation")),
        ("category", ("feature_ablation", "feature_ablation")),
    ],
)
def test_which_is_the_default(kind, expected):
    agent = agent_of(kind)
    found = tuple(default_explainer(agent, quick=quick) for quick in (False, True))
    assert found == expected
    made = make_quick_explainer(agent)
    assert made.name == found[1]
    if kind == "image":
        assert made.forwards_per_state == 10


@pytest.mark.parametrize("target", ["value", "entropy", "0 - 1", lambda outputs: outputs.values])
def test_the_default_explains_what_is_asked(target, caplog):
    agent = agent_of("image")
    assert default_explainer(agent, agent.target_names[0]) == "sarfa"
    assert not caplog.messages
    name = default_explainer(agent, target)
    assert name == "occlusion" and not EXPLAINERS[name].actions_only
    [said] = caplog.messages
    asked = target if isinstance(target, str) else "<lambda>"
    assert said.startswith(f"sarfa explains actions, not {asked}: occlusion explains it instead")
    caplog.clear()
    assert default_explainer(agent_of("vector"), target) == "feature_ablation"
    assert not caplog.messages  # it is the usual one


@pytest.mark.slow
def test_the_quick_default_notices_what_the_demo_agent_forgets():
    """Guided backpropagation, which was the default before, hardly does."""
    pytest.importorskip("ale_py")
    agent = demo_agent()
    states = collect(agent, n_states=100, max_per_episode=50, seed=0, progress=False)
    result = parameter_randomization(
        agent,
        states,
        {
            "default": lambda forgetful: make_quick_explainer(forgetful, states),
            "guided_backprop": EXPLAINERS["guided_backprop"],
        },
        n_layers=1,
        n_evaluated=16,
        n_resamples=50,
        progress=False,
    )
    after = {name: layers["action_net"]["spearman"] for name, layers in result.intervals.items()}
    assert abs(after["default"].mean) < 0.4
    assert after["guided_backprop"].mean > 0.6


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
def test_callbacks_explain_agents_of_categories(kind, tmp_path):
    model = PPO("MlpPolicy", "FrozenLake-v1", n_steps=32, batch_size=32, device="cpu", seed=0)
    callback = kind(every=32, budget=None, folder=str(tmp_path), on_error="raise")
    model.learn(64, callback=callback)
    assert callback.worked == [32, 64]
    supported = callback.supported if kind is SaliencyCallback else next(iter(callback.supported))
    assert supported == "feature_ablation"


def test_an_explainer_that_does_not_support_the_agent_leaves_the_others(tmp_path, caplog):
    model = PPO("MlpPolicy", "FrozenLake-v1", n_steps=32, batch_size=32, device="cpu", seed=0)
    callback = MetricsCallback(
        ["smoothgrad", "kernel_shap"], ["sparseness"], every=None, budget=None, folder=str(tmp_path)
    )
    model.learn(32, callback=callback)
    assert callback.worked == [32]
    assert list(callback.supported) == ["kernel_shap"]
    assert any("smoothgrad does not support" in r.getMessage() for r in caplog.records)
