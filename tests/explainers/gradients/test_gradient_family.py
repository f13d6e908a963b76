"""Gradient methods against finite differences, loops of autograd and passes by hand."""

import zlib

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional as F

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.gradients.grad_cam import GradCAM
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.explainers.gradients.guided_backprop import GuidedBackpropagation
from sb3_explain.explainers.gradients.input_x_gradient import InputXGradient
from sb3_explain.explainers.gradients.integrated_gradients import IntegratedGradients
from sb3_explain.explainers.gradients.smoothgrad import SmoothGrad
from sb3_explain.sgqn.networks import GuidedReLU
from sb3_explain.states.batch import StateBatch
from tests.agents.loading.models import CASES, IMAGE, make_model
from tests.explainers import kinds
from tests.explainers.known import KINDS, SCALES, known_agent, known_states


@pytest.fixture(scope="module")
def smooth():
    """A smooth agent in double precision, and states in the range of its observations."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)).double()
    agent = Agent.from_module(net, spaces.Box(-2, 2, (4,), np.float64), spaces.Discrete(3))
    return agent, torch.rand(5, 4, dtype=torch.float64) * 4 - 2, torch.tensor([0, 1, 2, 0, 1])


@pytest.fixture(scope="module")
def cnn():
    agent = Agent.from_model(make_model(CASES["ppo-cnn"]))
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (3, *IMAGE.shape), generator=generator).float()
    return agent, images, torch.tensor([1, 3, 0])


def slope(agent, states, target):
    """d score / d state, one state and one backward pass at a time."""
    rows = []
    for state, action in zip(states, target, strict=True):
        row = state[None].clone().requires_grad_()
        agent.scores(row)[0, action].backward()
        rows.append(row.grad[0])
    return torch.stack(rows)


def test_gradients_are_those_of_finite_differences(smooth):
    agent, states, target = smooth
    step, slopes = 1e-5, torch.zeros_like(states)
    for j in range(states.shape[1]):
        moved = torch.zeros(states.shape[1], dtype=states.dtype)
        moved[j] = step
        difference = agent.scores(states + moved) - agent.scores(states - moved)
        slopes[:, j] = difference.gather(1, target[:, None])[:, 0] / (2 * step)
    close = {"atol": 1e-3, "rtol": 1e-3}
    torch.testing.assert_close(Gradient(agent).attribute(states, target), slopes.abs(), **close)
    product = InputXGradient(agent).attribute(states, target)
    torch.testing.assert_close(product, states * slopes, **close)


def test_gradients_are_those_of_a_loop_of_backward_passes(cnn):
    agent, images, target = cnn
    slopes = slope(agent, images, target)
    close = {"atol": 1e-5 * float(slopes.abs().max()), "rtol": 0}
    torch.testing.assert_close(Gradient(agent).attribute(images, target), slopes.abs(), **close)
    product = InputXGradient(agent).attribute(images, target)
    torch.testing.assert_close(product / images.clamp_min(1), slopes * (images > 0), **close)


def test_integrated_gradients_are_a_gauss_legendre_sum(cnn):
    agent, images, target = cnn
    baseline = images.flip(0) * 0.3
    found = IntegratedGradients(agent, baseline=lambda s: s.flip(0) * 0.3, n_steps=7)
    points, weights = np.polynomial.legendre.leggauss(7)
    mean = torch.zeros_like(images)
    for point, weight in zip((1 + points) / 2, weights / 2, strict=True):
        mean += weight * slope(agent, baseline + point * (images - baseline), target)
    expected = (images - baseline) * mean
    tolerance = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(
        found.attribute(images, target), expected, atol=tolerance, rtol=0, check_dtype=False
    )


def test_integrated_gradients_add_up_to_the_difference_of_scores(smooth):
    agent, states, target = smooth
    fine, coarse = (IntegratedGradients(agent, n_steps=n) for n in (50, 1))
    difference = agent.scores(states) - agent.scores(torch.zeros_like(states))
    difference = difference.gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(fine.attribute(states, target).sum(dim=1), difference)
    assert fine.convergence_delta(states, target).abs().max() < 1e-6
    off = coarse.attribute(states, target).sum(dim=1) - difference
    torch.testing.assert_close(coarse.convergence_delta(states, target), off)
    assert off.abs().max() > 1e-2


def test_a_baseline_is_fitted_on_states():
    agent = known_agent("discrete")
    states = known_states(agent, 50)
    observed = states.observations(range(4))
    fitted = IntegratedGradients(agent, baseline="mean", states=states, n_steps=2)
    distance = observed - states.frames().mean(dim=0)
    expected = torch.zeros_like(observed)
    expected[:, 1] = 4.0 / float(SCALES[1]) * distance[:, 1]
    torch.testing.assert_close(fitted.attribute(observed, 1), expected)
    with pytest.raises(ExplainError, match="give states="):
        IntegratedGradients(agent, baseline="mean")
    with pytest.raises(ExplainError, match="give states="):
        IntegratedGradients(agent, baseline="blur")


def test_smoothgrad_is_a_mean_over_noisy_copies(cnn):
    agent, images, target = cnn
    expected = []
    for image, action in zip(images, target, strict=True):
        generator = torch.Generator().manual_seed(zlib.crc32(image.numpy().tobytes()) ^ 3)
        noisy = [
            image + 0.1 * 255 * torch.randn(image.shape, generator=generator) for _ in range(6)
        ]
        expected.append(slope(agent, torch.stack(noisy), action.expand(6)).abs().mean(dim=0))
    found = SmoothGrad(agent, sigma=0.1, n_samples=6, seed=3).attribute(images, target)
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-7, rtol=1e-5)


def test_smoothgrad_without_noise_is_the_gradient(cnn):
    agent, images, target = cnn
    smooth = SmoothGrad(agent, sigma=0, n_samples=2).attribute(images, target)
    torch.testing.assert_close(smooth, Gradient(agent).attribute(images, target))


def test_smaller_passes_give_the_same_maps(cnn, monkeypatch):
    agent, images, target = cnn
    read, rows = agent.view.scores, []
    monkeypatch.setattr(
        agent.view, "scores", lambda o, lstm_states: rows.append(len(o)) or read(o, lstm_states)
    )
    small = 3 * 4 * images[0].numel()  # three images
    for explainer, settings in ((SmoothGrad, {"n_samples": 5}), (IntegratedGradients, {})):
        whole = explainer(agent, **settings).attribute(images, target)
        assert max(rows) > 3
        rows.clear()
        parts = explainer(agent, **settings, max_batch_bytes=small).attribute(images, target)
        assert max(rows) <= 3
        torch.testing.assert_close(parts, whole, atol=1e-7, rtol=1e-4)


def test_noise_on_a_dict_does_not_depend_on_the_passes():
    agent = kinds.agent_of("image and vector")
    batch = kinds.states_of("image and vector").batch(agent, np.arange(2))
    whole = SmoothGrad(agent, n_samples=5).attribute_batch(batch)
    largest = max(observed[0].numel() for observed in batch.by_key.values())
    parts = SmoothGrad(agent, n_samples=5, max_batch_bytes=2 * 4 * largest).attribute_batch(batch)
    for name, attributions in whole.items():
        torch.testing.assert_close(parts[name], attributions, atol=1e-7, rtol=1e-4)


class Guided(nn.Module):
    """A convolution and two layers whose ReLU is one module, used three times."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(2, 3, 3, stride=2)
        self.middle, self.out = nn.Linear(3 * 4 * 4, 6), nn.Linear(6, 4)
        self.relu = nn.ReLU()

    def forward(self, observations):
        seen = self.relu(self.convolution(observations / 255))
        return self.out(self.relu(self.middle(self.relu(seen.flatten(1)))))


