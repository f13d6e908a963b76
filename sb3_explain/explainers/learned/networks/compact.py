"""The network for CPUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.explainers.learned.networks.blocks import EMPTY, conv_block, upsample

#: cells a side of the image-level branch
GRID = 6


@NETWORKS.register("compact")
class Compact(nn.Module):
    """A small network of DeepLabv3's kind, for CPUs: 0.34 M parameters at 4 frames and 7 actions.

    Features at half and quarter resolution, an atrous spatial pyramid (Chen et al., 2017) at a
    quarter, and a decoder that joins them with the half and the full resolution, so that a mask
    can follow a ball of two pixels. The pyramid's image-level branch keeps a coarse grid instead
    of one mean, since in a game it matters who is where.

    :param n_in: channels of the image
    :param n_out: number of masks
    :param width: channels at half resolution
    :param rates: dilation of each branch of the pyramid; the first is a 1x1 convolution
    :param bias: initial logit of every mask
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        width: int = 32,
        rates: tuple[int, ...] = (1, 2, 4, 8),
        bias: float = EMPTY,
    ) -> None:
        super().__init__()
        n_full = width // 2
        self.at_full = conv_block(n_in, n_full, 3)
        self.at_half = nn.Sequential(
            conv_block(n_full, width, 3, stride=2), conv_block(width, width, 3)
        )
        self.at_quarter = nn.Sequential(
            conv_block(width, 2 * width, 3, stride=2), conv_block(2 * width, 2 * width, 3)
        )
        self.pyramid = nn.ModuleList(
            conv_block(2 * width, width, 1 if rate == 1 else 3, rate=rate) for rate in rates
        )
        self.context = nn.Sequential(
            conv_block(2 * width, width, 3, stride=2),
            nn.AdaptiveAvgPool2d(GRID),
            nn.Flatten(),
            nn.Linear(width * GRID**2, 4 * width),
            nn.ReLU(inplace=True),
            nn.Linear(4 * width, width),
        )
        self.project = conv_block((len(rates) + 1) * width, 2 * width, 1)
        self.join = conv_block(3 * width, width, 3)
        # One 1x1 convolution of both resolutions, done apart: it commutes with upsampling.
        self.coarse_head = nn.Conv2d(width, n_out, 1, bias=False)
        self.fine_head = nn.Conv2d(n_full, n_out, 1)
        nn.init.constant_(self.fine_head.bias, bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """(B, n_in, H, W) -> logits (B, n_out, H, W)."""
        full = self.at_full(images)
        half = self.at_half(full)
        quarter = self.at_quarter(half)
        context = self.context(quarter)[:, :, None, None].expand(-1, -1, *quarter.shape[2:])
        branches = [branch(quarter) for branch in self.pyramid]
        features = self.project(torch.cat([*branches, context], dim=1))
        features = self.join(torch.cat([upsample(features, half), half], dim=1))
        fine: Tensor = self.fine_head(full)
        return fine + upsample(self.coarse_head(features), full)
