"""Comparisons of the arms of a study: the tests that its analysis and its power share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.bootstrap import confidence_interval
from sb3_explain.common.comparisons import (
    PERMUTATIONS,
    adjust_holm,
    compare_paired,
    compare_ranks,
    compare_ranks_paired,
)
from sb3_explain.workflows.study.answers import average_rows, center_columns
from sb3_explain.workflows.study.plan import NO_MAP, PLACEBOS, Design

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The difference of two arms in one outcome.

    :param arm: name of the arm
    :param other: name of the arm that it is compared with
    :param difference: mean difference, arm less other
    :param low: lower bound over participants; NaN without an interval
    :param high: upper bound
    :param test: name of the test
    :param p: p-value
    :param p_holm: p-value, adjusted over the comparisons of the outcome
    :param effect: rank-biserial correlation; of the permutation test the difference
    :param n: number of participants
    """

    arm: str
    other: str
    difference: float
    low: float
    high: float
    test: str
    p: float
    p_holm: float
    effect: float
    n: int


def list_pairs(arms: Sequence[str]) -> list[tuple[str, str]]:
    """List the pairs that are compared: each arm with a map with none, explainers with placebos.

    >>> from sb3_explain.workflows.study.comparing import list_pairs
    >>> list_pairs(["no_map", "sarfa", "random_map"])
    [('sarfa', 'no_map'), ('random_map', 'no_map'), ('sarfa', 'random_map')]

    :param arms: names of the arms
    """
    explainers = [name for name in arms if name not in (NO_MAP, *PLACEBOS)]
    pairs = [(name, NO_MAP) for name in arms if name != NO_MAP]
    return pairs + [(one, placebo) for one in explainers for placebo in arms if placebo in PLACEBOS]


def compare_arms(
    values: Array,
    given: Array,
    arms: Sequence[str],
    design: Design,
    *,
    ranks: bool = False,
    n_permutations: int = PERMUTATIONS,
    n_resamples: int = 2000,
    seed: int = 0,
) -> list[Comparison]:
    """Compare all pairs of :func:`list_pairs` in one outcome.

    Within participants, each has the difference of the two arms' means; values are taken relative
    to the mean of their item, so that hard and easy items, which fall to different arms for
    different participants, do not blur it. Between them, participants' means are compared.

    :param values: (P, I) outcome of each answer; NaN where there is none
    :param given: (P, I) number of the arm
    :param arms: names of the arms
    :param design: ``"within"`` or ``"between"``
    :param ranks: whether the outcome is a rating, of which only the order counts
    :param n_permutations: number of the permutations that are drawn
    :param n_resamples: number of the bootstrap's draws; 0 for no intervals
    :param seed: random seed
    """
    used = center_columns(values) if design == "within" else values
    means = {
        name: average_rows(np.where(given == number, used, np.nan))
        for number, name in enumerate(arms)
    }
    found = []
    for one, other in list_pairs(arms):
        if design == "within":
            differences = means[one] - means[other]
            shift = (
                compare_ranks_paired(differences)
                if ranks
                else compare_paired(differences, n_permutations=n_permutations, seed=seed)
            )
            test = "Wilcoxon" if ranks else "permutation"
            bounds = _bound_paired(differences, n_resamples, seed)
        else:
            shift, test = compare_ranks(means[one], means[other]), "Mann-Whitney"
            bounds = _bound_groups(means[one], means[other], n_resamples, seed)
        found.append(Comparison(one, other, *bounds, test, shift.p, np.nan, shift.effect, shift.n))
    adjusted = adjust_holm([one.p for one in found])
    return [
        dataclasses.replace(one, p_holm=float(p)) for one, p in zip(found, adjusted, strict=True)
    ]


def _bound_paired(differences: Array, n_resamples: int, seed: int) -> tuple[float, float, float]:
    """Mean of participants' differences, with its interval over participants."""
    known = differences[~np.isnan(differences)]
    if not n_resamples:
        return float(known.mean()) if len(known) else np.nan, np.nan, np.nan
    found = confidence_interval(known, np.arange(len(known)), n_resamples=n_resamples, seed=seed)
    return found.mean, found.low, found.high


def _bound_groups(
    ours: Array, theirs: Array, n_resamples: int, seed: int
) -> tuple[float, float, float]:
    """Difference of two groups' means, with its interval over participants of both."""
    first, second = ours[~np.isnan(ours)], theirs[~np.isnan(theirs)]
    if not len(first) or not len(second):
        return np.nan, np.nan, np.nan
    difference = float(first.mean() - second.mean())
    if not n_resamples or min(len(first), len(second)) < 2:
        return difference, np.nan, np.nan
    rng = np.random.default_rng(seed)
    drawn = [
        each[rng.integers(len(each), size=(n_resamples, len(each)))] for each in (first, second)
    ]
    low, high = np.quantile(drawn[0].mean(axis=1) - drawn[1].mean(axis=1), [0.025, 0.975])
    return difference, float(low), float(high)
