"""The table of docs/pictures.md: each question is one call, for each kind of model.

The models are made three lines above the call; their environment is a class of this file, which no
registry knows.
"""

import functools
import sys
import types

import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC

from sb3_explain import Agent, collect, evaluate, make_explainer, play, plot, to_shap
from sb3_explain.report.video import read_frames
from tests.agents.loading.models import (
    ARM,
    LSTM,
    OFF_POLICY,
    ON_POLICY,
    ONE_OF_FOUR,
    SMALL,
    TINY_CNN,
    Noise,
)
from tests.workflows.test_one_call import explain_as_shap

OBSERVED = {
    "pictures": spaces.Box(0, 255, (36, 36, 3), np.uint8),
    "vectors": spaces.Box(-2, 2, (5,), np.float32),
    "Dict": spaces.Dict(
        image=spaces.Box(0, 255, (36, 36, 1), np.uint8), vector=spaces.Box(-1, 1, (4,), np.float32)
    ),
}
POLICIES = {"pictures": "Cnn", "vectors": "Mlp", "Dict": "MultiInput"}
MODELS = {
    "PPO": (PPO, ON_POLICY),
    "DQN": (DQN, OFF_POLICY),
    "SAC": (SAC, OFF_POLICY),
    "RecurrentPPO": (RecurrentPPO, ON_POLICY),
    "MaskablePPO": (MaskablePPO, ON_POLICY),
}


class Custom(Noise):
    """An environment that no registry knows, and that renders its number of steps."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, observation_space, action_space, render_mode="rgb_array"):
        super().__init__(observation_space, action_space)
        self.render_mode = render_mode

    def render(self):
        picture = np.full((60, 80, 3), 30, np.uint8)
        picture[20:40, 10 * self.steps : 10 * self.steps + 10] = 200
        return picture


@functools.cache
def model_of(algo, observed):
    kind, settings = MODELS[algo]
    env = Custom(OBSERVED[observed], ARM if algo == "SAC" else ONE_OF_FOUR)
    kwargs = {**SMALL, **({} if observed == "vectors" else TINY_CNN)}
    if observed == "Dict":
        kwargs = dict(SMALL)
    policy = f"{POLICIES[observed]}Policy"
    if algo == "RecurrentPPO":
        policy, kwargs = f"{POLICIES[observed]}LstmPolicy", {**kwargs, **LSTM}
    return kind(policy, env, policy_kwargs=kwargs, seed=0, device="cpu", **settings)


def each_model(*observed):
    return pytest.mark.parametrize(
        ("algo", "observed"),
        [(algo, each) for each in observed or OBSERVED for algo in MODELS],
    )


@each_model()
@pytest.mark.parametrize("question", ["the action", "an action by name", "value", "a contrast"])
def test_a_picture_of_an_observation(algo, observed, question):
    model = model_of(algo, observed)
    names = Agent.from_model(model).target_names
    target = {
        "the action": None,
        "an action by name": names[1],
        "value": "value",
        "a contrast": f"{names[1]} - {names[0]}",
    }[question]
    observation = model.get_env().reset()
    figure = plot(model, observation, "gradient", target)
    said = " ".join(axes.get_title(loc="left") for axes in figure.axes)
    assert (target or "") in f"{figure.get_suptitle()} {said}"
    # each picture stands beside itself under its map
    kinds = {"pictures": [2, 0], "vectors": [0, 1], "Dict": [2, 1]}[observed]
    drawn = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    pictures = sum(bool(axes.images) for axes in drawn)
    bars = sum(bool(axes.patches) for axes in drawn)
    assert [pictures, bars] == kinds


@each_model()
def test_attributions_of_a_vec_env_s_batch(algo, observed):
    model = model_of(algo, observed)
    batch = model.get_env().reset()
    attributions = make_explainer("gradient", Agent.from_model(model)).attribute(batch)
    expected, _ = model.policy.obs_to_tensor(batch)
    pairs = attributions.items() if observed == "Dict" else [("", attributions)]
    for key, part in pairs:
        assert part.shape == (expected[key] if key else expected).shape


@pytest.mark.slow  # an episode and an encoder for each of fifteen models
@each_model()
def test_a_video_of_an_episode(algo, observed, tmp_path):
    model = model_of(algo, observed)
    path = play(model, "gradient", path=tmp_path / "a.mp4", n_steps=5, height=96, progress=False)
    assert 1 <= len(list(read_frames(path))) <= 5


@pytest.mark.slow  # plays and measures fifteen models
@each_model()
def test_states_of_an_environment_that_is_not_registered_are_evaluated_by_names(algo, observed):
    agent = Agent.from_model(model_of(algo, observed))
    env = Custom(OBSERVED[observed], agent.action_space)
    states = collect(agent, env, n_states=20, progress=False)
    evaluation = evaluate(agent, states, ["gradient"], ["sparseness"], n_resamples=20)
    assert np.isfinite(evaluation.rows["gradient"].values["sparseness"]).all()


@each_model("vectors")
def test_a_shap_beeswarm(algo, observed, monkeypatch):
    model = model_of(algo, observed)
    monkeypatch.setitem(sys.modules, "shap", types.SimpleNamespace(Explanation=explain_as_shap))
    given = np.concatenate([model.get_env().reset() for _ in range(4)])
    assert to_shap(model, given, "kernel_shap").values.shape == (4, 5)


#: column of the table in docs/pictures.md -> the test of its cells, and the question that it asks
CALLS = {
    "`plot`": (test_a_picture_of_an_observation, "the action"),
    "an action by name": (test_a_picture_of_an_observation, "an action by name"),
    '`"value"`': (test_a_picture_of_an_observation, "value"),
    "a contrast": (test_a_picture_of_an_observation, "a contrast"),
    "`attribute` of a VecEnv's batch": (test_attributions_of_a_vec_env_s_batch, None),
    "`play`": (test_a_video_of_an_episode, None),
    "`collect`, `evaluate`": (
        test_states_of_an_environment_that_is_not_registered_are_evaluated_by_names,
        None,
    ),
    "`to_shap`": (test_a_shap_beeswarm, None),
}


def table():
    """In Markdown: models x calls, with a yes where a test above makes the call."""
    lines = ["| model, observes | " + " | ".join(CALLS) + " |", "|---|" + ":-:|" * len(CALLS)]
    for observed in OBSERVED:
        for algo in MODELS:
            answers = [
                "yes" if is_tested(test, algo, observed, question) else "no"
                for test, question in CALLS.values()
            ]
            lines.append(f"| {algo}, {observed} | " + " | ".join(answers) + " |")
    return "\n".join(lines) + "\n"


def is_tested(test, algo, observed, question):
    """Whether a test is parametrized with a model, and with a question if it has such."""
    given = {mark.args[0]: mark.args[1] for mark in test.pytestmark if mark.name == "parametrize"}
    return (algo, observed) in given["algo", "observed"] and (
        question is None or question in given["question"]
    )


def test_the_table_has_every_test_and_leaves_out_what_none_makes():
    listed = {test.__name__ for test, _ in CALLS.values()}
    parametrized = {name for name, each in globals().items() if hasattr(each, "pytestmark")}
    assert listed == parametrized
    rows = table().splitlines()[2:]
    assert len(rows) == 15
    assert [row.count("yes") for row in rows] == [7] * 5 + [8] * 5 + [7] * 5
