"""Calls that a user may get wrong end in one line that says what to do, before anything is done."""

import pytest

from sb3_explain import (
    Agent,
    EnvRecipe,
    ExplainError,
    Gradient,
    Rise,
    VisionMask,
    collect,
    counterfactual,
    evaluate,
    fit_baselines,
    goggles,
    load_agent,
    make_explainer,
    masked_return,
    parameter_randomization,
    play,
    probe,
    why,
)
from tests.toys import dot_agent, dot_states


@pytest.fixture(scope="module")
def agent():
    return dot_agent()


@pytest.fixture(scope="module")
def states(agent):
    return dot_states(agent, 40)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda a, s: masked_return(a, Rise(a)), "explainer must be of class Explainer, not Agent"),
        (lambda a, s: masked_return(a, Rise(a), n_episodes=2), "n_episodes"),
        (lambda a, s: masked_return(Rise(a), references={}), "'references' is called 'baselines'"),
        (lambda a, s: masked_return(Gradient(a), share=0.5, baselines="mean"), "give a dict"),
        (lambda a, s: probe(a, "T-"), "generator must be of class StateGenerator, not Agent"),
        (lambda a, s: goggles(a), "generators must be of class StateGenerator, not Agent"),
        (
            lambda a, s: why(a, s, 5, Rise(a)),
            "why: too many positional arguments; it is why(states",
        ),
        (
            lambda a, s: why(s, 5, "gradient"),
            "explainer must be of class Explainer, not str: make_",
        ),
        (
            lambda a, s: evaluate(a, s, ["gradeint"]),
            "did you mean 'gradient'",
        ),
        (lambda a, s: evaluate(a, s, [Gradient]), "must be of class Explainer, not Gradient"),
        (lambda a, s: evaluate(a, "states", []), "states must be of class StateDataset, not str"),
        (lambda a, s: evaluate(a, s, [], n_evaluated=0), "n_evaluated=0"),
        (lambda a, s: evaluate(a, s, [], {"insertion": 3}), "options of insertion are a dict"),
        (lambda a, s: collect(a, 500), "such as n_states=500"),
        (lambda a, s: evaluate(a, s, [], 3), "metrics=3: give a name"),
        (lambda a, s: evaluate(a, s, [], [3]), "unknown metric '3'"),
        (lambda a, s: VisionMask(a).fit(s), "fit: missing a required argument: 'validation'"),
        (lambda a, s: VisionMask(a).fit(s, 4), "validation must be of class StateDataset, not int"),
        (lambda a, s: parameter_randomization(a, s, 3), "explainers=3: give names"),
        (lambda a, s: parameter_randomization(a, s, "rize"), "unknown explainer 'rize'"),
        (lambda a, s: play(a, "x.gif"), "stands for an explainer: give path='x.gif'"),
        (lambda a, s: s.observations([10**6]), "give whole numbers from 0 to 39"),
        (lambda a, s: s.subset("x"), "positions='x': give whole numbers"),
        (lambda a, s: counterfactual(a, s.observations([0]), 1), "attributions=1: give those"),
        (lambda a, s: load_agent(a), "load_agent: missing a required argument: 'env'"),
        (lambda a, s: EnvRecipe(3), "env_id=3: give a gymnasium id"),
        (lambda a, s: make_explainer("rise", a, "folder"), "states must be of class StateDataset"),
        (lambda a, s: make_explainer("visionmask", a, folder="f", max_area=0.9), "max_area"),
        (lambda a, s: fit_baselines(s, "mean"), "states must be of class StateDataset, not str"),
        (lambda a, s: Gradient(a).attribute_batch(s.observations([0])), "class StateBatch"),
        (lambda a, s: Gradient(a).attribute(s.observations([0]), choice=1), "'target' now"),
        (
            lambda a, s: Gradient(a).attribute(s.observations([0]), context={}),
            "'policy_inputs' now",
        ),
        (
            lambda a, s: counterfactual(
                a, s.observations([0]), Gradient(a).attribute(s.observations([0, 1]))
            ),
            "of this state alone",
        ),
        (lambda a, s: Agent.from_model("model.zip"), "load_agent reads files"),
    ],
)
def test_it_is_one_line(use, said, agent, states):
    with pytest.raises(ExplainError) as refusal:
        use(agent, states)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_renamed_method_says_its_new_name(agent):
    with pytest.raises(AttributeError, match="action_maps is called attribute_all now"):
        Gradient(agent).action_maps(None)
    with pytest.raises(AttributeError, match="Gradient has no 'atribute'"):
        Gradient(agent).atribute(None)


def test_one_explainer_may_stand_for_a_list(agent, states):
    evaluation = evaluate(agent, states, Gradient(agent), ["sparseness"])
    assert set(evaluation.rows) == {"gradient", "empty", "constant", "random"}
    assert repr(evaluation).startswith("Evaluation of gradient") and len(repr(evaluation)) < 200
