"""Names of actions and features reach the agent, however it is made."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv
from torch import nn

from sb3_explain import Agent, EnvRecipe, ExplainError, SaliencyCallback, demo_agent, load_agent
from sb3_explain.agents.targets.find import find_target
from sb3_explain.agents.targets.outputs import Outputs

CART = ("cart position", "cart velocity", "pole angle", "pole angular velocity")


@pytest.fixture(scope="module")
def model():
    return PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, seed=0)


def test_names_of_a_model_s_environment(model):
    agent = Agent.from_model(model)
    assert agent.feature_names == {"": CART} and agent.action_names == ("left", "right")
    # an environment that cannot be asked, but has a name
    model.env, env = None, model.env
    try:
        agent = Agent.from_model(model, recipe=EnvRecipe("CartPole-v1"))
    finally:
        model.env = env
    assert agent.feature_names == {"": CART} and agent.action_names == ("left", "right")


def test_given_names_come_first(model, tmp_path):
    given = {"action_names": ("a", "b"), "feature_names": ("w", "x", "y", "z")}
    model.save(tmp_path / "model.zip")
    for agent in (
        Agent.from_model(model, **given),
        load_agent("ppo", "CartPole-v1", folder=tmp_path / "model.zip", **given),
        Agent.from_module(
            nn.Linear(4, 2), model.observation_space, model.action_space,
            recipe=EnvRecipe("CartPole-v1"), **given,
        ),
    ):  # fmt: skip
        assert (agent.action_names, agent.feature_names) == (("a", "b"), {"": ("w", "x", "y", "z")})
    assert Agent.from_model(model, feature_names={}).feature_names == {}


def test_names_of_a_loaded_agent(model, tmp_path):
    model.save(tmp_path / "model.zip")
    agent = load_agent("ppo", "CartPole-v1", folder=tmp_path / "model.zip")
    assert agent.feature_names == {"": CART}
    with pytest.raises(ExplainError, match="3 feature names for 4 features"):
        load_agent(
            "ppo", "CartPole-v1", folder=tmp_path / "model.zip", feature_names=["a", "b", "c"]
        )


def test_names_of_a_module_with_a_recipe():
    agent = Agent.from_module(
        nn.Linear(3, 1), spaces.Box(-9, 9, (3,)), spaces.Box(-2, 2, (1,)),
        recipe=EnvRecipe("Pendulum-v1"),
    )  # fmt: skip
    assert agent.action_names == ("torque",)
    assert agent.feature_names[""] == ("cos(angle)", "sin(angle)", "angular velocity")
    assert agent.scores(torch.zeros(1, 3)).shape == (1, 1)


def test_the_demo_agent_s_actions_may_be_renamed():
    names = ("wait", "fire", "up", "down", "up and fire", "down and fire")
    assert demo_agent(action_names=names).action_names == names


def test_callbacks_have_the_names(model, tmp_path):
    seen = []

    class Watching(SaliencyCallback):
        def work(self, folder):
            seen.append(self.take_agent())
            super().work(folder)

    options = {"folder": str(tmp_path), "budget": None, "on_error": "raise", "n_states": 2}
    model.learn(64, callback=Watching("gradient", None, **options))
    given = {"action_names": ["a", "b"], "feature_names": ["w", "x", "y", "z"]}
    model.learn(64, callback=Watching("gradient", None, **options, **given))
    assert [agent.action_names for agent in seen] == [("left", "right"), ("a", "b")]
    assert [agent.feature_names for agent in seen] == [{"": CART}, {"": ("w", "x", "y", "z")}]


class Named(gym.Env):
    """An environment that names its actions as it names its features."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)
    feature_names = ("near", "far")
    action_names: object = ("wait", "go")

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, True, False, {}


@pytest.mark.parametrize(
    # a process of its own imports all anew
    "kind",
    [DummyVecEnv, pytest.param(SubprocVecEnv, marks=pytest.mark.slow)],
)
def test_an_environment_of_one_s_own_names_its_actions(kind):
    env = kind([Named])
    try:
        agent = Agent.from_model(PPO("MlpPolicy", env, n_steps=32, device="cpu"))
    finally:
        env.close()
    assert agent.action_names == ("wait", "go") and agent.feature_names == {"": ("near", "far")}


@pytest.mark.parametrize("names", [("wait",), "go", 3])
def test_names_that_do_not_fit_the_actions_are_not_used(names):
    env = Named()
    env.action_names = names
    agent = Agent.from_model(PPO("MlpPolicy", env, n_steps=32, device="cpu"))
    assert agent.action_names == ("action 0", "action 1")


