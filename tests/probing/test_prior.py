"""Priors of codes, against torch.distributions and sampling."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from sb3_explain.common.errors import ExplainError
from sb3_explain.probing.autoencoder import Gaussian
from sb3_explain.probing.prior import StandardNormal, StateCodes, make_prior


def gaussian(n: int, latent: int = 3, seed: int = 0) -> Gaussian:
    chance = torch.Generator().manual_seed(seed)
    return Gaussian(
        2 * torch.randn(n, latent, generator=chance), torch.rand(n, latent, generator=chance) - 1
    )


def test_the_divergence_is_hershey_and_olsens_by_a_slow_loop():
    states, codes = gaussian(7), gaussian(4, seed=1)
    found = StateCodes(states).divergence(codes)
    for i in range(4):
        terms = []
        for k in range(7):
            one = Normal(codes.mean[i], codes.log_std[i].exp())
            other = Normal(states.mean[k], states.log_std[k].exp())
            terms.append(math.exp(-float(kl_divergence(one, other).sum())) / 7)
        assert found[i].item() == pytest.approx(-math.log(sum(terms)), rel=1e-4)


def test_the_divergence_bounds_that_of_the_mixture():
    states, codes = gaussian(7), gaussian(4, seed=1)
    mixture = MixtureSameFamily(
        Categorical(torch.ones(7)), Independent(Normal(states.mean, states.log_std.exp()), 1)
    )
    own = Independent(Normal(codes.mean, codes.log_std.exp()), 1)
    torch.manual_seed(0)
    drawn = own.sample((20_000,))
    true = (own.log_prob(drawn) - mixture.log_prob(drawn)).mean(dim=0)
    assert (StateCodes(states).divergence(codes) > true - 0.05).all()


def test_one_state_alone_is_a_normal_distribution():
    standard = Gaussian(torch.zeros(1, 3), torch.zeros(1, 3))
    codes = gaussian(5)
    torch.testing.assert_close(
        StateCodes(standard).divergence(codes), StandardNormal(3).divergence(codes)
    )


def test_starts_make_the_prior_together():
    chance = torch.Generator().manual_seed(0)
    starts = StandardNormal(2).sample_starts(40_000, chance)
    variance = starts.mean.var(dim=0) + (2 * starts.log_std).exp().mean(dim=0)
    torch.testing.assert_close(variance, torch.ones(2), atol=0.02, rtol=0)

    states = gaussian(5)
    once = StateCodes(states).sample_starts(5, chance)
    assert {tuple(row) for row in once.mean.tolist()} == {tuple(r) for r in states.mean.tolist()}
    twice = StateCodes(states).sample_starts(8, chance)
    assert twice.mean.shape == (8, 3) and len(set(map(tuple, twice.mean.tolist()))) == 8
    assert {tuple(row) for row in twice.mean[:5].tolist()} == set(map(tuple, states.mean.tolist()))
    assert StateCodes(states).divergence(states).max() <= math.log(5) + 1e-5


def test_an_unknown_prior_is_one_line():
    with pytest.raises(ExplainError, match="unknown prior 'flat'"):
        make_prior("flat", gaussian(2))
