"""Insertion and deletion against RISE's causal metric, Quantus and a slow loop over cells."""

import numpy as np
import pytest
import quantus
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import order
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.measuring import integrate
from sb3_explain.evaluation.metrics.deletion import deletion
from sb3_explain.evaluation.metrics.insertion import insertion
from sb3_explain.states.baselines import Baseline, Black
from sb3_explain.states.batch import StateBatch

SIDE, STEP = 84, 84


class RiseBlur(Baseline):
    """RISE's substrate: a dirac blurred on an 11 x 11 grid with sigma 5, zeros beyond the edge."""

    name = "rise blur"

    def __call__(self, observations):
        dirac = np.zeros((11, 11))
        dirac[5, 5] = 1
        kernel = torch.from_numpy(gaussian_filter(dirac, 5).astype(np.float32))
        channels = observations.shape[1]
        weight = torch.zeros(channels, channels, 11, 11)
        weight[range(channels), range(channels)] = kernel
        return nn.functional.conv2d(observations, weight, padding=5)


@pytest.fixture(scope="module")
def module():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(4, 8, 12, 12), nn.Tanh(), nn.Flatten(), nn.Linear(392, 5))
    with torch.no_grad():
        net[0].weight /= 64  # bytes, not shares
        net[3].weight *= 6
    return net


@pytest.fixture(scope="module")
def agent(module):
    space = spaces.Box(0, 255, (4, SIDE, SIDE), np.uint8)
    return Agent.from_module(module, space, spaces.Discrete(5))


@pytest.fixture(scope="module")
def observations():
    return torch.randint(
        0, 256, (3, 4, SIDE, SIDE), generator=torch.Generator().manual_seed(1)
    ).float()


