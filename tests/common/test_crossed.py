"""Intervals over participants, and over participants and items, against simple cases."""

import numpy as np
import pytest
from scipy import stats

from sb3_explain.common.crossed import bound_over_both, bound_over_participants, bound_ranking


def test_of_one_answer_each_it_is_the_interval_of_a_mean():
    values = np.random.default_rng(0).normal(size=12)
    found = bound_over_participants(values[:, None])
    usual = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((usual.low, usual.high))
    assert found.n == 12


def test_of_as_many_answers_each_it_is_that_of_the_participants_means():
    values = np.random.default_rng(0).normal(size=(9, 4))
    usual = stats.ttest_1samp(values.mean(axis=1), 0).confidence_interval()
    found = bound_over_participants(values)
    assert (found.low, found.high) == pytest.approx((usual.low, usual.high))


def test_of_both_it_adds_what_items_differ_by():
    rng = np.random.default_rng(0)
    items = rng.normal(size=20)
    alike = np.tile(items, (30, 1))  # all participants answer alike: items alone vary
    both = bound_over_both(alike)
    usual = stats.ttest_1samp(items, 0).confidence_interval()
    # up to the squares of single answers, a 30th
    assert both.high - both.mean == pytest.approx(usual.high - items.mean(), rel=0.05)
    noise = rng.normal(size=(30, 20))  # nothing but noise: hardly wider than over participants
    people, both = bound_over_participants(noise), bound_over_both(noise)
    assert people.high - people.low <= both.high - both.low < 2 * (people.high - people.low)


def test_missing_answers_and_too_few():
    values = np.array([[1, np.nan, 0], [np.nan, 1, np.nan], [np.nan] * 3])
    found = bound_over_participants(values)
    assert found.mean == pytest.approx(2 / 3) and found.n == 3
    assert np.isnan(bound_over_both(values[:1]).low)
    assert np.isnan(bound_over_both(values[:, :1]).high)
    assert np.isnan(bound_over_participants(np.full((2, 2), np.nan)).mean)


def test_ranking_counts_pairs():
    right, wrong = np.array([[0, 1, 2], [1, 0, 1]]), np.array([[2, 0, 0], [0, 1, 1]])
    scores = [np.repeat(np.arange(3), each.sum(axis=0)) for each in (right, wrong)]
    pairs = [(a > b) + (a == b) / 2 for a in scores[0] for b in scores[1]]
    found = bound_ranking(right, wrong)
    assert found.mean == pytest.approx(np.mean(pairs)) and found.n == 9
    assert found.low <= found.mean <= found.high
    assert np.isnan(bound_ranking(right, 0 * wrong).mean)