def test_guided_backpropagation_by_hand():
    torch.manual_seed(0)
    agent = Agent.from_module(Guided(), spaces.Box(0, 255, (2, 9, 9), np.uint8), spaces.Discrete(4))
    net = agent.view.policy
    images, target = torch.rand(3, 2, 9, 9) * 255, torch.tensor([0, 2, 3])
    seen = net.convolution(images / 255)
    middle = net.middle(seen.relu().flatten(1))
    back = (net.out.weight[target] * (middle > 0)).relu()
    back = ((back @ net.middle.weight).reshape(seen.shape) * (seen > 0)).relu()
    expected = F.conv_transpose2d(back, net.convolution.weight, stride=2) / 255
    found = GuidedBackpropagation(agent).attribute(images, target)
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-5)
    assert not torch.allclose(found.abs(), Gradient(agent).attribute(images, target))


@pytest.mark.parametrize(
    "relu",
    [
        torch.relu,
        F.relu,
        F.relu_,
        torch.Tensor.relu,
        torch.Tensor.relu_,
        nn.ReLU(inplace=True),
        GuidedReLU(),  # its gradient is its own, and no function of torch computes it
        lambda x: F.relu(x, inplace=True),
        lambda x: x.clamp(min=0),
        lambda x: x.clamp_(0),
        lambda x: torch.clamp_min(x, 0.0),
        lambda x: torch.clip(x, min=0),
    ],
)
def test_functions_are_guided_as_modules_are(relu):
    torch.manual_seed(0)
    net = Once()
    spaces_of = spaces.Box(0, 255, (2, 9, 9), np.uint8), spaces.Discrete(4)
    images, target = torch.rand(3, 2, 9, 9) * 255, torch.tensor([0, 2, 3])
    expected = GuidedBackpropagation(Agent.from_module(net, *spaces_of)).attribute(images, target)
    del net.relu
    net.relu = relu if isinstance(relu, nn.Module) else Called(relu)
    agent = Agent.from_module(net, *spaces_of)
    torch.testing.assert_close(GuidedBackpropagation(agent).attribute(images, target), expected)


