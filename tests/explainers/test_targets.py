"""Attributions of names, contrasts, values and functions, against finite differences and Captum."""

import numpy as np
import pytest
import torch
from captum import attr
from gymnasium import spaces
from stable_baselines3 import DQN
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.controls import CONTROLS
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.showing import describe_target
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.cache import ForwardCache
from tests.explainers.kinds import agent_of, quick, states_of
from tests.toys import dot_agent, dot_states

VECTOR = spaces.Box(-3, 3, (4,), np.float32)


class Smooth(nn.Module):
    """Three smooth scores and a smooth value, each of other features."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weights = nn.Parameter(torch.randn(4, 3, generator=generator))
        self.value = nn.Parameter(torch.randn(4, generator=generator))

    def forward(self, observations):
        return torch.tanh(observations @ self.weights), torch.sin(observations @ self.value)


AGENT = Agent.from_module(
    Smooth(), VECTOR, spaces.Discrete(3), action_names=["LEFT", "STAY", "RIGHT"]
)
STATES = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (6, 4)).astype(np.float32))


def quantity(target, observations):
    """What a target stands for, by the module itself in double precision."""
    scores, values = Smooth().double()(observations.double())
    log_p = scores.log_softmax(dim=1)
    return {
        "value": values,
        "LEFT - RIGHT": scores[:, 0] - scores[:, 2],
        "entropy": -(log_p.exp() * log_p).sum(dim=1),
    }[target].detach()


TARGETS = ["value", "LEFT - RIGHT", "entropy"]


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_are_finite_differences(target):
    found = EXPLAINERS["input_x_gradient"](AGENT).attribute(STATES, target)
    step = 1e-5
    for feature in range(4):
        moved = [STATES.double().clone() for _ in range(2)]
        moved[0][:, feature] += step
        moved[1][:, feature] -= step
        slope = (quantity(target, moved[0]) - quantity(target, moved[1])) / (2 * step)
        torch.testing.assert_close(
            found[:, feature].double(), slope * STATES[:, feature], atol=1e-4, rtol=1e-3
        )


@pytest.mark.parametrize("target", TARGETS)
def test_ablation_is_the_fall_of_the_quantity(target):
    found = EXPLAINERS["feature_ablation"](AGENT).attribute(STATES, target)
    for feature in range(4):
        without = STATES.clone()
        without[:, feature] = 0
        fall = quantity(target, STATES) - quantity(target, without)
        torch.testing.assert_close(found[:, feature].double(), fall, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["kernel_shap", "integrated_gradients"])
def test_shares_add_up_to_the_change_from_the_baseline(name, target):
    explainer = EXPLAINERS[name](AGENT, baseline="black")
    found = explainer.attribute(STATES, target)
    change = quantity(target, STATES) - quantity(target, torch.zeros_like(STATES))
    torch.testing.assert_close(found.sum(dim=1).double(), change, atol=1e-4, rtol=1e-3)
    if name == "integrated_gradients":
        assert explainer.convergence_delta(STATES, target).abs().max() < 1e-4


def test_a_contrast_is_captums():
    module = Smooth()

    def contrast(observations):
        scores, _ = module(observations)
        return scores[:, 0] - scores[:, 2]

    expected = attr.IntegratedGradients(contrast).attribute(STATES, n_steps=50)
    explainer = EXPLAINERS["integrated_gradients"](AGENT, baseline="black")
    torch.testing.assert_close(explainer.attribute(STATES, "LEFT - RIGHT"), expected.float())
    ablated = attr.FeatureAblation(contrast).attribute(STATES)
    found = EXPLAINERS["feature_ablation"](AGENT).attribute(STATES, "LEFT - RIGHT")
    torch.testing.assert_close(found, ablated)


def test_a_name_is_its_index_to_the_bit():
    for name in ("gradient", "kernel_shap", "lime", "feature_ablation"):
        explainer = EXPLAINERS[name](AGENT)
        assert torch.equal(explainer.attribute(STATES, "RIGHT"), explainer.attribute(STATES, 2))


def test_all_targets_of_a_batch_are_its_actions_whatever_it_explains():
    for explainer in (EXPLAINERS["lime"](AGENT, n_samples=20), EXPLAINERS["gradient"](AGENT)):
        batch = StateBatch(AGENT, STATES, "value")
        every = explainer.attribute_all(batch)
        assert torch.equal(every, explainer.attribute_all(STATES))


def test_one_cache_holds_several_targets():
    cache, explainer = ForwardCache(), EXPLAINERS["feature_ablation"](AGENT)
    shared = StateBatch(AGENT, STATES, cache=cache)
    for target in ("value", 0, "entropy", "LEFT - RIGHT", "value"):
        batch = shared.with_target(target)
        alone = explainer.attribute(STATES, target)
        assert torch.equal(explainer.attribute_batch(batch)[""], alone)
    forwards = AGENT.forwards
    explainer.attribute_batch(batch)
    assert AGENT.forwards == forwards


def test_a_quantity_without_a_gradient_is_a_line():
    def step(outputs):
        return (outputs.scores[:, 0] > 0).float()

    with pytest.raises(ExplainError, match=r"step has no gradient .* such as feature_ablation"):
        EXPLAINERS["gradient"](AGENT).attribute(STATES, step)
    assert EXPLAINERS["feature_ablation"](AGENT).attribute(STATES, step).shape == (6, 4)


# --- images ------------------------------------------------------------------------------------

DOTS = dot_agent()
PICTURES = dot_states(DOTS, 40).observations([0, 7, 21])


def test_greydanus_of_the_value_is_the_critics_part():
    critic = EXPLAINERS["greydanus"](DOTS, part="critic").attribute(PICTURES)
    found = EXPLAINERS["greydanus"](DOTS).attribute(PICTURES, "value")
    torch.testing.assert_close(found, critic)
    assert found.max() > 0


def test_occlusion_of_a_contrast_is_the_difference_of_the_actions():
    explainer = EXPLAINERS["occlusion"](DOTS)
    found = explainer.attribute(PICTURES, "left - right")
    apart = explainer.attribute(PICTURES, "left") - explainer.attribute(PICTURES, "right")
    torch.testing.assert_close(found, apart, atol=1e-5, rtol=1e-4)


def test_a_figure_names_the_quantity_and_says_its_value():
    batch = StateBatch(DOTS, PICTURES, "value")
    assert describe_target(batch, 1) == f"value = {float(DOTS.values(PICTURES)[1]):.3g}"
    batch = StateBatch(DOTS, PICTURES, "left - right")
    scores = DOTS.scores(PICTURES)[1]
    assert describe_target(batch, 1) == f"left - right = {float(scores[0] - scores[2]):.3g}"
    figure = EXPLAINERS["occlusion"](DOTS).show(PICTURES[:1], "left - right")
    assert figure.get_axes()


def test_of_q_values_the_figure_says_the_agents_own_and_their_softmax():
    agent = Agent.from_model(DQN("MlpPolicy", "CartPole-v1", seed=0))
    observation = np.float32([[0.1, 0.2, 0.3, 0.4]])
    q = agent.scores(agent.tensor(observation))[0]
    share = float(q.softmax(0)[1])
    said = describe_target(StateBatch(agent, agent.tensor(observation), "q:right"), 0)
    assert said.replace("\N{NO-BREAK SPACE}", " ") == (
        f"right (Q {float(q[1]):.3g}, softmax of Q {share:.0%})".replace("%", " %")
    )


def test_rise_of_a_quantity_is_its_mean_while_a_pixel_is_seen_less_that_over_the_masks():
    explainer = EXPLAINERS["rise"](DOTS, n_masks=40)
    found = explainer.attribute(PICTURES, "value")
    masks = torch.cat(list(explainer.make_masks(PICTURES.float(), 128)))
    expected = torch.zeros_like(found)
    seen = torch.stack([DOTS.values(PICTURES * mask) for mask in masks])
    for mask, values in zip(masks, seen, strict=True):
        change = values - seen.mean(dim=0)
        expected += change[:, None, None, None] * mask / (len(masks) * explainer.keep)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["sarfa", "visionmask", "ssinet", "stalder"])
def test_methods_of_actions_alone_say_so(name):
    explainer = quick(name, agent_of("image"), states_of("image"))
    with pytest.raises(ExplainError, match=f"{name} explains actions, not value: .* explains it"):
        explainer.attribute(states_of("image").observations([0]), "value")


@pytest.mark.parametrize("kind", ["image", "vector", "image and vector", "Box", "recurrent"])
@pytest.mark.parametrize("name", EXPLAINERS)
def test_every_method_explains_the_value_of_every_kind_or_says_why_not(name, kind):
    agent, states = agent_of(kind), states_of(kind)
    made = EXPLAINERS[name]
    if made.unsupported(agent) is not None or made.actions_only:
        return
    explainer = quick(name, agent, states)
    batch = states.batch(agent, [0, 1], "value")
    before = agent.forwards
    found = explainer.attribute_batch(batch)
    assert agent.forwards - before <= 2 * (explainer.forwards_per_state + 1)
    assert all(each.isfinite().all() for each in found.values())
    assert all(found[key].shape == one.shape for key, one in batch.by_key.items())
    if name not in CONTROLS:
        assert any(each.abs().max() > 0 for each in found.values())
