"""Krippendorff's alpha, against his published example and sums over pairs."""

import numpy as np
import pytest

from sb3_explain.common.agreement import measure_agreement

NAN = np.nan
#: Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, part C: 4 observers, 12 units
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]


def test_the_published_example():
    assert measure_agreement(PUBLISHED) == pytest.approx(0.743, abs=5e-4)
    assert measure_agreement(PUBLISHED, "ordinal") == pytest.approx(0.815, abs=5e-4)


def test_nominal_alpha_is_a_sum_over_pairs():
    table = np.random.default_rng(0).integers(0, 3, (5, 9)).astype(float)
    table[0, 2:5] = NAN
    units = [column[~np.isnan(column)] for column in table.T]
    values = np.concatenate(units)
    n = len(values)
    within = sum(
        (a != b) / (len(unit) - 1)
        for unit in units
        for i, a in enumerate(unit)
        for j, b in enumerate(unit)
        if i != j
    )
    between = sum(a != b for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
    expected = 1 - (within / n) / (between / (n * (n - 1)))
    assert measure_agreement(table) == pytest.approx(expected)


def test_what_cannot_be_known():
    assert np.isnan(measure_agreement([[1, NAN], [NAN, 2]]))  # no unit has two ratings
    assert np.isnan(measure_agreement([[1, 1], [1, 1]]))  # nothing to disagree on
    assert np.isnan(measure_agreement(np.full((3, 2), NAN)))
