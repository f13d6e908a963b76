"""What is done to saliency maps once they exist: scale, resize, order."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def normalize(attributions: Tensor) -> Tensor:
    """(B, ...) maps divided by the largest magnitude of each, so that values lie in [-1, 1]."""
    peaks = attributions.abs().flatten(1).amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
    return attributions / peaks.reshape(-1, *[1] * (attributions.dim() - 1))


def norm(attributions: Tensor) -> Tensor:
    """(B,) 2-norms of maps (B, ...)."""
    norms: Tensor = torch.linalg.vector_norm(attributions.flatten(1), dim=1)
    return norms


def resize(attributions: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) maps at another size (height, width), bilinearly."""
    return functional.interpolate(attributions, size=size, mode="bilinear", align_corners=False)


def order(attributions: Tensor) -> Tensor:
    """(B, N) cells of each map from the highest attribution to the lowest; ties keep cell order."""
    return attributions.flatten(1).argsort(dim=1, descending=True, stable=True)


def highest(ordering: Tensor, share: float) -> Tensor:
    """(B, N) of 1 at the first round(share * N) cells of ``ordering`` (B, N), and 0 elsewhere."""
    n_kept = round(share * ordering.shape[1])
    masks = torch.zeros(ordering.shape, device=ordering.device)
    return masks.scatter_(1, ordering[:, :n_kept], 1.0)
