"""evaluate takes explainers by name, made, in a list or in a dict."""

import numpy as np
import pytest
from stable_baselines3 import PPO

from sb3_explain import (
    Agent,
    ExplainError,
    Gradient,
    Occlusion,
    Sarfa,
    StateDataset,
    collect,
    evaluate,
    make_explainer,
)
from tests.states.live_envs import ALGORITHMS, KINDS, Field, make_field, make_model

METRICS = ["sparseness"]


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.from_model(make_model(PPO, Field("picture")))


@pytest.fixture(scope="module")
def states(agent) -> StateDataset:
    return collect(agent, Field("picture"), 8, render=False, progress=False)


@pytest.fixture(scope="module")
def vector_agent() -> Agent:
    return Agent.from_model(make_model(PPO, Field()))


@pytest.fixture(scope="module")
def vector_states(vector_agent) -> StateDataset:
    return collect(vector_agent, Field(), 12, render=False, progress=False)


def measure(agent, states, explainers, **options):
    return evaluate(agent, states, explainers, METRICS, n_resamples=20, **options)


def explained(evaluation) -> list[str]:
    return [name for name in evaluation.rows if name not in ("empty", "constant", "random")]


def test_names_in_every_form(vector_agent, vector_states):
    made = Gradient(vector_agent)
    for given, rows in [
        ("kernel_shap", ["kernel_shap", "gradient"]),
        (made, ["gradient"]),
        (["kernel_shap", "lime"], ["kernel_shap", "lime", "gradient"]),
        (("kernel_shap", made), ["kernel_shap", "gradient"]),
        ({"mine": "kernel_shap", "theirs": made}, ["mine", "theirs", "gradient"]),
        ((name for name in ["lime"]), ["lime", "gradient"]),
        ([], ["gradient"]),
    ]:
        assert explained(measure(vector_agent, vector_states, given)) == rows


def test_the_gradient_that_was_asked_for_is_no_control(vector_agent, vector_states):
    asked = evaluate(vector_agent, vector_states, ["gradient", "lime"], ["insertion"])
    assert list(asked.ranks(controls=False).index) == ["gradient", "lime"]
    added = evaluate(vector_agent, vector_states, ["lime"], ["insertion"])
    assert list(added.ranks(controls=False).index) == ["lime"]
    assert "the plain gradient" in " ".join(added.summary())
    assert "the plain gradient" not in " ".join(asked.summary())
    assert "Plain gradient" in " ".join(asked.summary())


def test_a_name_is_the_explainer_with_its_defaults(agent, states):
    named = measure(agent, states, ["sarfa", "grad_cam"], n_evaluated=4)
    assert explained(named) == ["sarfa", "grad_cam", "gradient"]
    made = measure(agent, states, [Sarfa(agent)], n_evaluated=4)
    np.testing.assert_array_equal(
        named.values["sarfa"]["sparseness"], made.values["sarfa"]["sparseness"]
    )


def test_baselines_of_named_ones_are_fitted_on_train(vector_agent, vector_states):
    train = vector_states.subset(np.arange(6))
    test = vector_states.subset(np.arange(6, 12))
    named = measure(vector_agent, test, "feature_ablation", train=train)
    own = make_explainer("feature_ablation", vector_agent, train)
    made = measure(vector_agent, test, own, train=train)
    np.testing.assert_array_equal(
        named.values["feature_ablation"]["sparseness"],
        made.values["feature_ablation"]["sparseness"],
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["sarfaa"], "unknown explainer 'sarfaa'; did you mean 'sarfa'"),
        ({"mine": "kernel_shp"}, "did you mean 'kernel_shap'"),
        ("visionmask", r"visionmask learns: fit it first.*make_explainer\('visionmask'"),
        (["stalder", "sarfa"], "stalder learns: fit it first"),
        (["grad_cam"], "grad_cam does not support this agent"),
        (["lime", "lime"], "two explainers have the same name: give a dict"),
        ([7], "an explainer must be of class Explainer, not int: give its name"),
        (7, "an explainer must be of class Explainer, not int: give its name"),
        (None, "an explainer must be of class Explainer, not NoneType"),
        (Occlusion, "an explainer must be of class Explainer, not Occlusion"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(vector_agent, vector_states, given, says):
    with pytest.raises(ExplainError, match=says) as error:
        measure(vector_agent, vector_states, given)
    assert "\n" not in str(error.value)


def test_a_wrong_thing_is_one_line(vector_agent, vector_states):
    model = make_model(PPO, Field())
    for call in (
        lambda: measure(vector_agent, vector_states, [model]),
        lambda: evaluate("x"),
        lambda: evaluate(vector_agent, "x", "lime"),
    ):
        with pytest.raises(ExplainError) as error:
            call()
        said = str(error.value)
        assert "\n" not in said
        assert any(hint in said for hint in ("make_explainer(", "collect(", "evaluate("))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.__name__)
def test_every_kind_of_agent_is_evaluated_by_names(algorithm, kind):
    agent = Agent.from_model(make_model(algorithm, make_field(algorithm, kind)))
    states = collect(agent, n_states=6, render=False, progress=False)
    names = ["gradient", "input_x_gradient"]
    evaluation = evaluate(agent, states, names, ["sparseness", "deletion"], n_resamples=20)
    table = evaluation.table().set_index(["explainer", "metric"])
    for name in names:
        assert np.isfinite(table.loc[(name, "sparseness"), "mean"])
