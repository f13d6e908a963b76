"""The block bootstrap: what it resamples, its degenerate cases, and how often it is right."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_explain.common.bootstrap import confidence_interval, make_clusters, number_steps


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_ten_episodes_are_clusters():
    episodes = np.repeat(np.arange(10) * 3, 250)
    assert make_clusters(episodes).tolist() == np.repeat(np.arange(10), 250).tolist()


def test_fewer_episodes_are_cut_into_blocks_of_a_hundred():
    clusters = make_clusters([4] * 250 + [9] * 120)
    assert np.bincount(clusters).tolist() == [100, 100, 50, 100, 20]
    assert (np.diff(clusters) >= 0).all()


def test_a_sample_of_the_states_keeps_their_blocks():
    episodes = np.array([4] * 250 + [9] * 120)
    sample = np.array([0, 99, 100, 199, 201, 250, 349, 350])
    steps = number_steps(episodes)
    assert steps[[0, 249, 250, 369]].tolist() == [0, 249, 0, 119]
    assert make_clusters(episodes[sample], steps[sample]).tolist() == [0, 0, 1, 1, 2, 3, 3, 4]


def test_against_a_slow_bootstrap():
    rng = np.random.default_rng(0)
    sizes = rng.integers(5, 60, 15)
    clusters = np.repeat(np.arange(15), sizes)
    values = rng.normal(size=len(clusters)) + rng.normal(size=15)[clusters]
    draws = []
    for _ in range(4000):
        drawn = rng.integers(0, 15, 15)
        draws.append(np.concatenate([values[clusters == c] for c in drawn]).mean())
    low, high = np.percentile(draws, [2.5, 97.5])
    interval = confidence_interval(values, clusters, n_resamples=4000)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(low, abs=0.03)
    assert interval.high == pytest.approx(high, abs=0.03)
    assert interval.n == len(values)


def test_covers_the_truth():
    """95 % intervals of correlated states hold the truth; taking states as independent does not."""
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(30), 50)
    hits = naive_hits = 0
    for _ in range(200):
        values = rng.normal(size=30)[clusters] + rng.normal(size=1500)
        interval = confidence_interval(values, clusters, n_resamples=300)
        naive = confidence_interval(values, np.arange(1500), n_resamples=100)
        hits += interval.low <= 0 <= interval.high
        naive_hits += naive.low <= 0 <= naive.high
    assert hits >= 0.88 * 200
    assert naive_hits < 0.6 * 200


def test_states_that_do_not_count_are_left_out():
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(12), 10)
    values = rng.random(120)
    gaps = values.copy()
    gaps[::3] = np.nan
    gaps[:10] = np.nan  # a whole cluster
    counted = ~np.isnan(gaps)
    assert confidence_interval(gaps, clusters) == confidence_interval(
        values[counted], clusters[counted]
    )


def test_degenerate_cases():
    nothing = confidence_interval([np.nan] * 4, [0, 0, 1, 1])
    assert np.isnan(nothing[:3]).all()
    assert nothing.n == 0
    assert confidence_interval([], []).n == 0

    single = confidence_interval([1.0, 0.0], [5, 5])
    assert single.mean == 0.5
    assert np.isnan([single.low, single.high]).all()

    assert confidence_interval([0.3] * 40, np.arange(40) // 4) == (
        pytest.approx(0.3),
        pytest.approx(0.3),
        pytest.approx(0.3),
        40,
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=2, max_size=40))
def test_shares_stay_shares_around_their_mean(pairs):
    values, clusters = zip(*pairs, strict=True)
    interval = confidence_interval(values, clusters, n_resamples=200)
    if len(set(clusters)) > 1:
        assert -1e-9 <= interval.low <= interval.high <= 1 + 1e-9
    assert interval.mean == pytest.approx(np.mean(values))


def test_same_seed_same_interval():
    values, clusters = np.random.default_rng(3).random(200), np.arange(200) // 10
    assert confidence_interval(values, clusters, seed=4) == confidence_interval(
        values, clusters, seed=4
    )
    assert confidence_interval(values, clusters, seed=4) != confidence_interval(
        values, clusters, seed=5
    )
