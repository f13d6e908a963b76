"""The U-Net as a mask network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.explainers.learned.networks.blocks import EMPTY, make_conv_block

#: number of levels of resolution
LEVELS = 5


def make_double_block(n_in: int, n_out: int) -> nn.Sequential:
    """Make two 3x3 convolutions with batch normalization and ReLU."""
    return nn.Sequential(make_conv_block(n_in, n_out, 3), make_conv_block(n_out, n_out, 3))


@NETWORKS.register("unet")
class UNet(nn.Module):
    """U-Net (Ronneberger et al., 2015): 64 to 1024 channels, 31 M parameters, images of any size.

    It has "same" padding, so that the masks have the image's size, and batch normalization.

    :param n_in: number of channels of the image
    :param n_out: number of masks
    :param width: number of channels at full resolution, which doubles with each of four halvings
    :param bias: initial logit of every mask
    """

    def __init__(self, n_in: int, n_out: int, width: int = 64, bias: float = EMPTY) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(
            make_double_block(before, after)
            for before, after in zip([n_in, *widths[:-1]], widths, strict=True)
        )
        # Rounded up: an odd side becomes one pixel too long on the way up, which is cut off.
        self.halve = nn.MaxPool2d(2, ceil_mode=True)
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(2 * after, after, 2, stride=2) for after in widths[-2::-1]
        )
        self.up = nn.ModuleList(make_double_block(2 * after, after) for after in widths[-2::-1])
        self.head = nn.Conv2d(width, n_out, 1)
        nn.init.constant_(self.head.bias, bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (B, n_in, H, W) into logits (B, n_out, H, W)."""
        features = self.down[0](images)
        skipped = []
        for block in self.down[1:]:
            skipped.append(features)
            features = block(self.halve(features))
        for enlarge, block, skip in zip(self.enlarge, self.up, reversed(skipped), strict=True):
            features = enlarge(features)[..., : skip.shape[2], : skip.shape[3]]
            features = block(torch.cat([skip, features], dim=1))
        logits: Tensor = self.head(features)
        return logits
