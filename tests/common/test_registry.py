"""Registries: filled by import, wrong names suggested."""

import pytest

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.states.baselines import BASELINES


@pytest.mark.parametrize("registry", [EXPLAINERS, METRICS, NETWORKS, BASELINES])
def test_every_name_is_found_and_says_what_it_is(registry):
    assert len(registry) == len(list(registry)) > 0
    for name in registry:
        assert name in registry
        assert registry[name].__doc__


def test_a_wrong_name_suggests_the_nearest():
    with pytest.raises(ExplainError, match=r"unknown explainer 'visonmask'; did you mean 'vis"):
        EXPLAINERS["visonmask"]
    assert "visonmask" not in EXPLAINERS


def test_nothing_near_is_not_suggested():
    message = str(unknown_name("metric", "qqq", ["accuracy"]))
    assert message == "unknown metric 'qqq' (known: accuracy)"


def test_the_error_is_none_that_optuna_hides():
    assert not issubclass(ExplainError, (ValueError, AssertionError))
