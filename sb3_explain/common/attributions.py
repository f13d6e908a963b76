"""Scale, resize and rank attributions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def normalize(attributions: Tensor) -> Tensor:
    """(B, ...) attributions in [-1, 1], each state's divided by their largest magnitude."""
    peaks = (
        attributions.abs()
        .reshape(len(attributions), -1)
        .amax(dim=1)
        .clamp_min(torch.finfo(torch.float32).tiny)
    )
    return attributions / peaks.reshape(-1, *[1] * (attributions.dim() - 1))


def norm(attributions: Tensor) -> Tensor:
    """(B,) 2-norm of each state's attributions (B, ...)."""
    norms: Tensor = torch.linalg.vector_norm(attributions.reshape(len(attributions), -1), dim=1)
    return norms


def join_features(by_key: Mapping[str, Tensor]) -> Tensor:
    """(B, N) features of all keys of observations or attributions; a category (B,) is one."""
    return torch.cat([part.reshape(len(part), -1) for part in by_key.values()], dim=1)


def resize(attributions: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) attributions resized bilinearly to a size (height, width)."""
    return functional.interpolate(attributions, size=size, mode="bilinear", align_corners=False)


def order(attributions: Tensor) -> Tensor:
    """(B, N) features of each state, from the highest attribution to the lowest.

    Features with equal attributions stay in their order.

    :param attributions: (B, ...) attributions of N features
    """
    return attributions.flatten(1).argsort(dim=1, descending=True, stable=True)


def highest(ordering: Tensor, share: float) -> Tensor:
    """(B, N) masks of 1 at the features that come first in an order, and 0 elsewhere.

    :param ordering: (B, N) features in order, as :func:`order` returns them
    :param share: share of the features that get a 1, in [0, 1]; their number is rounded, and at
        least 1 unless the share is 0
    """
    n_highest = max(1, round(share * ordering.shape[1])) if share else 0
    masks = torch.zeros(ordering.shape, device=ordering.device)
    return masks.scatter_(1, ordering[:, :n_highest], 1.0)
