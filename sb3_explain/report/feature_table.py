"""Features of states that were found beside those that were played, as rows of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.report.words import format_number

#: number of rows of a table, at most
ROWS = 24


@dataclasses.dataclass(frozen=True)
class FeatureRow:
    """A feature, as texts, in its own unit.

    :param name: name of the feature, with its unit if that is known
    :param played: mean and standard deviation in the states that were played
    :param best: value in the best state that was found
    :param best_from_mean: the same in standard deviations from the mean
    :param found: mean of all states that were found
    :param found_from_mean: the same in standard deviations from the mean
    """

    name: str
    played: str
    best: str
    best_from_mean: str
    found: str
    found_from_mean: str


def make_feature_rows(
    names: Sequence[str], played: NDArray[Any], found: NDArray[Any], weights: NDArray[Any]
) -> list[FeatureRow]:
    """Make the rows of the features: first those that lie farthest from their mean when played.

    :param names: M names
    :param played: (N, M) values in states that were played
    :param found: (B, M) values in the states that were found, the best first
    :param weights: (B,) how often each was found
    :return: at most :data:`ROWS` rows
    """
    mean, std = played.mean(axis=0), played.std(axis=0)
    average = np.average(found, axis=0, weights=weights)

    def measure(values: NDArray[Any]) -> NDArray[np.float64]:
        apart = (values - mean) / np.where(std > 0, std, 1)
        return np.where((std > 0) | (values == mean), apart, np.nan)

    best_from_mean, found_from_mean = measure(found[0]), measure(average)
    order = np.argsort(-np.nan_to_num(np.abs(found_from_mean), nan=np.inf), kind="stable")
    return [
        FeatureRow(
            names[i],
            f"{format_number(mean[i])} \N{PLUS-MINUS SIGN} {format_number(std[i])}",
            format_number(found[0, i]),
            format_deviations(best_from_mean[i]),
            format_number(average[i]),
            format_deviations(found_from_mean[i]),
        )
        for i in order[:ROWS]
    ]


def format_deviations(deviations: float) -> str:
    """Write a number of standard deviations; a feature that never varied has none."""
    return "\N{EN DASH}" if np.isnan(deviations) else f"{deviations:+.1f} sd"
