"""Orders of whole regions: superpixels, or patches around cells."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.explainers.perturbation.lime import SEGMENTERS


def rank(ordering: Tensor) -> Tensor:
    """(B, N) place of each feature in an order (B, N), from 0."""
    places = torch.arange(ordering.shape[1], device=ordering.device).expand_as(ordering)
    return torch.empty_like(ordering).scatter_(1, ordering, places)


def rank_patches(ranks: Tensor, patch_size: int) -> Tensor:
    """Rank cells by the first cell of the patch around them; of one patch, by their own rank.

    The order then changes a whole patch before the next, and step k still changes as many cells.

    :param ranks: (B, C, H, W) ranks of the cells
    :param patch_size: height and width of the patch, an odd number
    :return: (B, C, H, W) ranks of the cells, from 0
    :raises ExplainError: for another patch size
    """
    if patch_size < 1 or patch_size % 2 == 0:
        raise ExplainError(f"patch_size={patch_size}: give an odd number of pixels, such as 7")
    n_features = ranks[0].numel()
    first = -functional.max_pool2d(-ranks.double(), patch_size, stride=1, padding=patch_size // 2)
    # both are whole numbers below n_features, so that their order is that of the pair
    pairs = (first * n_features + ranks).flatten(1)
    return rank(pairs.argsort(dim=1)).view(ranks.shape)


def rank_segments(relevance: Tensor, images: Tensor, segmentation_method: str) -> Tensor:
    """Rank pixels by the mean relevance of their superpixel, all pixels of one alike.

    Superpixels are those of the mean of an image's channels. The rank of one is the number of
    pixels of those before it, with half of its own: at half a step it is in or out as a whole.

    :param relevance: (B, C, H, W)
    :param images: (B, C, H, W)
    :param segmentation_method: ``"felzenszwalb"``, ``"slic"`` or ``"quickshift"``
    :return: (B, H * W) ranks, from 0
    :raises ExplainError: for an unknown method
    """
    if segmentation_method not in SEGMENTERS:
        raise unknown_name("segmentation_method", segmentation_method, SEGMENTERS)
    segment = SEGMENTERS[segmentation_method]
    ranks = []
    for image, mass in zip(images, relevance, strict=True):
        gray = image.double().mean(dim=0).cpu().numpy()
        extent = np.ptp(gray) or 1.0
        labels = np.unique(segment((gray - gray.min()) / extent), return_inverse=True)[1].ravel()
        sizes = np.bincount(labels)
        means = np.bincount(labels, mass.double().mean(dim=0).cpu().numpy().ravel()) / sizes
        order = np.argsort(-means, kind="stable")
        middle = np.empty(len(order), dtype=np.int64)
        middle[order] = np.cumsum(sizes[order]) - (sizes[order] + 1) // 2
        ranks.append(torch.from_numpy(middle[labels]))
    return torch.stack(ranks).to(images.device)