MULTI = spaces.MultiDiscrete([2, 3])
STEER, GAS = ("left", "right"), ("stay", "half", "full")


def make_linear(action_space, n_scores, names):
    return Agent.from_module(
        nn.Linear(4, n_scores), spaces.Box(-1, 1, (4,)), action_space, action_names=names
    )


@pytest.mark.parametrize(
    ("names", "called"),
    [
        ([STEER, GAS], (*STEER, *GAS)),
        ((list(STEER), np.array(GAS)), (*STEER, *GAS)),
        ([*STEER, *GAS], (*STEER, *GAS)),
        # a name of two sub-actions says which it means
        (
            [("off", "on"), ("off", "half", "on")],
            ("action 0=off", "action 0=on", "action 1=off", "action 1=half", "action 1=on"),
        ),
        (
            {"steer": STEER, "gas": GAS},
            ("steer=left", "steer=right", "gas=stay", "gas=half", "gas=full"),
        ),
        (["steer", "gas"], ("steer=0", "steer=1", "gas=0", "gas=1", "gas=2")),
        ((), ("action 0=0", "action 0=1", "action 1=0", "action 1=1", "action 1=2")),
    ],
)
def test_names_of_sub_actions_are_targets(names, called):
    agent = make_linear(MULTI, 5, names)
    assert agent.action_names == called == agent.target_names
    for index, name in enumerate(called):
        assert find_target(agent, name.upper()) == index
    contrast = find_target(agent, f"{called[1]} - {called[4]}")
    outputs = Outputs(agent, torch.ones(1, 4))
    expected = outputs.scores[:, 1] - outputs.scores[:, 4]
    torch.testing.assert_close(contrast(outputs, 1), expected)


@pytest.mark.parametrize(
    ("space", "n_scores", "names", "said"),
    [
        (MULTI, 5, [GAS, STEER], "lists of 3, 2 names for sub-actions of 2, 3 values"),
        (MULTI, 5, [STEER, GAS, STEER], "lists of 2, 3, 2 names for sub-actions of 2, 3"),
        (MULTI, 5, ["left", GAS], "lists of 0, 3 names"),
        (MULTI, 5, {"steer": STEER}, "lists of 2 names for sub-actions of 2, 3"),
        (MULTI, 5, ["a", "b", "c"], "3 action names for 5 scores"),
        (MULTI, 5, "steer", "give a list of 5 names"),
        (spaces.Discrete(2), 2, [["left"], ["right"]], "is nested.*Discrete.*one list of 2 names"),
        (spaces.Discrete(2), 2, {0: "left", 1: "right"}, "is a dict.*one list of 2 names"),
        (spaces.Discrete(2), 2, "no", "action_names='no': give a list of 2 names"),
        (spaces.Discrete(2), 2, 5, "action_names=5: give a list of 2 names"),
        (spaces.MultiBinary(2), 2, [["off", "on"]] * 2, "is nested.*MultiBinary.*2 names"),
        (spaces.Box(-1, 1, (1, 2)), 2, [["x", "y"]], "is nested.*Box.*2 names"),
    ],
)
def test_names_of_another_form_are_refused(space, n_scores, names, said):
    with pytest.raises(ExplainError, match=said) as refused:
        make_linear(space, n_scores, names)
    assert "\n" not in str(refused.value)


class Driving(Named):
    """An environment of two sub-actions."""

    action_space = MULTI
    action_names: object = {"steer": STEER, "gas": GAS}


def test_an_environment_names_its_sub_actions():
    agent = Agent.from_model(PPO("MlpPolicy", Driving(), n_steps=32, device="cpu"))
    assert agent.action_names[:3] == ("steer=left", "steer=right", "gas=stay")


@pytest.mark.parametrize("names", [[GAS, STEER], {"steer": STEER}, ("steer",), 3])
def test_names_of_an_environment_that_do_not_fit_are_told(names, caplog):
    env = Driving()
    env.action_names = names
    agent = Agent.from_model(PPO("MlpPolicy", env, n_steps=32, device="cpu"))
    assert agent.action_names[0] == "action 0=0"
    assert caplog.text.count("the environment's action_names are left out") == 1


class Binned(gym.ActionWrapper):
    """A wrapper of three actions in place of two, which it names."""

    action_names = ("brake", "wait", "go")

    def __init__(self, env):
        super().__init__(env)
        self.action_space = spaces.Discrete(3)

    def action(self, action):
        return action // 2


def test_a_wrapper_names_the_actions_that_it_makes(caplog):
    agent = Agent.from_model(PPO("MlpPolicy", Binned(Named()), n_steps=32, device="cpu"))
    assert agent.action_names == Binned.action_names and not caplog.text