class Once(Guided):
    """The same with one ReLU after each layer: two in a row cannot both be in place."""

    def forward(self, observations):
        seen = self.relu(self.convolution(observations / 255))
        return self.out(self.relu(self.middle(seen.flatten(1))))


class Called(nn.Module):
    """A module of no ReLU module: it calls a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "other", [torch.tanh, F.leaky_relu, lambda x: x.clamp(0, 6), lambda x: x.clamp(min=-1)]
)
def test_what_is_no_relu_is_not_guided(other):
    torch.manual_seed(0)
    net = Guided()
    net.relu = Called(other)
    agent = Agent.from_module(net, spaces.Box(0, 255, (2, 9, 9), np.uint8), spaces.Discrete(4))
    with pytest.raises(ExplainError, match="scores pass none"):
        GuidedBackpropagation(agent)


def hooks(agent):
    policy = agent.view.policy
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in policy.modules())


def test_a_failing_pass_leaves_no_hooks_behind(cnn, monkeypatch):
    agent, images, target = cnn
    explainer = GradCAM(agent)
    read = agent.view.scores

    def failing(observations, lstm_states):
        read(observations, lstm_states)
        assert hooks(agent) > 0
        raise KeyboardInterrupt

    monkeypatch.setattr(agent.view, "scores", failing)
    with pytest.raises(KeyboardInterrupt):
        explainer.attribute(images, target)
    assert hooks(agent) == 0


def test_what_is_held_is_not_differentiated():
    """A recurrent agent's lstm_states and a MaskablePPO agent's masks go with their states."""
    agent = Agent.from_model(make_model(CASES["ppo_lstm"]))
    states, lstm_states = torch.randn(3, 5), torch.randn(3, 4, 1, 12)
    found = Gradient(agent).attribute(states, 2, policy_inputs={"lstm_states": lstm_states})
    for i in range(3):
        row = states[i : i + 1].clone().requires_grad_()
        agent.scores(row, lstm_states[i : i + 1])[0, 2].backward()
        torch.testing.assert_close(found[i], row.grad[0].abs())
    agent = Agent.from_model(make_model(CASES["maskable_ppo"]))
    allowed = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1]])
    found = IntegratedGradients(agent).attribute(states, 1, policy_inputs={"action_masks": allowed})
    assert not found[[0, 2]].any() and found[1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_known_features_have_the_mass_of_integrated_gradients(kind):
    agent = known_agent(kind)
    batch = StateBatch(agent, known_states(agent, 40).observations(range(40)))
    attributions = IntegratedGradients(agent).attribute_batch(batch)[""].abs()
    space, features = KINDS[kind]
    reading = [list(read) for read in features]
    if isinstance(space, spaces.MultiBinary):
        reading = [read for read in reading for _ in range(2)]
    counted = [i for i, action in enumerate(batch.target.tolist()) if reading[action]]
    on = sum(float(attributions[i, reading[int(batch.target[i])]].sum()) for i in counted)
    assert len(counted) > 10 and on >= 0.99 * float(attributions[counted].sum())


def test_a_key_that_is_ignored_gets_zero():
    agent = known_agent("dict")
    observed = known_states(agent, 6).observations(range(6))
    for explainer in (Gradient, InputXGradient, IntegratedGradients):
        found = explainer(agent).attribute(observed, 1)  # the action that reads a feature alone
        assert not found["the image"].any()
        assert found["a.b/vector"][:, 2].all() and not found["a.b/vector"][:, [0, 1, 3]].any()


@pytest.mark.parametrize(
    ("explainer", "case", "message"),
    [
        (
            Gradient,
            "a2c-discrete-observation",
            r"it needs numbers, and the observation is a category \(Discrete\)",
        ),
        (
            SmoothGrad,
            "a2c-discrete-observation",
            "it needs numbers, and the observation is a category",
        ),
        (GuidedBackpropagation, "ppo", "this agent's scores pass none"),
    ],
)
def test_agents_that_are_not_served(explainer, case, message):
    agent = Agent.from_model(make_model(CASES[case]))
    with pytest.raises(ExplainError, match=message):
        explainer(agent)


def test_impossible_settings(cnn):
    with pytest.raises(ExplainError, match="at least 1 step"):
        IntegratedGradients(cnn[0], n_steps=0)
    with pytest.raises(ExplainError, match="no negative sigma"):
        SmoothGrad(cnn[0], sigma=-1)
