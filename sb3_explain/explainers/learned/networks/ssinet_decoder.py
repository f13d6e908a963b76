"""The decoder of SSINet, which turns an agent's features into masks over its observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_explain.explainers.learned.networks.blocks import make_conv_block, upsample

#: initial logit of every mask: masks are nearly full at first, and shrink where nothing is needed
FULL = 3.0


class SSINetDecoder(nn.Module):
    """Logits of one mask over every image, from the outputs of the agent's convolutions.

    :param features: shape (C, H, W) of each output
    :param images: shape (C, H, W) of each image, by key
    :param n_frames: number of frames F of a mask
    :param width: number of channels of the decoder
    :param bias: initial logit of every mask
    """

    def __init__(
        self,
        features: Sequence[tuple[int, ...]],
        images: Mapping[str, tuple[int, ...]],
        n_frames: int,
        width: int = 32,
        bias: float = FULL,
    ) -> None:
        super().__init__()
        self.names = list(images)
        self.decoders = nn.ModuleList(
            ImageDecoder(features, shape[1:], n_frames, width, bias) for shape in images.values()
        )

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Turn outputs (B, C, H, W), in order, into logits (B, 1, F, H, W) by key."""
        decoders = zip(self.names, self.decoders, strict=True)
        return {name: decoder(features)[:, None] for name, decoder in decoders}


def make_coordinates(features: Tensor) -> Tensor:
    """Make the coordinates (B, 2, H, W) of features (B, C, H, W): rows and columns from -1 to 1."""
    rows, columns = (torch.linspace(-1, 1, n, device=features.device) for n in features.shape[2:])
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    return grid.to(features.dtype).expand(len(features), -1, -1, -1)


class ImageDecoder(nn.Module):
    """Upsamples from the coarsest features to the finest and to the image, bilinearly.

    Features of one size enter together with their coordinates: a convolution does not know where it
    is, while the agent's linear layers do. After the finest features the resolution is doubled
    until less than another doubling is left to that of the image.

    :param features: shape (C, H, W) of each output
    :param size: height and width (H, W) of the image
    :param n_out: number of channels of logits
    :param width: number of channels in between
    :param bias: initial logit of every mask
    """

    def __init__(
        self,
        features: Sequence[tuple[int, ...]],
        size: tuple[int, ...],
        n_out: int,
        width: int,
        bias: float,
    ) -> None:
        super().__init__()
        self.size = size
        #: sizes of features from coarse to fine, each with the indices of its outputs
        self.levels = {
            level: [i for i, shape in enumerate(features) if shape[1:] == level]
            for level in sorted({shape[1:] for shape in features}, key=lambda hw: hw[0] * hw[1])
        }
        channels = [sum(features[i][0] for i in of) for of in self.levels.values()]
        # features may have any scale
        self.standardize = nn.ModuleList(nn.BatchNorm2d(n_in, affine=False) for n_in in channels)
        self.enter = nn.ModuleList(make_conv_block(n_in + 2, width, 1) for n_in in channels)
        self.join = nn.ModuleList(make_conv_block(2 * width, width, 3) for _ in channels[1:])
        finest = list(self.levels)[-1]
        self.doublings = max(0, min(size[0] // finest[0], size[1] // finest[1]).bit_length() - 1)
        self.refine = nn.ModuleList(make_conv_block(width, width, 3) for _ in range(self.doublings))
        self.head = nn.Conv2d(width, n_out, 3, padding=1)
        nn.init.constant_(self.head.bias, bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Turn outputs (B, C, H, W) into logits (B, n_out, H, W) of the image's size."""
        entered = []
        for standardize, enter, of in zip(
            self.standardize, self.enter, self.levels.values(), strict=True
        ):
            level = standardize(torch.cat([features[i] for i in of], dim=1))
            entered.append(enter(torch.cat([level, make_coordinates(level)], dim=1)))
        joined = entered[0]
        for join, skip in zip(self.join, entered[1:], strict=True):
            joined = join(torch.cat([upsample(joined, skip), skip], dim=1))
        for refine in self.refine:
            joined = refine(F.interpolate(joined, scale_factor=2, mode="bilinear"))
        return F.interpolate(self.head(joined), size=self.size, mode="bilinear")
