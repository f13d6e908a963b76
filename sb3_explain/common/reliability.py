"""Split-half reliability: how well a map would agree with another of as many measurements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: quantile of the normal distribution below which 95 % of it lie
QUANTILE = 1.645


def bound_reliability(
    first: NDArray[Any], second: NDArray[Any], n_independent: int, quantile: float = QUANTILE
) -> float:
    """Compute a lower bound of the reliability of the mean of two halves' maps.

    With the rank correlation r of the halves, the reliability of both together is 2 r / (1 + r)
    (Spearman, 1910; Brown, 1910). r is known from few places: its lower bound is
    tanh(atanh(r) - q sqrt(1.06 / (n - 3))) (Fieller, Hartley and Pearson, 1957), for n places that
    are independent of each other; the pixels of a smooth map are not.

    :param first: (P,) map of one half of the measurements
    :param second: (P,) map of the other half
    :param n_independent: number n of independent places of a map, at least 4
    :param quantile: quantile q of the normal distribution; 0 for the estimate without a bound
    :return: reliability in [0, 1); 0 if the halves do not agree, or one is the same everywhere
    """
    from scipy.stats import rankdata  # which takes long to import

    ranks = [rankdata(half) for half in (first, second)]
    if min(np.ptp(each) for each in ranks) == 0:
        return 0.0
    correlation = min(float(np.corrcoef(*ranks)[0, 1]), 1 - 1e-12)
    z = math.atanh(max(correlation, 0.0)) - quantile * math.sqrt(1.06 / (n_independent - 3))
    lower = max(math.tanh(z), 0.0)
    return 2 * lower / (1 + lower)
