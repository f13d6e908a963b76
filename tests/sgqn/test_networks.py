"""The networks' shapes, their first weights and the decoder's shortcut."""

from contextlib import nullcontext
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional

from sb3_explain.common.errors import ExplainError
from sb3_explain.sgqn.networks import (
    GuidedReLU,
    PixelCNN,
    SaliencyDecoder,
    UpsampledConv2d,
    guided_backpropagation,
    init_orthogonal,
)


def test_eleven_convolutions_make_14112_features_of_84_x_84():
    cnn = PixelCNN(9)
    assert sum(isinstance(layer, nn.Conv2d) for layer in cnn) == 11
    assert isinstance(cnn[-1], nn.Conv2d)
    assert cnn(torch.zeros(2, 9, 84, 84)).shape == (2, *cnn.output_shape(84, 84)) == (2, 32, 21, 21)


@pytest.mark.parametrize("size", [(31, 40), (9, 9), (13, 12)])
def test_output_shape_is_that_of_a_pass(size):
    cnn = PixelCNN(3, n_layers=2, n_filters=4)
    assert cnn(torch.zeros(1, 3, *size)).shape[1:] == cnn.output_shape(*size)


def test_too_many_layers_are_said_with_how_many_fit():
    with pytest.raises(ExplainError, match=r"11 convolutions .* 32 x 40: .*'n_layers': (\d+)") as e:
        PixelCNN(3).output_shape(32, 40)
    most = int(str(e.value).split("'n_layers': ")[1].rstrip("}"))
    PixelCNN(3, most).output_shape(32, 40)
    with pytest.raises(ExplainError):
        PixelCNN(3, most + 1).output_shape(32, 40)


def test_first_weights():
    cnn = PixelCNN(9)
    for layer in cnn:
        if isinstance(layer, nn.Conv2d):
            center = layer.weight[:, :, 1, 1].clone()
            assert torch.count_nonzero(layer.weight) == torch.count_nonzero(center)
            assert not layer.bias.any()
            gram = center.T @ center if layer.in_channels < 32 else center @ center.T
            torch.testing.assert_close(gram, 2 * torch.eye(len(gram)), atol=1e-5, rtol=0)
    linear = nn.Linear(30, 8)
    init_orthogonal(linear)
    torch.testing.assert_close(linear.weight @ linear.weight.T, torch.eye(8), atol=1e-5, rtol=0)


def test_relu_is_a_relu_and_its_gradient_is_guided_within_the_context_alone():
    x = torch.tensor([-1.0, 2.0, 3.0, 0.0], requires_grad=True)
    outputs = GuidedReLU()(x)
    assert outputs.tolist() == [0, 2, 3, 0]
    back = torch.tensor([5.0, -5.0, 7.0, 1.0])
    (plain,) = torch.autograd.grad(outputs, x, back, retain_graph=True)
    with guided_backpropagation():
        (guided,) = torch.autograd.grad(outputs, x, back, retain_graph=True)
    (after,) = torch.autograd.grad(outputs, x, back)
    assert plain.tolist() == after.tolist() == [0, -5, 7, 0]
    assert guided.tolist() == [0, 0, 7, 0]


@pytest.mark.filterwarnings("ignore")
def test_compiled_gradients_are_guided_too():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(5, 6), GuidedReLU(), nn.Linear(6, 6), GuidedReLU()).double()
    compiled = torch.compile(plain, backend="aot_eager", fullgraph=True)
    found = {}
    for guided, (name, network) in product(
        (False, True), (("plain", plain), ("compiled", compiled))
    ):
        x = torch.linspace(-2, 2, 20, dtype=torch.double).view(4, 5).requires_grad_()
        outputs = network(x)
        back = torch.linspace(-1, 1, outputs.numel(), dtype=torch.double).view_as(outputs)
        with guided_backpropagation() if guided else nullcontext():
            (found[guided, name],) = torch.autograd.grad(outputs, x, back)
    for guided in (False, True):
        torch.testing.assert_close(
            found[guided, "plain"], found[guided, "compiled"], rtol=0, atol=1e-15
        )
    assert not torch.allclose(found[True, "compiled"], found[False, "compiled"])


def test_the_upsampled_convolution_is_an_upsampling_and_a_convolution():
    torch.manual_seed(0)
    layer = UpsampledConv2d(5, 7).double()
    x = torch.randn(2, 5, 6, 4, dtype=torch.double, requires_grad=True)
    fast = layer(x)
    plain = functional.conv2d(
        functional.interpolate(x, scale_factor=2), layer.weight, layer.bias, padding=1
    )
    torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-12)
    back = torch.randn_like(fast)
    inputs = [x, layer.weight, layer.bias]
    for ours, theirs in zip(
        torch.autograd.grad(fast, inputs, back), torch.autograd.grad(plain, inputs, back),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(9, 84, 84), (3, 30, 41)])
def test_the_decoder_draws_images_of_any_size(shape):
    decoder = SaliencyDecoder(10, 2, shape, 4, (6, 5))
    assert decoder(torch.zeros(3, 10), torch.zeros(3, 2)).shape == (3, *shape)
