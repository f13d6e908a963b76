"""The loss terms of learned masks: those of VisionMask (Zuo et al., IJCAI 2025, section 3.3).

``scores[b, i, j]`` is the score of action j on state b, masked by the mask of action i.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.common.errors import unknown_name

AREA_TERMS = ("hinge", "l1_paper", "minmax")
#: bounds of a mask's area between which the min-max term is 0 (Stalder et al., 2022)
MINMAX_BOUNDS = (0.05, 0.3)


def contrastive(scores: Tensor, target: Tensor) -> Tensor:
    """Eq. 2 and 3: the mask of the target action preserves it, and no other mask does so as well.

    One term of each sum is not 0: the cross-entropy of row a (over actions j) and of column a (over
    masks i). Their mean is returned; the paper's factor 1/K is left to the caller.

    :param scores: (B, K, K) scores
    :param target: (B,) index a of the target action
    :return: () mean over the batch
    """
    batch = torch.arange(len(scores), device=scores.device)
    row = scores[batch, target].log_softmax(dim=1)[batch, target]
    column = scores[batch, :, target].log_softmax(dim=1)[batch, target]
    return -(row + column).mean() / 2


def contrastive_box(similarity: Tensor, complement_similarity: Tensor) -> Tensor:
    """Eq. 2 and 3 for Box actions: the mask of dimension i preserves it, and no other does so well.

    ``similarity[b, i, j]`` is minus the divergence of action dimension j between state b masked by
    mask i and state b itself. Every dimension is a target. The softmaxes take -log(1 + KL), since
    divergences are unbounded and one outlier would dominate the gradient. The complement of mask i
    is one more mask that shall not preserve dimension i, and the divergence itself shall be small:
    an action of one dimension has no other dimension to be compared with.

    :param similarity: (B, A, A) similarities of masked states, at most 0
    :param complement_similarity: (B, A, A) similarities of the complement states, at most 0
    :return: () mean over the batch and the dimensions
    """
    bounded = -torch.log1p(-similarity.clamp_max(0))
    left = -torch.log1p(-complement_similarity.clamp_max(0)).diagonal(dim1=1, dim2=2)
    own = bounded.diagonal(dim1=1, dim2=2)
    row = own - bounded.logsumexp(dim=2)
    column = own - torch.logaddexp(bounded.logsumexp(dim=1), left)
    return -(row + column).mean() / 2 - own.mean()


def negative_entropy(complement_scores: Tensor, *, over_masks: bool = True) -> Tensor:
    """Eq. 4: the agent shall not be able to tell its action from what the masks leave out.

    This is the mean of p log p over batch, masks and actions, where p is a softmax over actions;
    in practice it is averaged with the same term where p is a softmax over masks.

    :param complement_scores: (B, K, K) scores on the complement states
    :param over_masks: whether the second term is averaged in; ``False`` for the paper's equation
    :return: () mean
    """
    terms = [_mean_p_log_p(complement_scores, dim=2)]
    if over_masks:
        terms.append(_mean_p_log_p(complement_scores, dim=1))
    return torch.stack(terms).mean()


def _mean_p_log_p(scores: Tensor, dim: int) -> Tensor:
    log_p = scores.log_softmax(dim=dim)
    return (log_p.exp() * log_p).mean()


def area(masks: Tensor, max_area: float, term: str = "hinge") -> Tensor:
    """Eq. 5, in one of three versions.

    ``"hinge"`` is mean + |mean - a_max| = a_max + 2 relu(mean - a_max): areas up to a_max cost
    nothing, as the paper's text says. ``"l1_paper"`` is |mean - a_max| as printed, which pulls
    every mask up to a_max. ``"minmax"`` is :func:`area_bounds`, without a_max.

    :param masks: (B, K, ...) masks in [0, 1]
    :param max_area: a_max, a share of the pixels or features, in [0, 1]
    :param term: one of :data:`AREA_TERMS`
    :return: () mean over batch and masks
    :raises ExplainError: for an unknown term
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
    """Stalder et al. (2022): a mask shall be 1 on 5 % of its values, and 0 on 70 % of them.

    The values are sorted in descending order; the first 5 % cost their distance from 1, and the
    last 70 % their distance from 0.

    :param masks: (B, K, ...) masks in [0, 1]
    :return: () mean over batch, masks and values
    """
    low, high = MINMAX_BOUNDS
    values = masks.flatten(2).sort(dim=2, descending=True).values
    n = values.shape[2]
    ranks = torch.arange(n, device=masks.device)
    at_least = (ranks < low * n).to(values.dtype)
    at_most = (ranks < high * n).to(values.dtype)
    return (torch.relu(at_least - values) + torch.relu(values - at_most)).mean()


def total_variation(masks: Tensor) -> Tensor:
    """Mean absolute difference of neighboring pixels, down and across; 0 where there are none.

    :param masks: (..., H, W) masks
    :return: () mean
    """
    down = (masks[..., 1:, :] - masks[..., :-1, :]).abs()
    across = (masks[..., :, 1:] - masks[..., :, :-1]).abs()
    # a mean of no neighbors would be NaN
    terms = [along.mean() for along in (down, across) if along.numel()]
    return torch.stack(terms).sum() if terms else masks.new_zeros(())
