"""The default mask network, which is small enough for CPUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.explainers.learned.networks.blocks import EMPTY, make_conv_block, upsample

#: side of the image-level branch's grid
GRID = 6


@NETWORKS.register("compact")
class Compact(nn.Module):
    """A small network like DeepLabv3, for CPUs: 0.34 M parameters for 4 frames and 7 actions.

    It has features at half and quarter resolution, an atrous spatial pyramid (Chen et al., 2017) at
    quarter resolution, and a decoder that joins them with half and full resolution, so that a mask
    can follow a ball of two pixels. The pyramid's image-level branch has a coarse grid instead of
    one mean, since positions matter in a game.

    :param n_in: number of channels of the image
    :param n_out: number of masks
    :param width: number of channels at half resolution
    :param rates: dilation of each branch of the pyramid; a branch of 1 is a 1x1 convolution
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
        self.at_full = make_conv_block(n_in, n_full, 3)
        self.at_half = nn.Sequential(
            make_conv_block(n_full, width, 3, stride=2), make_conv_block(width, width, 3)
        )
        self.at_quarter = nn.Sequential(
            make_conv_block(width, 2 * width, 3, stride=2), make_conv_block(2 * width, 2 * width, 3)
        )
        self.pyramid = nn.ModuleList(
            make_conv_block(2 * width, width, 1 if rate == 1 else 3, rate=rate) for rate in rates
        )
        self.context = nn.Sequential(
            make_conv_block(2 * width, width, 3, stride=2),
            nn.AdaptiveAvgPool2d(GRID),
            nn.Flatten(),
            nn.Linear(width * GRID**2, 4 * width),
            nn.ReLU(inplace=True),
            nn.Linear(4 * width, width),
        )
        self.project = make_conv_block((len(rates) + 1) * width, 2 * width, 1)
        self.join = make_conv_block(3 * width, width, 3)
        # One 1x1 convolution of both resolutions, done apart: it commutes with upsampling.
        self.coarse_head = nn.Conv2d(width, n_out, 1, bias=False)
        self.fine_head = nn.Conv2d(n_full, n_out, 1)
        nn.init.constant_(self.fine_head.bias, bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (B, n_in, H, W) into logits (B, n_out, H, W)."""
        full = self.at_full(images)
        half = self.at_half(full)
        quarter = self.at_quarter(half)
        context = self.context(quarter)[:, :, None, None].expand(-1, -1, *quarter.shape[2:])
        branches = [branch(quarter) for branch in self.pyramid]
        features = self.project(torch.cat([*branches, context], dim=1))
        features = self.join(torch.cat([upsample(features, half), half], dim=1))
        fine: Tensor = self.fine_head(full)
        return fine + upsample(self.coarse_head(features), full)
