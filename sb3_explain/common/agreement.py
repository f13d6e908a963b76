"""Krippendorff's alpha: how far raters agree beyond chance."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Level = Literal["nominal", "ordinal"]


def measure_agreement(ratings: ArrayLike, level: Level = "nominal") -> float:
    """Compute Krippendorff's alpha of ratings, of which any may be missing.

    alpha = 1 - D_o / D_e, the observed disagreement over that expected by chance (Krippendorff,
    2011). It is 1 where all agree, and 0 where they agree as often as by chance.

    >>> from sb3_explain.common.agreement import measure_agreement
    >>> measure_agreement([[1, 2, 3, 3], [1, 2, 3, 3]])
    1.0

    :param ratings: (R, U) rating of each rater of each unit; NaN where there is none
    :param level: ``"nominal"`` for names, ``"ordinal"`` for ranks
    :return: alpha; NaN if no unit has two ratings, or all ratings are the same
    """
    table = np.asarray(ratings, float)
    values = np.unique(table[~np.isnan(table)])
    counts = (table[:, :, None] == values).sum(axis=0)  # (U, V)
    counts = counts[counts.sum(axis=1) >= 2].astype(float)  # one rating agrees with none
    if not len(counts) or (counts.sum(axis=0) > 0).sum() < 2:
        return float("nan")
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, np.arange(len(values)), np.arange(len(values))] -= counts
    # coincidences o_ck: pairs of values within units, each unit weighted by 1 / (m_u - 1)
    coincidences = (pairs / (counts.sum(axis=1) - 1)[:, None, None]).sum(axis=0)
    totals = coincidences.sum(axis=0)
    distance = DISTANCES[level](totals)
    observed = (coincidences * distance).sum()
    expected = (np.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    return float(1 - observed / expected)


def _nominal(totals: Array) -> Array:
    """(V, V) squared distances of names: 1, or 0 of a name to itself."""
    return 1 - np.eye(len(totals))


def _ordinal(totals: Array) -> Array:
    """(V, V) squared distances of ranks: the ratings between two ranks, of the ends a half."""
    middle = np.cumsum(totals) - totals / 2
    squares: Array = (middle[:, None] - middle[None]) ** 2
    return squares


DISTANCES = {"nominal": _nominal, "ordinal": _ordinal}
