"""What is said of an explainer's metrics beside those of its controls."""

import pytest

from sb3_explain.report.viewer.trust import describe_trust
from sb3_explain.report.words import get_metric_words


def estimate(mean, half=0.05):
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": 100}


@pytest.mark.parametrize(
    ("metric", "own", "random", "constant", "better"),
    [
        ("insertion", 0.8, 0.3, 0.6, True),
        ("insertion", 0.8, 0.3, 0.75, False),  # the intervals overlap
        ("deletion", 0.1, 0.3, 0.4, True),
        ("sparseness", 0.9, 0.1, 0.2, None),  # which has no better direction
    ],
)
def test_a_metric_is_better_where_it_clearly_beats_the_best_control(
    metric, own, random, constant, better
):
    table = {
        name: {metric: estimate(mean)}
        for name, mean in (("lime", own), ("random", random), ("constant", constant))
    }
    words = {metric: get_metric_words(metric)}
    [said] = describe_trust(table, "lime", ["random", "constant"], words)
    assert said["better"] is better
    assert said["label"].endswith(("↑", "↓")) == (better is not None)
    assert bool(said["controls"]) == (better is not None)
