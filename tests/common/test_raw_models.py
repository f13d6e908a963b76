"""Every public name that takes an agent takes a raw model of SB3, and refuses all else."""

import inspect

import numpy as np
import pytest
from stable_baselines3 import PPO

import sb3_explain
from sb3_explain import ExplainError
from tests.toys import dot_agent, dot_states

AGENT = dot_agent()
STATES = dot_states(AGENT, 20)
MODEL = PPO("MlpPolicy", "CartPole-v1", n_steps=8, device="cpu")
OBSERVATION = np.zeros((1, 4), np.float32)
#: what stands for other arguments than the agent, by name; anything else is an object
OTHERS = {
    "self": STATES, "states": STATES, "train": STATES, "validation": STATES, "given": "mean",
    "observations": OBSERVATION, "explainers": ["gradient"], "explainer": "input_x_gradient",
    "target": 0, "name": "gradient", "folder": "nowhere", "path": "episode.mp4",
    "output": "nowhere", "generator": sb3_explain.StateGenerator(AGENT),
    "unit": 0, "step": 0, "position": 0,
    "sample": np.arange(4), "targets": np.zeros(4, int), "seed": 0, "positions": [0], "columns": {},
    "repo_id": "somebody/something", "settings": {}, "named": "mean",
}  # fmt: skip
#: who is called by the package alone, with what it made itself: hooks of a training, and the cache
#: of an explainer that has been made
HOOKS = {
    *(f"{kind}.begin" for kind in dir(sb3_explain) if kind.endswith("Callback")),
    *("VisionMaskCallback.states", "StateGeneratorCallback.states"),
    *("MetricsCallback.evaluate_states", "MetricsCallback.make_explainers", "ForwardCache.read"),
}
#: results, which hold an agent
RESULTS = {"ActivatingStates", "BehaviorMap"}
ABSTRACT = {"MaskExplainer", "FittedExplainer.load"}


def list_public():
    """Public functions, constructors and methods that take an agent, by name."""
    public = {}
    for name in sb3_explain.__all__:
        thing = getattr(sb3_explain, name)
        if not callable(thing):
            continue
        public[name] = thing
        if inspect.isclass(thing):
            public |= {
                f"{name}.{method}": getattr(thing, method)
                for method in dir(thing)
                if method[:1] != "_" and callable(getattr(thing, method))
            }
    return {name: one for name, one in public.items() if find_argument(one)}


def find_argument(taker):
    """The name of the argument that is an agent, if there is one."""
    try:
        parameters = inspect.signature(taker).parameters
    except (TypeError, ValueError):
        return None
    return next((n for n, p in parameters.items() if str(p.annotation)[:5] == "Agent"), None)


PUBLIC = list_public()


class WrappedError(Exception):
    """Raised in place of wrapping a model."""


def call(taker, agent=MODEL):
    """Call it with the model as its agent, and what fits as its other arguments."""
    named = {find_argument(taker): agent}
    for name, one in inspect.signature(taker).parameters.items():
        if name in named or one.default is not one.empty or one.kind in (2, 4):
            continue
        named[name] = OTHERS.get(name, object())
    return taker(*([named.pop("self")] if "self" in named else []), **named)


def test_they_are_found():
    assert {"evaluate", "StateBatch", "VisionMask", "VisionMask.load", "plot"} <= set(PUBLIC)
    assert HOOKS - {"ExplainCallback.begin"} <= set(PUBLIC)
    assert len(PUBLIC) > 60


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - HOOKS - ABSTRACT - RESULTS))
def test_a_raw_model_is_wrapped_and_all_else_refused_in_one_line(name, monkeypatch):
    def refuse(given):
        if given is MODEL:
            raise WrappedError
        return given

    with pytest.raises(ExplainError) as refusal:
        call(PUBLIC[name], object())
    said = str(refusal.value)
    assert said.startswith(f"{find_argument(PUBLIC[name])} must be of class Agent, not object: ")
    assert said.endswith("a model of Stable-Baselines3 will do as it is") and "\n" not in said
    monkeypatch.setattr(sb3_explain.Agent, "from_similar", refuse)
    with pytest.raises(WrappedError):
        call(PUBLIC[name])


def test_a_model_is_collected_explained_and_evaluated():
    states = sb3_explain.collect(MODEL, n_states=20, max_per_episode=5, render=False)
    explainer = sb3_explain.InputXGradient(MODEL)
    assert explainer.attribute(states.observations([0])).shape == (1, 4)
    evaluation = sb3_explain.evaluate(MODEL, states, [explainer, "gradient"], ["sparseness"])
    assert evaluation.agent == explainer.agent.describe()
    other = PPO("MlpPolicy", "CartPole-v1", n_steps=8, seed=1, device="cpu")
    with pytest.raises(ExplainError, match="input_x_gradient explains another agent"):
        sb3_explain.evaluate(other, states, [explainer], ["sparseness"])
    assert sb3_explain.inside(MODEL, states).layers
    assert len(sb3_explain.behavior_map(MODEL, states, n_clusters=2).clusters) == 2


def test_agents_of_a_benchmark_may_be_models(tmp_path):
    settings = {"output": tmp_path, "n_evaluated": 5, "progress": False, "n_states": 60}
    grid = sb3_explain.run_benchmark({"a": MODEL}, ["random"], ["sparseness"], **settings)
    assert list(grid.join_seeds()) == ["a"]
    for given, said in (
        ({"a": object()}, "each of agents must be of class Agent, not object"),
        ([MODEL], "this agent has no name: give a dict"),
        (MODEL, "this agent has no name: give a dict"),
    ):
        with pytest.raises(ExplainError, match=said):
            sb3_explain.run_benchmark(given, ["random"], ["sparseness"], output="nowhere")


def test_where_an_explainer_is_asked_for_it_is_none():
    others = sb3_explain.OtherStates(AGENT, STATES, np.arange(4), np.zeros(4, int), 0)
    for use in (
        lambda: sb3_explain.evaluate(AGENT, STATES, [MODEL]),
        lambda: sb3_explain.compare(AGENT, STATES.observations([0]), [MODEL]),
        lambda: sb3_explain.plot(AGENT, STATES.observations([0]), MODEL),
        lambda: sb3_explain.Template(MODEL, STATES),
        lambda: sb3_explain.Swapped(MODEL, others),
        lambda: sb3_explain.masked_return(MODEL),
        lambda: sb3_explain.why(STATES, 0, MODEL),
    ):
        with pytest.raises(ExplainError, match="must be of class Explainer, not PPO: ") as refusal:
            use()
        assert "\n" not in str(refusal.value)


def test_a_model_is_no_argument_of_agent():
    with pytest.raises(ExplainError, match=r"Agent\.from_model\(model\) makes an agent"):
        sb3_explain.Agent(MODEL)
