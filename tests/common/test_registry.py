"""Registries: filled by import, wrong names suggested."""

import pytest

from sb3_explain.common.errors import MAX_CHARACTERS, ExplainError, unknown_name
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


def test_what_is_not_near_is_not_suggested_and_all_names_are_listed():
    with pytest.raises(ExplainError) as refused:
        EXPLAINERS["saliency"]
    message = str(refused.value)
    assert "did you mean" not in message
    known = message.partition("(known: ")[2].removesuffix(")")
    assert known.split(", ") == sorted(EXPLAINERS)


def test_a_part_of_a_name_is_near():
    for name, meant in (("shap", "kernel_shap"), ("vanilla_gradient", "gradient")):
        with pytest.raises(ExplainError, match=f"did you mean '{meant}'"):
            EXPLAINERS[name]


def test_names_that_there_is_no_room_for_are_counted():
    names = [f"method_{number:02d}" for number in range(60)]
    message = str(unknown_name("method", "method_0", names))
    listed, _, rest = message.partition("(known: ")[2].removesuffix(" more)").rpartition(" and ")
    assert len(message) <= MAX_CHARACTERS and " ... " not in message
    assert listed.split(", ") == names[: 60 - int(rest)] and int(rest) > 0


def test_nothing_near_is_not_suggested():
    message = str(unknown_name("metric", "qqq", ["accuracy"]))
    assert message == "unknown metric 'qqq' (known: accuracy)"


def test_the_error_is_none_that_optuna_hides():
    assert not issubclass(ExplainError, (ValueError, AssertionError))