@pytest.fixture(scope="module")
def pixel_attributions():
    return torch.rand(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


def rise_scores(module, mode, step, substrate, image, explanation):
    """The loop of RISE's CausalMetric.single_run, for one image (1, C, H, W)."""
    area = explanation.size
    n_steps = (area + step - 1) // step
    changed = substrate(image)
    start, finish = (image, changed) if mode == "del" else (changed, image)
    start, finish = start.clone().numpy(), finish.clone().numpy()
    salient = np.flip(np.argsort(explanation.reshape(-1, area), axis=1), axis=-1)
    c = module(image).argmax(dim=1).item()
    scores = np.empty(n_steps + 1)
    for i in range(n_steps + 1):
        scores[i] = module(torch.from_numpy(start)).softmax(dim=1)[0, c].item()
        coords = salient[:, step * i : step * (i + 1)]
        start.reshape(1, -1, area)[0, :, coords] = finish.reshape(1, -1, area)[0, :, coords]
    return scores


@pytest.mark.parametrize(
    ("metric", "mode", "baseline"),
    [(deletion, "del", Black()), (insertion, "ins", RiseBlur())],
)
def test_rise_causal_metric(
    metric, mode, baseline, module, agent, observations, pixel_attributions
):
    ordering = order(pixel_attributions.expand(-1, 4, -1, -1))
    curves = metric(
        StateBatch(agent, observations),
        baseline(observations),
        ordering,
        steps=SIDE * SIDE // STEP,
        per_frame=False,
    )
    areas = integrate(curves.double())
    for i in range(len(observations)):
        with torch.no_grad():
            scores = rise_scores(
                module, mode, STEP, baseline, observations[i : i + 1], pixel_attributions[i].numpy()
            )
        assert np.ptp(scores) > 0.05
        np.testing.assert_allclose(curves[i], scores, atol=1e-6)
        area = (scores.sum() - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1)
        assert areas[i].item() == pytest.approx(area, abs=1e-6)


@pytest.mark.parametrize(("steps", "fraction"), [(10, 1.0), (13, 0.3)])
@pytest.mark.parametrize("metric", [deletion, insertion])
def test_slow_loop_over_cells(metric, steps, fraction, module, agent, observations):
    attributions = torch.rand(observations.shape, generator=torch.Generator().manual_seed(3))
    target = agent.greedy(observations)
    baseline = RiseBlur()
    curves = metric(
        StateBatch(agent, observations),
        baseline(observations),
        order(attributions),
        steps=steps,
        fraction=fraction,
    )
    for i in range(len(observations)):
        before, after = observations[i : i + 1], baseline(observations[i : i + 1])
        if metric is insertion:
            before, after = after, before
        ranks = np.empty(attributions[i].numel(), dtype=int)
        ranks[np.argsort(-attributions[i].numpy().ravel(), kind="stable")] = np.arange(len(ranks))
        for k in range(steps + 1):
            replaced = ranks < round(k * fraction * len(ranks) / steps)
            seen = np.where(replaced.reshape(before.shape), after.numpy(), before.numpy())
            with torch.no_grad():
                probability = module(torch.from_numpy(seen)).softmax(dim=1)[0, target[i]].item()
            assert curves[i, k].item() == pytest.approx(probability, abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_quantus_pixel_flipping(module, agent, observations):
    """Quantus takes channels as separate features, as cells are here, and leaves out k = 0."""
    attributions = torch.rand(observations.shape, generator=torch.Generator().manual_seed(4))
    target = agent.greedy(observations)
    metric = quantus.PixelFlipping(
        features_in_step=STEP,
        perturb_baseline=0.0,
        normalise=False,
        disable_warnings=True,
    )
    expected = metric(
        model=module.eval(),
        x_batch=observations.numpy().copy(),
        y_batch=target.numpy(),
        a_batch=attributions.numpy().copy(),
        channel_first=True,
        softmax=True,
        batch_size=1,
    )
    steps = attributions[0].numel() // STEP
    batch = StateBatch(agent, observations, target)
    curves = deletion(batch, torch.zeros_like(observations), order(attributions), steps=steps)
    np.testing.assert_allclose(curves[:, 1:], np.array(expected), atol=1e-6)


def test_curves_by_hand():
    """Two features, two actions: the scores are the features."""
    space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    agent = Agent.from_module(nn.Identity(), space, spaces.Discrete(2))
    batch, black = StateBatch(agent, torch.tensor([[2.0, 1.0]]), 0), torch.zeros(1, 2)
    inserted = insertion(batch, black, torch.tensor([[0, 1]]), steps=2)
    deleted = deletion(batch, black, torch.tensor([[0, 1]]), steps=2)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    np.testing.assert_allclose(inserted[0], [0.5, sigmoid(2.0), sigmoid(1.0)], atol=1e-6)
    np.testing.assert_allclose(deleted[0], [sigmoid(1.0), sigmoid(-1.0), 0.5], atol=1e-6)
    area = 0.25 * 0.5 + 0.5 * sigmoid(2.0) + 0.25 * sigmoid(1.0)
    assert integrate(inserted).item() == pytest.approx(area, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.integers(-40, 40), min_size=8, max_size=8, unique=True),
    scale=st.floats(0.1, 10),
    shift=st.floats(-5, 5),
)
def test_monotone_transformations_change_nothing(values, scale, shift):
    space = spaces.Box(-np.inf, np.inf, (8,), np.float32)
    module = nn.Linear(8, 3, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.linspace(-1, 1, 24).reshape(3, 8).sin())
    agent = Agent.from_module(module, space, spaces.Discrete(3))
    batch = StateBatch(agent, torch.linspace(-3, 3, 8)[None])
    attributions = torch.tensor([values], dtype=torch.float64)
    curves = [
        insertion(batch, torch.zeros(1, 8), order(transformed), steps=8)
        for transformed in (
            attributions,
            scale * attributions + shift,
            attributions**3,
            (attributions / 10).exp(),
        )
    ]
    for curve in curves[1:]:
        assert torch.equal(curve, curves[0])


@pytest.mark.parametrize("metric", [insertion, deletion])
def test_only_images_have_pixels(metric):
    agent = Agent.from_module(nn.Identity(), spaces.Box(-9, 9, (4,)), spaces.Discrete(4))
    batch = StateBatch(agent, torch.eye(4))
    ordering = order(batch.observations)
    with pytest.raises(ExplainError, match="per_frame=False"):
        metric(batch, torch.zeros(4, 4), ordering, per_frame=False)
