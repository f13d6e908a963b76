"""Priors: distributions of the codes of states."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from sb3_explain.common.errors import unknown_name
from sb3_explain.probing.autoencoder import Gaussian

STATES, NORMAL = "states", "normal"
#: share of the variance of N(0, I) that a start's standard deviation has; its mean has the rest
START_VARIANCE = 0.5


class Prior(Protocol):
    """A distribution of codes."""

    def sample_starts(self, n: int, rng: torch.Generator) -> Gaussian:
        """Return n distributions, (n, latent), that together make the prior, to search from."""

    def divergence(self, code: Gaussian) -> Tensor:
        """Return KL(code || prior), (B,), in nats."""


class StandardNormal:
    """The prior N(0, I), as in the paper.

    :param latent: number of a code's dimensions
    """

    def __init__(self, latent: int) -> None:
        self.latent = latent

    def sample_starts(self, n: int, rng: torch.Generator) -> Gaussian:
        """Return means and standard deviations that share the variance."""
        mean = torch.randn(n, self.latent, generator=rng) * (1 - START_VARIANCE) ** 0.5
        return Gaussian(mean, torch.full_like(mean, math.log(START_VARIANCE) / 2))

    def divergence(self, code: Gaussian) -> Tensor:
        """Return KL(code || N(0, I)), (B,), in closed form."""
        return code.divergence()


class StateCodes:
    """The mixture of the codes of M states, p(z) = 1/M sum_i q(z | s_i).

    The codes of a game's states fill little of what N(0, I) covers, and what is decoded from
    between them is not a state. Of all priors this one fits an autoencoder best (Hoffman and
    Johnson 2016, "ELBO surgery").

    :param codes: (M, latent) codes of states
    """

    def __init__(self, codes: Gaussian) -> None:
        self.codes = codes
        # KL(N(m, s^2) || N(mu, sigma^2)) is bilinear in (s^2 + m^2, m) and these three; in double
        # precision, since large terms of both signs are added up
        mean, log_std = codes.mean.double(), codes.log_std.double()
        self.precision = (-2 * log_std).exp()
        self.weighted = mean * self.precision
        self.constant = (2 * log_std + mean * self.weighted).sum(dim=1)

    def sample_starts(self, n: int, rng: torch.Generator) -> Gaussian:
        """Return codes of different states; beyond M of them, means are drawn from the codes."""
        n_codes, device = len(self.codes.mean), self.codes.mean.device
        orders = [torch.randperm(n_codes, generator=rng) for _ in range(-(-n // n_codes))]
        chosen = torch.cat(orders)[:n].to(device)
        start = Gaussian(self.codes.mean[chosen], self.codes.log_std[chosen])
        noise = torch.randn(n, start.mean.shape[1], generator=rng).to(device)
        noise[:n_codes] = 0
        return Gaussian(start.draw(noise), start.log_std)

    def divergence(self, code: Gaussian) -> Tensor:
        """Return an upper bound of it, -log 1/M sum_i exp(-KL(code || q_i)), (B,).

        Hershey and Olsen 2007, "Approximating the Kullback Leibler divergence between Gaussian
        mixture models", equation 20, of one Gaussian.
        """
        mean, log_std = code.mean.double(), code.log_std.double()
        squares = (2 * log_std).exp() + mean.square()
        pairs = squares @ self.precision.T - 2 * mean @ self.weighted.T + self.constant
        entropy = (1 + 2 * log_std).sum(dim=1, keepdim=True)
        divergences = (pairs - entropy) / 2
        bound = math.log(len(self.codes.mean)) - torch.logsumexp(-divergences, dim=1)
        return bound.to(code.mean.dtype)


def require_prior(name: str) -> None:
    """Raise an :class:`~sb3_explain.ExplainError` if there is no prior of this name."""
    if name not in (STATES, NORMAL):
        raise unknown_name("prior", name, [STATES, NORMAL])


def make_prior(name: str, codes: Gaussian) -> Prior:
    """Make a prior by its name.

    :param name: ``"states"`` for :class:`StateCodes`, ``"normal"`` for :class:`StandardNormal`
    :param codes: (M, latent) codes of states
    :raises ExplainError: for another name
    """
    require_prior(name)
    return StateCodes(codes) if name == STATES else StandardNormal(codes.mean.shape[1])
