"""Feature importance: means, intervals and rank correlations by hand, and their figure."""

import io

import numpy as np
import pytest
from PIL import Image

from sb3_explain.common.bootstrap import confidence_interval
from sb3_explain.common.errors import ExplainError
from sb3_explain.report import Importance, feature_importance, importance_figure, rank_correlations
from sb3_explain.report.palette import assign_styles


def exactly(mean):
    """An importance without an interval."""
    mean = np.asarray(mean, dtype=float)
    return Importance(mean, mean, mean)


def test_means_of_magnitudes_with_intervals_over_episodes():
    rng = np.random.default_rng(0)
    episodes = np.arange(60) // 5
    attributions = rng.normal(size=(60, 2, 3)) + rng.normal(size=(12, 2, 3))[episodes]
    found = feature_importance(attributions, episodes, n_resamples=200)
    for c in range(2):
        for m in range(3):
            values = [abs(row[c][m]) for row in attributions]
            mean, low, high, _ = confidence_interval(values, episodes, n_resamples=200)
            assert found.mean[c, m] == pytest.approx(sum(values) / 60)
            assert (found.low[c, m], found.high[c, m]) == (low, high) and low < mean < high


def test_an_episode_is_no_evidence_of_its_own_states():
    """Ten copies of each state leave the interval as wide as it was."""
    attributions = np.random.default_rng(0).normal(size=(12, 1, 1))
    once = feature_importance(attributions, np.arange(12))
    copied = feature_importance(attributions.repeat(10, axis=0), np.arange(12).repeat(10))
    assert copied.low == pytest.approx(once.low) and copied.high == pytest.approx(once.high)


def test_rank_correlation_by_hand():
    importances = {
        "a": exactly([[1, 2, 3, 4], [1, 2, 3, 4]]),
        "b": exactly([[10, 30, 20, 40], [4, 3, 2, 1]]),
    }
    # 1 - 6 sum d^2 / (n (n^2 - 1)), with d = (0, 1, 1, 0) and (3, 1, 1, 3)
    expected = [1 - 6 * 2 / 60, 1 - 6 * 20 / 60]
    np.testing.assert_allclose(rank_correlations(importances)["a", "b"], expected)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_has_every_explainer_and_is_the_same_each_time(theme):
    importances = {
        "integrated_gradients": exactly([[0.1, 2], [1, 0]]),
        "$odd_{": Importance(np.ones((2, 2)), np.full((2, 2), np.nan), np.full((2, 2), np.nan)),
    }
    arguments = (importances, ["x", "speed_$y"], ["left", "right"])
    png = importance_figure(*arguments, theme=theme)
    assert png == importance_figure(*arguments, theme=theme)
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    for style in assign_styles(importances, ()).values():
        color = [int(style.color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(picture - color).max(axis=2) <= 2).any()


def test_what_does_not_belong_together_is_told():
    with pytest.raises(ExplainError, match=r"shape \(4, 3\) for 4 states"):
        feature_importance(np.zeros((4, 3)), np.zeros(4))
    with pytest.raises(ExplainError, match=r"2 targets and 1 features do not fit .* \(2, 2\)"):
        importance_figure({"a": exactly(np.ones((2, 2)))}, ["x"], ["left", "right"])
    with pytest.raises(ExplainError, match="of shape none"):
        importance_figure({}, ["x"], ["left"])
