"""Which copies of a state to pass through the agent, and what it would say of the others."""

from __future__ import annotations

import torch
from torch import Tensor

#: variance that no linear function explains, over the mean variance of the copies
NOISE = 1e-3
#: numbers of the covariances that exist at the same time
MAX_COVARIANCES = 2**24


def find_covariance(change: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Covariance of what a linear agent says of the copies s + M change, if it is not known.

    A linear agent with weights g moves by g . (M change). For independent weights of variance 1 the
    covariance of two copies is the sum over pixels of M M' change^2; a mask M is the product of a
    profile along y and one along x, so that the sum is two products of matrices.

    :param change: (B, C, H, W) what a mask of 1 adds to the states
    :param rows: (n, H) profiles along y
    :param columns: (m, W) profiles along x
    :return: (B, n * m, n * m) covariances, with :data:`NOISE` on the diagonal
    """
    n, m = len(rows), len(columns)
    along_y = (rows[:, None] * rows).flatten(0, 1)
    along_x = (columns[:, None] * columns).flatten(0, 1)
    pairs = along_y @ change.square().sum(dim=1) @ along_x.T
    covariance = pairs.view(-1, n, n, m, m).transpose(2, 3).reshape(-1, n * m, n * m)
    variance = covariance.diagonal(dim1=1, dim2=2)
    # of a state that no copy changes, all is noise
    noise = NOISE * variance.mean(dim=1, keepdim=True).clamp_min(1e-6)
    variance += noise
    return covariance


def choose_copies(covariance: Tensor, n_chosen: int) -> tuple[Tensor, Tensor]:
    """Choose the copies that tell most, and how all others follow from them.

    The next copy is always the one whose answer is most uncertain given those chosen before. This
    is the Cholesky decomposition with pivots (Harbrecht et al., 2012).

    :param covariance: (B, P, P) covariances of the copies, positive definite
    :param n_chosen: number of copies k that are chosen, from 1 to P
    :return: (B, k) indices of the chosen copies, and weights (B, P, k) with which the mean of a
        Gaussian process at all copies follows from what is observed at the chosen ones; a chosen
        copy's own is what is observed there
    """
    states = torch.arange(len(covariance), device=covariance.device)
    factor = covariance.new_zeros(*covariance.shape[:2], n_chosen)
    variance = covariance.diagonal(dim1=1, dim2=2).clone()
    chosen = states.new_empty(len(covariance), n_chosen)
    for k in range(n_chosen):
        chosen[:, k] = pivot = variance.argmax(dim=1)
        known = (factor[:, :, :k] @ factor[states, pivot, :k, None])[..., 0]
        scale = variance[states, pivot].clamp_min(torch.finfo(variance.dtype).tiny).sqrt()
        factor[:, :, k] = (covariance[states, pivot] - known) / scale[:, None]
        factor[states[:, None], chosen[:, :k], k] = 0  # exactly so, but for rounding
        variance -= factor[:, :, k].square()
        variance[states, pivot] = -torch.inf
    among_chosen = factor[states[:, None], chosen]
    # weights @ among_chosen = factor
    weights: Tensor = torch.linalg.solve_triangular(among_chosen, factor, upper=False, left=False)
    return chosen, weights
