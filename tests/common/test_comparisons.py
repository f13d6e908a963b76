"""Tests of differences, against SciPy and tables worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from sb3_explain.common.comparisons import (
    adjust_holm,
    bound_share,
    compare_changes,
    compare_paired,
    compare_ranks,
    compare_ranks_paired,
)


def test_few_sign_flips_are_all_tried():
    differences = np.array([0.3, -0.1, 0.25, 0.4, 0.05, -0.2, 0.1, 0.35])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1)
    means = differences @ signs / 8
    expected = (np.abs(means) >= differences.mean() - 1e-12).mean()
    found = compare_paired(differences)
    assert found.p == pytest.approx(expected)
    assert found.effect == pytest.approx(differences.mean()) and found.n == 8


def test_many_sign_flips_agree_with_scipy():
    differences = np.random.default_rng(0).normal(0.1, 0.4, 60)
    tested = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=False, n_resamples=4000,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert compare_paired(differences).p == pytest.approx(tested.pvalue, abs=0.01)


def test_missing_differences_are_left_out_and_none_is_no_test():
    assert compare_paired([0.5, np.nan, 0.25]).n == 2
    assert np.isnan(compare_paired([0, 0, 0]).p)
    assert np.isnan(compare_paired([np.nan, 0.2]).p)
    assert np.isnan(compare_paired([]).effect)


def test_wilcoxon_is_scipys_and_the_effect_is_of_ranks():
    differences = [1, 2, -1, 3, 2, 4, -2, 5, 0]
    found = compare_ranks_paired(differences)
    assert found.p == pytest.approx(stats.wilcoxon([d for d in differences if d]).pvalue)
    # ranks of 1, 2, 1, 3, 2, 4, 2, 5: 1.5, 4, 1.5, 6, 4, 7, 4, 8; negative are 1.5 and 4
    assert found.effect == pytest.approx((30.5 - 5.5) / 36)
    assert found.n == 9
    assert compare_ranks_paired([0, 0]).effect == 0
    many = [*differences, *range(-3, 9)]
    assert compare_ranks_paired(many).p == stats.wilcoxon([d for d in many if d]).pvalue


def test_mann_whitney_is_scipys_and_the_effect_counts_pairs():
    ours, theirs = [1, 3, 5, 7, np.nan], [2, 3, 4]
    found = compare_ranks(ours, theirs)
    assert found.p == pytest.approx(stats.mannwhitneyu([1, 3, 5, 7], [2, 3, 4]).pvalue)
    pairs = [np.sign(a - b) for a in ours[:4] for b in theirs]
    assert found.effect == pytest.approx(np.mean(pairs)) and found.n == 7
    assert np.isnan(compare_ranks([], theirs).p)


def test_mcnemar_by_hand():
    # 1 of 7 changes is wrong: p = 2 * (C(7, 0) + C(7, 1)) / 2 ** 7
    before = [0] * 6 + [1] + [1] * 5 + [0] * 4 + [np.nan, 0]
    after = [1] * 6 + [0] + [1] * 5 + [0] * 4 + [1, np.nan]
    assert compare_changes(before, after) == (6, 1, pytest.approx(2 * 8 / 128))
    assert compare_changes([1, 0], [1, 0]) == (0, 0, 1.0)


def test_holm_by_hand():
    # sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, never less than the one before
    adjusted = adjust_holm([0.01, 0.04, np.nan, 0.03, 0.005])
    assert adjusted[[0, 1, 3, 4]] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert np.isnan(adjusted[2])
    assert adjust_holm([0.6, 0.9]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("k", [0, 1, 57, 63])
def test_wilson_is_scipys(k):
    found = stats.binomtest(k, 63).proportion_ci(method="wilson")
    assert bound_share(k, 63) == pytest.approx((found.low, found.high))
    assert np.isnan(bound_share(0, 0)).all()
