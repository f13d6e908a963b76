"""The bound of a split-half reliability, against simulated maps whose reliability is known."""

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from sb3_explain.common.reliability import bound_reliability


def test_it_is_the_formula():
    noise = np.random.default_rng(0).normal(size=(2, 200))
    first, second = noise + np.linspace(0, 6, 200).round(1)
    r = spearmanr(first, second).statistic
    assert bound_reliability(first, second, 30, 0) == pytest.approx(2 * r / (1 + r))
    lower = np.tanh(np.arctanh(r) - norm.ppf(0.95) * (1.06 / 27) ** 0.5)
    assert bound_reliability(first, second, 30) == pytest.approx(2 * lower / (1 + lower), abs=1e-3)


def test_it_is_below_the_known_reliability_with_its_confidence():
    """Maps of independent places; each half has a noise of its own."""
    noise = 0.7
    rng = np.random.default_rng(1)
    true, *others = rng.normal(size=(3, 20_000))
    whole, again = (true + noise / 2**0.5 * other for other in others)
    known = spearmanr(whole, again).statistic
    places = rng.normal(size=(300, 1, 49)) + noise * rng.normal(size=(300, 2, 49))
    found = np.array([[bound_reliability(*one, 49, q) for q in (0, 1.645)] for one in places])
    assert abs(np.median(found[:, 0]) - known) < 0.02
    assert 0.92 < np.mean(found[:, 1] < known) < 0.98


def test_halves_that_say_nothing_have_none():
    rising = np.arange(50.0)
    assert bound_reliability(rising, -rising, 49) == 0
    assert bound_reliability(rising, rising * 0, 49) == 0
    assert bound_reliability(rising, rising**3, 49) == pytest.approx(1)
