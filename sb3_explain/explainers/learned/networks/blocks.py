"""Building blocks of the mask networks."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

#: initial logit of every mask: masks are nearly empty at first, and grow where they have to
EMPTY = -6.0


def make_conv_block(
    n_in: int, n_out: int, kernel: int, stride: int = 1, rate: int = 1
) -> nn.Sequential:
    """Make a convolution, batch normalization and ReLU; with "same" padding for a stride of 1.

    :param n_in: number of input channels
    :param n_out: number of output channels
    :param kernel: side of the kernel in pixels, an odd number
    :param stride: stride of the convolution
    :param rate: dilation of the kernel
    """
    padding = rate * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, padding, dilation=rate, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


class Standardize(nn.BatchNorm1d):
    """Standardizes features (B, D) to mean 0 and standard deviation 1 over the training states.

    :param n_features: number of features D
    """

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features, eps=1e-6, affine=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Standardize vectors; a single one has no variance and is treated as in evaluation."""
        self.train(self.training and len(vectors) > 1)
        return super().forward(vectors)


def upsample(features: Tensor, like: Tensor) -> Tensor:
    """Resize features bilinearly to the height and width of ``like``."""
    return F.interpolate(features, size=like.shape[2:], mode="bilinear", align_corners=False)
