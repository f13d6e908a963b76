"""The networks of SGQN and of the pixel-based baselines: Bertoin et al. (2022), appendix C.

Observations are scaled to [0, 1], as Stable-Baselines3 passes them to features extractors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional

from sb3_explain.common.errors import ExplainError
from sb3_explain.sgqn.augmentations import center_crop


class _Guide:
    """Whether gradients are guided now; read during the backward pass, also by other threads."""

    on = False


@contextmanager
def guided_backpropagation() -> Iterator[None]:
    """Context in which every :class:`GuidedReLU` passes back positive gradients only.

    Springenberg et al. (2015): the gradient is clamp(g, 0) * [x > 0]. The forward pass is the same
    with and without guidance, so that one pass is enough for the attribution and the loss.
    """
    _Guide.on = True
    try:
        yield
    finally:
        _Guide.on = False


class _GuidedReLUFunction(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, inputs: Tensor) -> Tensor:
        outputs = inputs.clamp_min(0)
        context.save_for_backward(outputs)
        return outputs

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (outputs,) = context.saved_tensors
        if torch.compiler.is_compiling():
            return _compiled_gradient(gradient, outputs)  # type: ignore[no-any-return]
        return _relu_gradient(gradient, outputs)


def _relu_gradient(gradient: Tensor, outputs: Tensor) -> Tensor:
    if _Guide.on:
        gradient = gradient.clamp_min(0)
    return torch.ops.aten.threshold_backward(gradient, outputs, 0)  # type: ignore[no-any-return]


# Opaque to torch.compile, which would otherwise freeze the flag at the value it has when traced.
_compiled_gradient = torch.library.custom_op(
    "sb3_explain::relu_gradient", _relu_gradient, mutates_args=()
)
_compiled_gradient.register_fake(lambda gradient, outputs: torch.empty_like(outputs))


class GuidedReLU(nn.ReLU):
    """A ReLU whose gradient can be guided, see :func:`guided_backpropagation`."""

    def forward(self, input: Tensor) -> Tensor:
        outputs: Tensor = _GuidedReLUFunction.apply(input)  # type: ignore[no-untyped-call]
        return outputs


class PixelCNN(nn.Sequential):
    """A stack of 3x3 convolutions without padding, the first with stride 2, with ReLUs between.

    :param channels: number of channels of the images
    :param n_layers: number of convolutions
    :param n_filters: number of output channels of each convolution
    """

    def __init__(self, channels: int, n_layers: int = 11, n_filters: int = 32) -> None:
        layers: list[nn.Module] = [nn.Conv2d(channels, n_filters, 3, stride=2)]
        for _ in range(n_layers - 1):
            layers += [GuidedReLU(), nn.Conv2d(n_filters, n_filters, 3)]
        super().__init__(*layers)
        self.n_layers, self.n_filters = n_layers, n_filters
        # nearly twice as fast as channels first, on CPUs and GPUs
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                init_delta_orthogonal(layer)

    def forward(self, input: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to features (B, n_filters, h, w)."""
        features = input.contiguous(memory_format=torch.channels_last)
        for layer in self:
            features = layer(features)
        return features

    def output_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return the shape (n_filters, h, w) of the features of images of this size.

        :param height: height of the images in pixels
        :param width: width of the images in pixels
        :raises ExplainError: if the images are too small for that many convolutions
        """
        h, w = ((size - 3) // 2 + 1 - 2 * (self.n_layers - 1) for size in (height, width))
        if min(h, w) < 1:
            raise ExplainError(
                f"{self.n_layers} convolutions are too many for images of {height} x {width}: "
                f"give fewer, policy_kwargs={{'n_layers': {self._max_layers(height, width)}}}"
            )
        return self.n_filters, h, w

    @staticmethod
    def _max_layers(height: int, width: int) -> int:
        return max(1, ((min(height, width) - 3) // 2) // 2 + 1)


class PixelEncoder(BaseFeaturesExtractor):
    """Features extractor: a CNN, then a projection (linear, layer norm, tanh) to [-1, 1].

    Actor and critics share one CNN, and each has a projection of its own.

    :param observation_space: space of images (C, H, W)
    :param cnn: the shared CNN
    :param features_dim: number of features after the projection
    :param size: side in pixels of the central square that is cropped from the images; ``None`` for
        the whole image
    :raises ExplainError: if the images are smaller than the square, or too small for the CNN
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        cnn: PixelCNN,
        features_dim: int = 100,
        size: int | None = None,
    ) -> None:
        super().__init__(observation_space, features_dim)
        height, width = observation_space.shape[1:]
        if size is not None:
            if min(height, width) < size:
                raise ExplainError(
                    f"the policy looks at {size} x {size} pixels, and the images have {height} x "
                    f"{width}: render larger ones, or give policy_kwargs={{'size': ...}}"
                )
            height = width = size
        self.size = size
        self.cnn = cnn
        #: number of features of the CNN
        self.n_inputs = torch.Size(cnn.output_shape(height, width)).numel()
        self.projection = nn.Sequential(
            nn.Flatten(),
            nn.Linear(self.n_inputs, features_dim),
            nn.LayerNorm(features_dim),
            nn.Tanh(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to features (B, features_dim)."""
        if self.size is not None:
            images = center_crop(images, self.size)
        embedding: Tensor = self.projection(self.cnn(images))
        return embedding


class UpsampledConv2d(nn.Conv2d):
    """Nearest upsampling by two followed by a 3x3 convolution with padding 1, in one step.

    Together they are a transposed convolution of stride 2 with a 4x4 kernel, each of whose taps is
    the sum of those taps of the 3x3 kernel that see the same input. This needs 16 multiplications
    for the four outputs of an input instead of 36.

    :param in_channels: number of input channels
    :param out_channels: number of output channels
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, 2h, 2w)."""
        # The two copies of a row meet neighbouring taps: a box filter of width two. A transposed
        # convolution scatters where a convolution gathers: the kernel is flipped.
        kernel = self.weight.flip(2, 3).transpose(0, 1)
        padded = functional.pad(kernel, (1, 1, 1, 1))
        taller = padded[:, :, 1:] + padded[:, :, :-1]
        wider = taller[:, :, :, 1:] + taller[:, :, :, :-1]
        return functional.conv_transpose2d(input, wider, self.bias, stride=2, padding=1)


class SaliencyDecoder(nn.Module):
    """Predicts the agent's own saliency mask: M_theta of Bertoin et al. (2022), section 3.

    :param features_dim: number of features of the critic's embedding
    :param n_actions: number of dimensions of the action
    :param image_shape: shape (C, H, W) of the images and of the mask
    :param n_filters: number of channels of the linear layer's output
    :param filters: numbers of channels between the three convolutions; the paper has (64, 64)
    """

    def __init__(
        self,
        features_dim: int,
        n_actions: int,
        image_shape: tuple[int, int, int],
        n_filters: int = 32,
        filters: Sequence[int] = (128, 64),
    ) -> None:
        super().__init__()
        channels, self.height, self.width = image_shape
        h, w = -(-self.height // 4), -(-self.width // 4)
        self.first_shape = (n_filters, h, w)
        self.linear = nn.Linear(features_dim + n_actions, n_filters * h * w)
        layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(n_filters, filters[0], 3, padding=1),
            nn.ReLU(),
            UpsampledConv2d(filters[0], filters[1]),
            nn.ReLU(),
            UpsampledConv2d(filters[1], channels),
        )
        self.layers = layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, embedding: Tensor, actions: Tensor) -> Tensor:
        """Compute logits (B, C, H, W) of the probability that a pixel is in the mask.

        :param embedding: (B, features_dim) the critic's embedding of the state
        :param actions: (B, n_actions) in [-1, 1]
        """
        features = self.linear(torch.cat([embedding, actions], dim=1)).view(-1, *self.first_shape)
        logits: Tensor = self.layers(features.contiguous(memory_format=torch.channels_last))
        top, left = (logits.shape[2] - self.height) // 2, (logits.shape[3] - self.width) // 2
        return logits[:, :, top : top + self.height, left : left + self.width]


def init_delta_orthogonal(layer: nn.Conv2d) -> None:
    """Initialize by Xiao et al. (2018): orthogonal center tap of gain sqrt(2), zero elsewhere."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    center = layer.kernel_size[0] // 2
    nn.init.orthogonal_(layer.weight[:, :, center, center], nn.init.calculate_gain("relu"))


def init_orthogonal(module: nn.Module) -> None:
    """Initialize linear layers with orthogonal weights of gain 1 and zero bias (for ``apply``)."""
    if isinstance(module, nn.Linear):
        nn.init.orthogonal_(module.weight)
        nn.init.zeros_(module.bias)
