"""Ridge regression, cross-validated over clusters of states that depend on one another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.bootstrap import Interval

Array = NDArray[Any]

#: penalties that are tried, in units of the features' mean variance over all directions
PENALTIES = 10.0 ** np.arange(-6, 4)


def make_folds(clusters: Array, n_folds: int, seed: int) -> NDArray[np.int64]:
    """Assign states to folds of about equal sizes, whole clusters together.

    :param clusters: (n,) cluster of each state, at least as many as folds
    :param n_folds: number of folds
    :param seed: random seed of the order in which clusters are assigned
    :return: (n,) number of each state's fold
    """
    _, cluster, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(sizes))
    folds, full = np.zeros(len(sizes), np.int64), np.zeros(n_folds, np.int64)
    for one in order[np.argsort(-sizes[order], kind="stable")]:  # the largest first
        folds[one] = full.argmin()
        full[folds[one]] += sizes[one]
    return folds[cluster]


def standardize(features: Array) -> NDArray[np.float64]:
    """Standardize features (n, D), and rotate them into at most n dimensions.

    Ridge regression depends on nothing but the products of states, which a rotation keeps. Features
    that do not change are left out.
    """
    rows: NDArray[np.float64] = np.asarray(features, np.float64)
    rows = rows - rows.mean(axis=0)
    spread = rows.std(axis=0)
    rows = rows[:, spread > 1e-9 * max(float(spread.max(initial=0)), 1e-30)]
    rows = rows / rows.std(axis=0)
    if rows.shape[1] <= len(rows):
        return rows
    values, vectors = np.linalg.eigh(rows @ rows.T)
    rotated: NDArray[np.float64] = vectors * np.sqrt(values.clip(0))
    return rotated


def fit_ridge(
    rows: Array, labels: Array, penalties: Array
) -> tuple[Array, Array, NDArray[np.float64]]:
    """Fit ridge regressions: w = (X'X + a n I)^-1 X'y of centered rows and labels.

    :param rows: (n, D) features
    :param labels: (n, M) labels of M regressions
    :param penalties: (A,) penalties a
    :return: (D,) mean of the rows, (M,) mean of the labels, and (A, D, M) weights
    """
    center, mean = rows.mean(axis=0), labels.mean(axis=0)
    centered = rows - center
    values, vectors = np.linalg.eigh(centered.T @ centered)
    products = vectors.T @ (centered.T @ (labels - mean))
    scaled = products / (values[:, None].clip(0) + penalties[:, None, None] * len(rows))
    return center, mean, vectors @ scaled


def predict_held_out(rows: Array, labels: Array, folds: Array) -> NDArray[np.float64]:
    """Predict the labels of each fold by regressions that have seen none of it.

    The penalty of each regression is the one that predicts another fold best, which is left out of
    the fit for that: neither the penalty nor the weights depend on what is predicted.

    :param rows: (n, D) features as :func:`standardize` returns them
    :param labels: (n, M) labels of M regressions
    :param folds: (n,) fold of each state, from 0; at least three folds
    :return: (n, M) predictions
    """
    n_folds = int(folds.max()) + 1
    penalties = PENALTIES * float(np.mean(rows**2)) if rows.size else PENALTIES
    predicted = np.zeros(labels.shape)
    for fold in range(n_folds):
        validation = folds == (fold + 1) % n_folds
        known, held_out = folds != fold, folds == fold
        center, mean, weights = fit_ridge(
            rows[known & ~validation], labels[known & ~validation], penalties
        )
        errors = (rows[validation] - center) @ weights + mean - labels[validation]
        best = (errors**2).sum(axis=1).argmin(axis=0)
        center, mean, weights = fit_ridge(rows[known], labels[known], penalties)
        every = (rows[held_out] - center) @ weights + mean
        predicted[held_out] = np.take_along_axis(every, best[None, None], axis=0)[0]
    return predicted


def explain_variance(
    labels: Array, predicted: Array, clusters: Array, *, seed: int = 0
) -> Interval:
    """R2 = 1 - sum (y - p)^2 / sum (y - mean y)^2, with its percentile bootstrap over clusters.

    :param labels: (n,) labels y
    :param predicted: (n,) predictions p
    :param clusters: (n,) cluster of each state; whole clusters are drawn with replacement
    :param seed: random seed of the draws
    :return: R2 in (-inf, 1], and its 95 % interval
    """
    from scipy import stats

    _, cluster = np.unique(clusters, return_inverse=True)
    centered = labels - labels.mean()
    parts: list[Array] = [
        np.bincount(cluster, weights=each)
        for each in ((labels - predicted) ** 2, centered**2, centered, np.ones(len(labels)))
    ]

    def compute(errors: Array, squares: Array, sums: Array, sizes: Array, *, axis: int = -1) -> Any:
        around = squares.sum(axis=axis) - sums.sum(axis=axis) ** 2 / sizes.sum(axis=axis)
        return 1 - errors.sum(axis=axis) / np.maximum(around, 1e-30)

    found = stats.bootstrap(
        parts, compute, paired=True, vectorized=True, n_resamples=1000, method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(float(compute(*parts)), float(found.low), float(found.high), len(labels))
