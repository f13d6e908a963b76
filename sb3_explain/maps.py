"""What is done to saliency maps once they exist: scale, resize, merge, threshold."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def normalise(maps: Tensor) -> Tensor:
    """(B, ...) maps divided by the largest magnitude of each, so that values lie in [-1, 1]."""
    peaks = maps.abs().flatten(1).amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
    return maps / peaks.reshape(-1, *[1] * (maps.dim() - 1))


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) maps at another size (height, width), bilinearly."""
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def merge_frames(maps: Tensor) -> Tensor:
    """(..., F, H, W) maps of a frame stack as one picture (..., H, W): the maximum over frames."""
    return maps.amax(dim=-3)


def order(maps: Tensor) -> Tensor:
    """(B, N) cells of each map from the highest attribution to the lowest; ties keep cell order."""
    return maps.flatten(1).argsort(dim=1, descending=True, stable=True)


def top_share(maps: Tensor, share: float) -> Tensor:
    """Binary maps that keep the ``share`` highest cells of each map.

    :param maps: (B, ...) of N cells each
    :param share: in [0, 1]; ``round(share * N)`` cells are kept, whatever ties there are
    :return: of the maps' shape, 1 where kept and 0 elsewhere
    """
    n_kept = round(share * maps[0].numel())
    kept = torch.zeros_like(maps).flatten(1)
    kept.scatter_(1, order(maps)[:, :n_kept], 1.0)
    return kept.reshape(maps.shape)
