"""Mask networks: shapes at any size, parameters, an initial state of nearly empty masks."""

import sys

import pytest
import torch
from torch import nn

from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.explainers.learned.networks.torchvision_networks import spread_kernels

FOR_IMAGES = [name for name in NETWORKS if name != "mlp"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def network(name, *arguments, **options):
    try:
        return NETWORKS[name](*arguments, **options)
    except ExplainError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", FOR_IMAGES)
@pytest.mark.parametrize("size", [(84, 84), (41, 60), (17, 16)])
def test_logits_have_the_image_s_size_and_masks_begin_nearly_empty(name, size):
    net, images = network(name, 4, 6), torch.rand(2, 4, *size)
    logits = net.train()(images)
    assert logits.shape == net.eval()(images).shape == (2, 6, *size)
    assert logits.sigmoid().mean() < 0.02


@pytest.mark.parametrize("name", FOR_IMAGES)
def test_training_draws_no_random_numbers_and_reaches_every_parameter(name):
    """A resumed training could not repeat the draws."""
    net = network(name, 2, 3).train()
    before = torch.get_rng_state()
    net(torch.linspace(0, 1, 2 * 2 * 33 * 40).reshape(2, 2, 33, 40)).sum().backward()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_compact_is_small_and_begins_emptier_still():
    net = network("compact", 4, 7 * 4).eval()
    assert sum(p.numel() for p in net.parameters()) <= 1_000_000
    assert net(torch.rand(2, 4, 84, 84)).sigmoid().mean() < 0.02


def test_unet_has_the_paper_s_channels():
    """3x3 convolutions with two numbers a channel of batch normalisation; 2x2 up; 1x1 at the end"""
    n_in, n_out, widths = 4, 7, [64, 128, 256, 512, 1024]
    expected = 0
    for before, after in zip([n_in, *widths], widths, strict=False):  # down
        expected += 9 * (before * after + after * after) + 4 * after
    for below, here in zip(widths[:0:-1], widths[-2::-1], strict=True):  # up
        expected += 4 * below * here + here + 9 * (2 * here * here + here * here) + 4 * here
    expected += widths[0] * n_out + n_out
    assert sum(p.numel() for p in network("unet", n_in, n_out).parameters()) == expected
    assert network("unet", n_in, n_out, width=8).head.in_channels == 8


@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "fcn_resnet50"])
def test_without_torchvision_one_line_names_the_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    monkeypatch.setitem(sys.modules, "torchvision.models.segmentation", None)
    with pytest.raises(ExplainError, match="install the extra 'vision'") as caught:
        NETWORKS[name](4, 6)
    assert "\n" not in str(caught.value)


def test_unknown_weights_are_one_line():
    with pytest.raises(ExplainError, match="did you mean 'IMAGENET1K_V2'"):
        NETWORKS["fcn_resnet50"](4, 6, weights="IMAGENET1K_V3")


@pytest.mark.parametrize("n_in", [3, 4, 12])
def test_imagenet_kernels_answer_a_grey_image_alike_at_any_number_of_channels(n_in):
    kernels = torch.randn(5, 3, 7, 7)
    gray = torch.rand(1, 1, 20, 20)
    expected = nn.functional.conv2d(gray.expand(-1, 3, -1, -1), kernels)
    ours = nn.functional.conv2d(gray.expand(-1, n_in, -1, -1), spread_kernels(kernels, n_in))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_mlp_takes_vectors_of_any_scale():
    scale = torch.tensor([1e-2, 1.0, 1e4])
    vectors = torch.randn(256, 3) * scale
    net = NETWORKS["mlp"](3, 6).train()
    assert net(vectors).shape == (256, 6)
    hidden = [layer for layer in net.layers if isinstance(layer, nn.Linear)][:2]
    assert [layer.out_features for layer in hidden] == [128, 128]
    standard = net.standardize(vectors)
    torch.testing.assert_close(
        standard, (vectors - vectors.mean(0)) / vectors.var(0, correction=0).sqrt(),
        rtol=0, atol=2e-2,
    )  # fmt: skip
    assert net.eval()(vectors).sigmoid().mean() < 0.02
    assert net.train()(vectors[:1]).isfinite().all()
