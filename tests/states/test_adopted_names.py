"""An agent without names takes those of the environment it plays in, or of its stored states."""

import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

from sb3_explain import (
    EnvRecipe,
    ExplainError,
    StateDataset,
    collect,
    evaluate,
    load_agent,
    make_explainer,
)

FEATURES, ACTIONS = ("ball", "height", "basket"), ("left", "stay", "right")
PLAYED = {"n_states": 40, "render": False, "progress": False}


class Catcher(gym.Env):
    feature_names, action_names = FEATURES, ACTIONS
    observation_space, action_space = spaces.Box(-1, 1, (3,)), spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 10
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}

    def step(self, action):
        self.left -= 1
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), 1.0, False, self.left == 0, {}


gym.register("NamedCatcher-v0", Catcher)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("agent") / "catcher.zip"
    PPO("MlpPolicy", Catcher(), seed=0, n_steps=32, batch_size=32).save(path)
    return path


def load(file, **given):
    return load_agent("ppo", None, folder=file, **given)


@pytest.mark.parametrize(
    "make",
    [
        Catcher,
        lambda: Catcher,
        lambda: DummyVecEnv([Catcher]),
        lambda: SubprocVecEnv([Catcher]),
        lambda: "NamedCatcher-v0",
        lambda: EnvRecipe("NamedCatcher-v0"),
    ],
    ids=["live", "class", "DummyVecEnv", "SubprocVecEnv", "id", "recipe"],
)
def test_names_of_the_environment_that_is_played(make, file, tmp_path):
    agent, env = load(file), make()
    assert agent.action_names[0] == "action 0" and agent.feature_names == {}
    collect(agent, env, folder=tmp_path / "states", **PLAYED)
    assert (agent.action_names, agent.feature_names) == (ACTIONS, {"": FEATURES})
    # and from the store, for an agent that is loaded anew and knows no environment
    stored = StateDataset.open(tmp_path / "states")
    for use in (
        lambda fresh: evaluate(fresh, stored, [], ["sparseness"], target="stay", n_resamples=10),
        lambda fresh: make_explainer("feature_ablation", fresh, stored),
        lambda fresh: stored.batch(fresh, [0], "right"),
    ):
        fresh = load(file)
        use(fresh)
        assert (fresh.action_names, fresh.feature_names) == (ACTIONS, {"": FEATURES})
    if isinstance(env, SubprocVecEnv):
        env.close()


def test_documented_names_of_an_environment(tmp_path):
    PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32).save(tmp_path / "cartpole.zip")
    for env in ("CartPole-v1", gym.make("CartPole-v1")):
        agent = load(tmp_path / "cartpole.zip")
        collect(agent, env, **PLAYED)
        assert agent.action_names == ("left", "right")
        assert agent.feature_names[""][2] == "pole angle"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"feature_names": ["a", "b", "c"]}, (ACTIONS, {"": ("a", "b", "c")})),
        ({"feature_names": {}}, (ACTIONS, {})),
        ({"action_names": ["x", "y", "z"]}, (("x", "y", "z"), {"": FEATURES})),
    ],
)
def test_given_names_stay_and_are_stored(given, expected, file, tmp_path):
    agent = load(file, **given)
    collect(agent, Catcher(), folder=tmp_path / "states", **PLAYED)
    assert (agent.action_names, agent.feature_names) == expected
    fresh = load(file)
    StateDataset.open(tmp_path / "states").batch(fresh, [0])
    assert (fresh.action_names, fresh.feature_names) == expected


def test_names_of_one_frame_of_a_stack(tmp_path):
    env = VecFrameStack(DummyVecEnv([Catcher]), 2)
    PPO("MlpPolicy", env, n_steps=32, batch_size=32).save(tmp_path / "stacked.zip")
    agent = load(tmp_path / "stacked.zip", recipe=EnvRecipe("NamedCatcher-v0", frame_stack=2))
    assert agent.feature_names == {"": FEATURES}
    stranger = load(tmp_path / "stacked.zip")
    collect(stranger, env, **PLAYED)  # of which it does not know that it sees two frames
    assert stranger.action_names == ACTIONS


@pytest.mark.parametrize(
    "names", [{"features": {"": ["too", "few"]}}, {"features": {"x": ["a", "b", "c"]}}, {}]
)
def test_stored_names_that_do_not_fit_are_left_out(names, file, tmp_path):
    states = collect(load(file), Catcher(), folder=tmp_path / "states", **PLAYED)
    described = json.loads((tmp_path / "states" / "states.json").read_text())
    described["agent"] = {"actions": ["one"], **names}
    (tmp_path / "states" / "states.json").write_text(json.dumps(described))
    states = StateDataset.open(tmp_path / "states")
    agent = load(file)
    states.batch(agent, [0])
    assert agent.action_names[0] == "action 0" and agent.feature_names == {}


@pytest.mark.parametrize(
    "agent", [{"features": 3}, {"features": {"": 3}}, {"features": {"": [3]}}, {"actions": "left"}]
)
def test_damaged_names_of_a_store_are_refused(agent, file, tmp_path):
    collect(load(file), Catcher(), folder=tmp_path / "states", **PLAYED)
    described = json.loads((tmp_path / "states" / "states.json").read_text())
    (tmp_path / "states" / "states.json").write_text(json.dumps({**described, "agent": agent}))
    with pytest.raises(ExplainError, match=r"states.json is damaged \(agent"):
        StateDataset.open(tmp_path / "states")
