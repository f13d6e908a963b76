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


class Standardize(nn.BatchNorm1d):
    """(B, D) features with mean 0 and deviation 1, whatever their scale, as training saw them.

    :param n_features: D
    """

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features, eps=1e-6, affine=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """One vector alone has no variance: it is standardised as in evaluation."""
        self.train(self.training and len(vectors) > 1)
        return super().forward(vectors)


def upsample(features: Tensor, like: Tensor) -> Tensor:
    """``features`` at the height and width of ``like``, bilinearly."""
    return F.interpolate(features, size=like.shape[2:], mode="bilinear", align_corners=False)
