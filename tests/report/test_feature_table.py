"""Features of found states: their values, and how far they lie from what was played."""

import numpy as np
import pytest

from sb3_explain.report.feature_table import ROWS, make_feature_rows


def test_rows_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    played, found = rng.normal(3, 2, (50, 4)), rng.normal(5, 2, (6, 4))
    weights = np.array([1, 4, 1, 1, 2, 1])
    rows = make_feature_rows(list("abcd"), played, found, weights)
    assert {row.name for row in rows} == set("abcd")
    apart = []
    for row in rows:
        column = "abcd".index(row.name)
        values = [one for one, n in zip(found[:, column], weights, strict=True) for _ in range(n)]
        mean = sum(played[:, column]) / 50
        std = (sum((one - mean) ** 2 for one in played[:, column]) / 50) ** 0.5
        middle = sum(values) / len(values)
        assert float(row.best) == pytest.approx(found[0, column], abs=1e-3)
        assert float(row.found) == pytest.approx(middle, abs=1e-3)
        assert [float(part) for part in row.played.split(" ± ")] == (
            pytest.approx([mean, std], abs=1e-3)
        )
        assert row.best_from_mean == f"{(found[0, column] - mean) / std:+.1f} sd"
        assert row.found_from_mean == f"{(middle - mean) / std:+.1f} sd"
        apart.append(abs((middle - mean) / std))
    assert apart == sorted(apart, reverse=True)


def test_what_never_varied_has_no_deviations():
    played, found = np.ones((5, 2)), np.array([[1.0, 2.0]])
    rows = {row.name: row for row in make_feature_rows(["same", "new"], played, found, [1])}
    assert rows["same"].best_from_mean == "+0.0 sd"
    assert rows["new"].best_from_mean == "\N{EN DASH}"


def test_of_many_features_those_that_lie_farthest_are_shown():
    played = np.random.default_rng(1).normal(size=(30, 100))
    found = np.zeros((1, 100))
    found[0, 70] = 50
    rows = make_feature_rows([f"f{i}" for i in range(100)], played, found, [1])
    assert len(rows) == ROWS
    assert rows[0].name == "f70"
