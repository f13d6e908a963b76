"""Ridge regression equals the normal equations; folds, R2 and interval equal slow loops."""

import numpy as np
import pytest

from sb3_explain.common.ridge import (
    PENALTIES,
    explain_variance,
    fit_ridge,
    make_folds,
    predict_held_out,
    standardize,
)


@pytest.mark.parametrize(("n", "d"), [(40, 6), (20, 35)])
def test_weights_solve_the_normal_equations(n, d):
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(n, d)), rng.normal(size=(n, 2))
    center, mean, weights = fit_ridge(rows, labels, np.array([0.3, 7.0]))
    x, y = rows - rows.mean(axis=0), labels - labels.mean(axis=0)
    for penalty, found in zip((0.3, 7.0), weights, strict=True):
        expected = np.linalg.solve(x.T @ x + penalty * n * np.eye(d), x.T @ y)
        np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(center, rows.mean(axis=0))
    np.testing.assert_allclose(mean, labels.mean(axis=0))


def test_standardized_features_keep_their_products_in_at_most_n_dimensions():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(12, 50)) * rng.uniform(0.1, 9, 50) + 3
    features[:, 4] = 2.0  # never changes
    rows = standardize(features)
    changing = np.delete(features, 4, axis=1)
    expected = (changing - changing.mean(axis=0)) / changing.std(axis=0)
    assert rows.shape == (12, 12)
    np.testing.assert_allclose(rows @ rows.T, expected @ expected.T, atol=1e-8)
    np.testing.assert_allclose(standardize(features.T[:, :5]).std(axis=0), 1)


def test_folds_hold_whole_clusters_and_are_of_about_equal_sizes():
    clusters = np.repeat(np.arange(12), [30, 3, 9, 10, 8, 11, 10, 7, 12, 30, 10, 10])
    folds = make_folds(clusters, 5, seed=0)
    assert all(len(set(folds[clusters == one])) == 1 for one in range(12))
    sizes = np.bincount(folds)
    assert len(sizes) == 5 and sizes.max() - sizes.min() <= 12
    assert not np.array_equal(folds, make_folds(clusters, 5, seed=1))


def test_predictions_are_those_of_a_slow_loop_over_folds_and_penalties():
    rng = np.random.default_rng(2)
    rows = standardize(rng.normal(size=(60, 4)))
    labels = rows @ rng.normal(size=(4, 1)) + 0.5 * rng.normal(size=(60, 1))
    folds = np.arange(60) // 20
    found = predict_held_out(rows, labels, folds)

    def fit(some, penalty):
        x, y = rows[some], labels[some]
        centered = x - x.mean(axis=0)
        inner = centered.T @ centered + penalty * len(x) * np.eye(4)
        w = np.linalg.solve(inner, centered.T @ (y - y.mean()))
        return lambda z: (z - x.mean(axis=0)) @ w + y.mean()

    for fold in range(3):
        validation, known = folds == (fold + 1) % 3, folds != fold
        errors = [
            ((fit(known & ~validation, p)(rows[validation]) - labels[validation]) ** 2).sum()
            for p in PENALTIES
        ]
        expected = fit(known, PENALTIES[int(np.argmin(errors))])(rows[folds == fold])
        np.testing.assert_allclose(found[folds == fold], expected, rtol=1e-4)


def test_r2_is_that_of_the_definition_and_its_interval_holds_it():
    rng = np.random.default_rng(3)
    labels = rng.normal(size=200)
    predicted = labels + 0.5 * rng.normal(size=200)
    found = explain_variance(labels, predicted, np.arange(200) // 10)
    expected = 1 - ((labels - predicted) ** 2).sum() / ((labels - labels.mean()) ** 2).sum()
    assert found.mean == pytest.approx(expected) and found.n == 200
    assert found.low < expected < found.high < 1
    resampled = []
    for _ in range(400):
        drawn = np.concatenate([np.arange(10) + 10 * c for c in rng.integers(20, size=20)])
        y, p = labels[drawn], predicted[drawn]
        resampled.append(1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    np.testing.assert_allclose(
        [found.low, found.high], np.quantile(resampled, [0.025, 0.975]), atol=0.04
    )
