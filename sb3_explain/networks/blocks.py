"""What the mask networks are made of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

#: initial logit of every mask: masks begin nearly empty and grow where they must
EMPTY = -6.0


def conv_block(n_in: int, n_out: int, kernel: int, stride: int = 1, rate: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; "same" padding for a stride of 1."""
    padding = rate * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, padding, dilation=rate, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


def upsample(features: Tensor, like: Tensor) -> Tensor:
    """``features`` at the height and width of ``like``, bilinearly."""
    return F.interpolate(features, size=like.shape[2:], mode="bilinear", align_corners=False)
