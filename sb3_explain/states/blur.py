"""The Gaussian blur of images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def gaussian_blur(images: Tensor, kernel_size: int, sigma: float) -> Tensor:
    """Blur images by a Gaussian; edges are reflected.

    An image smaller than half the kernel is reflected as far as it goes, then its edge is repeated.

    :param images: (B, C, H, W) images
    :param kernel_size: side of the kernel in pixels, an odd number
    :param sigma: standard deviation of the Gaussian in pixels
    """
    offsets = torch.arange(kernel_size, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * ((offsets - kernel_size // 2) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels, height, width = images.shape[1:]
    radius = kernel_size // 2
    reflect = [min(radius, width - 1)] * 2 + [min(radius, height - 1)] * 2
    rest = [radius - reflect[0]] * 2 + [radius - reflect[2]] * 2
    padded = functional.pad(functional.pad(images, reflect, "reflect"), rest, "replicate")
    rows = functional.conv2d(padded, kernel.expand(channels, 1, 1, kernel_size), groups=channels)
    return functional.conv2d(
        rows, kernel.reshape(-1, 1).expand(channels, 1, kernel_size, 1), groups=channels
    )
