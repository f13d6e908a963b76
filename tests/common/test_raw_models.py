"""Every public name that takes an agent wraps a raw model of SB3, or refuses it in one line."""

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
#: which wrap a model
WRAPPING = {
    "plot", "compare", "play", "to_shap", "view", "diagnose", "inside", "distill", "outcomes",
    "behavior_map", "StateMask", "StateMask.load",
}  # fmt: skip
#: of these, those that are tested where they are or below
ELSEWHERE = {
    "play", "diagnose", "inside", "distill", "outcomes", "behavior_map", "StateMask.load",
}  # fmt: skip
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


def call(taker):
    """Call it with the model as its agent, and what fits as its other arguments."""
    agent = find_argument(taker)
    positional, named = [], {agent: MODEL}
    for name, one in inspect.signature(taker).parameters.items():
        if name == agent or one.default is not one.empty or one.kind in (2, 4):
            continue
        named[name] = OTHERS.get(name, object())
    return taker(*positional, **named)


def test_they_are_found():
    assert {"evaluate", "StateBatch", "VisionMask", "VisionMask.load", "list_explainers"} <= set(
        PUBLIC
    )
    assert HOOKS - {"ExplainCallback.begin"} <= set(PUBLIC) and set(PUBLIC) >= WRAPPING
    assert len(PUBLIC) > 60


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - HOOKS - WRAPPING - ABSTRACT - RESULTS))
def test_a_raw_model_is_refused_in_one_line(name):
    with pytest.raises(ExplainError) as refusal:
        call(PUBLIC[name])
    said = str(refusal.value)
    assert said.startswith(f"{find_argument(PUBLIC[name])} must be of class Agent, not PPO: ")
    assert said.endswith("Agent.from_model(model) makes one") and "\n" not in said


@pytest.mark.parametrize("name", sorted(WRAPPING - ELSEWHERE))
def test_or_it_is_wrapped(name):
    if name == "to_shap":
        pytest.importorskip("shap")
    assert call(PUBLIC[name]) is not None


def test_inside_distill_and_behavior_map_wrap_a_model():
    options = {"n_rounds": 1, "n_episodes": 1, "n_evaluated": 2, "progress": False}
    agent = sb3_explain.Agent.from_model(MODEL)
    states = sb3_explain.collect(agent, n_states=20, max_per_episode=5, render=False)
    assert sb3_explain.inside(MODEL, states).layers
    assert len(sb3_explain.behavior_map(MODEL, states, n_clusters=2).clusters) == 2
    assert sb3_explain.distill(MODEL, max_leaves=2, **options).returns.n == 2


def test_in_a_list_or_a_dict_it_is_refused_as_well():
    for use in (
        lambda: sb3_explain.run_benchmark(MODEL, ["gradient"], ["sparseness"], output="nowhere"),
        lambda: sb3_explain.run_benchmark([MODEL], ["gradient"], ["sparseness"], output="nowhere"),
        lambda: sb3_explain.run_benchmark({"a": MODEL}, ["random"], ["sparseness"], output="x"),
        lambda: sb3_explain.run_benchmark({"a": (MODEL, STATES)}, ["random"], [], output="x"),
    ):
        with pytest.raises(ExplainError, match="each of agents must be of class Agent, not PPO"):
            use()


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
