"""Paired differences: whether one explainer is better than another on the same states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from sb3_explain.common.bootstrap import Interval, confidence_interval
from sb3_explain.common.errors import unknown_name


def pair_difference(
    values: Mapping[str, Mapping[str, NDArray[Any]]],
    one: str,
    other: str,
    metric: str,
    clusters: NDArray[Any],
    states: Mapping[str, Any],
) -> Interval:
    """Bootstrap the mean of the paired differences of two explainers' values over clusters.

    :param values: (n,) values by explainer and metric; NaN where a state does not count
    :param one: name of the explainer whose values are taken
    :param other: name of the explainer whose values are subtracted
    :param metric: name of the metric
    :param clusters: (n,) cluster of each state
    :param states: what was measured, with the ``confidence`` and ``seed`` of the intervals
    :raises ExplainError: for an explainer or a metric that was not measured
    """
    for name in (one, other):
        if name not in values:
            raise unknown_name("explainer", name, values)
        if metric not in values[name]:
            raise unknown_name(f"metric of {name}", metric, values[name])
    difference = values[one][metric] - values[other][metric]
    return confidence_interval(
        difference, clusters, confidence=states["confidence"], seed=states["seed"]
    )
