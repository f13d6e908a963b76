"""The terms that learned masks are trained with: VisionMask's (Zuo et al., IJCAI 2025, sec. 3.3).

``scores[b, i, j]`` is the score of action j on state b seen through the mask of action i.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.common.errors import unknown_name

AREA_TERMS = ("hinge", "l1_paper", "minmax")
#: least and greatest share of a mask that the min-max term leaves alone (Stalder et al., 2022)
MINMAX_BOUNDS = (0.05, 0.3)


def contrastive(scores: Tensor, target: Tensor) -> Tensor:
    """Eq. 2 and 3: the mask of the target action preserves it, and no other mask does so as well.

    Of each sum one term is left: the cross-entropy of row a (over actions j) and of column a (over
    masks i). Their mean is returned; the paper's 1/K, a mere scale, is left to the caller.

    :param scores: (B, K, K)
    :param target: (B,)
    :return: (), mean over the batch
    """
    batch = torch.arange(len(scores), device=scores.device)
    row = scores[batch, target].log_softmax(dim=1)[batch, target]
    column = scores[batch, :, target].log_softmax(dim=1)[batch, target]
    return -(row + column).mean() / 2


def contrastive_box(similarity: Tensor, complement_similarity: Tensor) -> Tensor:
    """Eq. 2 and 3 for Box actions: the mask of dimension i preserves it, and no other does so well.

    ``similarity[b, i, j]`` is minus the divergence of action dimension j on state b seen through
    mask i from what it is on state b. Every dimension is a target. Of unbounded divergences the
    logarithm of 1 + KL enters the softmaxes, so that one far outlier does not rule the gradient.
    The complement of mask i is one more mask that shall not preserve dimension i, and the
    divergence itself shall be small: where an action has one dimension, there is no other to be
    compared with.

    :param similarity: (B, A, A), at most 0
    :param complement_similarity: (B, A, A), on the complement states
    :return: (), mean over the batch and the dimensions
    """
    bounded = -torch.log1p(-similarity.clamp_max(0))
    left = -torch.log1p(-complement_similarity.clamp_max(0)).diagonal(dim1=1, dim2=2)
    own = bounded.diagonal(dim1=1, dim2=2)
    row = own - bounded.logsumexp(dim=2)
    column = own - torch.logaddexp(bounded.logsumexp(dim=1), left)
    return -(row + column).mean() / 2 - own.mean()


def negative_entropy(complement_scores: Tensor, *, over_masks: bool = True) -> Tensor:
    """Eq. 4: what the masks leave out shall not tell the agent what to do.

    The mean of p log p over batch, masks and actions, with p a softmax over actions; practice
    averages in the same with p a softmax over masks.

    :param complement_scores: (B, K, K), on the complement states
    :param over_masks: average in the second term; ``False`` for the paper's equation alone
    :return: ()
    """
    terms = [_mean_p_log_p(complement_scores, dim=2)]
    if over_masks:
        terms.append(_mean_p_log_p(complement_scores, dim=1))
    return torch.stack(terms).mean()


def _mean_p_log_p(scores: Tensor, dim: int) -> Tensor:
    log_p = scores.log_softmax(dim=dim)
    return (log_p.exp() * log_p).mean()


def area(masks: Tensor, max_area: float, term: str = "hinge") -> Tensor:
    """Eq. 5, three ways.

    ``"hinge"``: mean + |mean - a_max| = a_max + 2 relu(mean - a_max): free up to a_max, as the
    paper's text says. ``"l1_paper"``: |mean - a_max|, as printed, which pulls every mask up to
    a_max. ``"minmax"``: :func:`area_bounds`, without a_max.

    :param masks: (B, K, ...) in [0, 1]
    :param max_area: a_max, share of the cells
    :param term: one of :data:`AREA_TERMS`
    :return: (), mean over batch and masks
    """
    means = masks.flatten(2).mean(dim=2)
    if term == "hinge":
        return (means + (means - max_area).abs()).mean()
    if term == "l1_paper":
        return (means - max_area).abs().mean()
    if term == "minmax":
        return area_bounds(masks)
    raise unknown_name("area term", term, AREA_TERMS)


def area_bounds(masks: Tensor) -> Tensor:
    """Stalder et al. (2022): a mask is 1 on a twentieth of its cells at least, 0 on the least 70 %.

    Of the cells in descending order, what the first ones lack to 1 and the last ones have above 0.

    :param masks: (B, K, ...) in [0, 1]
    :return: (), mean over batch, masks and cells
    """
    low, high = MINMAX_BOUNDS
    cells = masks.flatten(2).sort(dim=2, descending=True).values
    n = cells.shape[2]
    ranks = torch.arange(n, device=masks.device)
    at_least = (ranks < low * n).to(cells.dtype)
    at_most = (ranks < high * n).to(cells.dtype)
    return (torch.relu(at_least - cells) + torch.relu(cells - at_most)).mean()


def total_variation(masks: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring cells, down and across.

    :param masks: (..., H, W)
    :return: ()
    """
    down = (masks[..., 1:, :] - masks[..., :-1, :]).abs().mean()
    across = (masks[..., :, 1:] - masks[..., :, :-1]).abs().mean()
    return down + across
