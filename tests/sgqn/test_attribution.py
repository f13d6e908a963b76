"""Attributions against Captum, masks against the quantile."""

import pytest
import torch
from captum.attr import GuidedBackprop, InputXGradient, IntegratedGradients, Saliency
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sb3_explain.common.errors import ExplainError
from sb3_explain.sgqn.attribution import (
    ATTRIBUTIONS,
    binarize,
    get_attribution,
    require_quantile,
    smoothgrad,
)
from sb3_explain.sgqn.networks import GuidedReLU, PixelCNN


def networks() -> tuple[nn.Module, nn.Module]:
    """The same function with our ReLUs and with torch's."""
    torch.manual_seed(0)
    ours = nn.Sequential(
        *PixelCNN(3, 3, 4), nn.Flatten(), nn.LazyLinear(8), nn.LayerNorm(8), nn.Tanh(),
        nn.Linear(8, 16), GuidedReLU(), nn.Linear(16, 1),
    ).double()  # fmt: skip
    ours(torch.zeros(1, 3, 15, 15, dtype=torch.double))
    for parameter in ours.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    theirs = nn.Sequential(
        *(nn.ReLU() if isinstance(layer, GuidedReLU) else layer for layer in ours)
    )
    return ours, theirs


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
@pytest.mark.parametrize(
    ("name", "captum", "options"),
    [
        ("guided_backprop", GuidedBackprop, {}),
        ("gradient", Saliency, {"abs": False}),
        ("input_x_gradient", InputXGradient, {}),
        ("integrated_gradients", IntegratedGradients, {"n_steps": 16, "method": "riemann_middle"}),
    ],
)
def test_attributions_are_captums(name, captum, options):
    ours, theirs = networks()
    images = torch.rand(4, 3, 15, 15, dtype=torch.double).requires_grad_()

    def q(x):
        return ours(x).squeeze(1)

    found = ATTRIBUTIONS[name](q, images, q(images))
    expected = captum(theirs).attribute(images.detach().clone().requires_grad_(), **options)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_an_attribution_leaves_the_graph_for_the_loss():
    ours, _ = networks()
    images = torch.rand(2, 3, 15, 15, dtype=torch.double).requires_grad_()
    values = ours(images).squeeze(1)
    (plain,) = torch.autograd.grad(values.sum(), images, retain_graph=True)
    ATTRIBUTIONS["guided_backprop"](None, images, values)
    (after,) = torch.autograd.grad(values.sum(), images)
    assert torch.equal(plain, after)


def test_smoothgrad_is_the_mean_gradient_of_its_draws():
    ours, _ = networks()
    images = torch.rand(2, 3, 15, 15, dtype=torch.double)

    def q(x):
        return ours(x).squeeze(1)

    torch.manual_seed(5)
    found = smoothgrad(q, images, q(images), n_samples=3, noise=0.2)
    torch.manual_seed(5)
    expected = torch.zeros_like(images)
    for _ in range(3):
        noisy = (images + 0.2 * torch.randn_like(images)).requires_grad_()
        expected += torch.autograd.grad(q(noisy).sum(), noisy)[0] / 3
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@given(
    st.integers(0, 2**20),
    st.floats(0, 0.999),
    st.sampled_from(["continuous", "ties", "mostly zero"]),
)
def test_masks_are_those_of_the_quantile(seed, quantile, kind):
    generator = torch.Generator().manual_seed(seed)
    attributions = torch.randn(2, 6, 9, 7, dtype=torch.double, generator=generator)
    if kind == "ties":
        attributions = attributions.round()
    if kind == "mostly zero":
        attributions = attributions * (torch.rand(attributions.shape, generator=generator) < 0.1)
    mask = binarize(attributions, quantile, n_stack=2)
    assert mask.shape == attributions.shape
    for image in range(2):
        for frame in range(2):
            importance = attributions[image, 3 * frame : 3 * frame + 3].abs().amax(0)
            threshold = importance.flatten().quantile(quantile)
            for channel in range(3):
                stored = mask[image, 3 * frame + channel]
                assert torch.equal(stored, importance >= threshold)


def test_of_a_map_that_is_mostly_zero_everything_is_kept():
    attributions = torch.zeros(1, 3, 84, 84)
    attributions[..., :21, :21] = 1  # 441 of 7056 pixels, as at initialisation
    assert binarize(attributions, 0.90, 1).all()
    assert binarize(attributions, 0.95, 1).sum() == 3 * 441


def test_mistakes():
    with pytest.raises(ExplainError, match=r"unknown attribution 'guided'; did you mean"):
        get_attribution("guided")
    with pytest.raises(ExplainError, match=r"saliency_quantile is 1: give a number in \[0, 1\)"):
        require_quantile(1)
