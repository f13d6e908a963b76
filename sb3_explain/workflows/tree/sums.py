"""Sums of features along which an agent turns from one action to another."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: a term that matters less than this share of a sum's largest, over the states, is left out
SMALLEST = 0.15
#: digits of a coefficient
DIGITS = 2


def find_sums(values: Array, scores: Array, probabilities: Array, n: int) -> Array:
    """Find sums of features that tell which of two actions an agent prefers.

    For each pair of actions, the difference of their scores is fitted as a linear function of the
    features by least squares, where states count as much as the agent hesitates between the two:
    by p_a p_b / (p_a + p_b). The pairs between which it hesitates most come first. The feature that
    matters most has the coefficient 1; others have two digits, or are left out if they matter
    little.

    :param values: (B, M) features of states of the agent
    :param scores: (B, K) its scores there
    :param probabilities: (B, K) probabilities of its actions there
    :param n: largest number of sums
    :return: (S, M) coefficients of S <= n sums of at least two features
    """
    spread = values.std(axis=0)
    varies = spread > 1e-9 * np.abs(values).max(axis=0)
    unit = np.where(varies, spread, 1.0)
    columns = np.column_stack(
        [(values - values.mean(axis=0)) / unit * varies, np.ones(len(values))]
    )
    found: list[tuple[float, Array]] = []
    for a, b in itertools.combinations(range(scores.shape[1]), 2):
        both = probabilities[:, a] + probabilities[:, b]
        weight = probabilities[:, a] * probabilities[:, b] / np.maximum(both, 1e-12)
        root = np.sqrt(weight)
        difference = scores[:, a] - scores[:, b]
        fitted = np.linalg.lstsq(columns * root[:, None], difference * root, rcond=None)[0][:-1]
        found.append((float(weight.sum()), simplify(fitted, unit)))
    sums: list[Array] = []
    for _, one in sorted(found, key=lambda each: -each[0]):
        if (one != 0).sum() > 1 and not any(np.array_equal(one, other) for other in sums):
            sums.append(one)
    return np.array(sums[:n]).reshape(-1, values.shape[1])


def simplify(fitted: Array, unit: Array) -> Array:
    """Round coefficients, with 1 for what matters most and 0 for what matters little.

    :param fitted: (M,) coefficients of features in units of their standard deviations
    :param unit: (M,) standard deviations
    """
    largest = np.abs(fitted).argmax()
    large = np.abs(fitted) >= SMALLEST * np.abs(fitted[largest])
    if fitted[largest] == 0:
        return np.zeros_like(fitted)
    plain = fitted / unit / (fitted[largest] / unit[largest])
    rounded = np.array([float(f"{value:.{DIGITS}g}") for value in plain])
    return np.where(large, rounded, 0.0)


def add_sums(values: Array, sums: Array) -> Array:
    """(B, M + S) features and their sums, whose terms are added in order, as exported code does.

    :param values: (B, M) features
    :param sums: (S, M) coefficients
    """
    added = [values]
    for one in sums:
        terms = [one[i] * values[:, i] for i in np.flatnonzero(one)]
        added.append(sum(terms[1:], terms[0])[:, None])
    return np.hstack(added)


def write_sum(coefficients: Array, names: tuple[str, ...]) -> str:
    """Write a sum by the names of its features, the one that matters most first.

    >>> from sb3_explain.workflows.tree.sums import write_sum
    >>> write_sum(np.array([-0.5, 0.0, 1.0]), ("x", "y", "angle"))
    'angle - 0.5 x'

    :param coefficients: (M,) coefficients
    :param names: M names
    """
    order = sorted(np.flatnonzero(coefficients), key=lambda i: coefficients[i] != 1)
    said = ""
    for i in order:
        size = abs(float(coefficients[i]))
        term = names[i] if size == 1 else f"{size:g} {names[i]}"
        said += f" {'-' if coefficients[i] < 0 else '+'} {term}"
    return said.removeprefix(" + ")
