"""What an agent learns from the environment of a live model."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecExtractDictObs,
    VecFrameStack,
    VecNormalize,
)

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.callbacks import SaliencyCallback
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.feature_names import accept_feature_names, list_feature_names
from sb3_explain.envs.recipe import EnvRecipe, Normalizer
from sb3_explain.states.collection import collect
from sb3_explain.states.environments import find_recipe
from sb3_explain.states.play import play_transformed
from tests.agents.loading.models import Noise


def model_of(env):
    policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    return PPO(policy, env, n_steps=16, batch_size=16, n_epochs=1, device="cpu")


class Scaled(gym.ObservationWrapper):
    """A wrapper that does not record its arguments."""

    def __init__(self, env, factor=2.0):
        super().__init__(env)
        self.factor = factor

    def observation(self, observation):
        return observation * self.factor


class Shifted(gym.ObservationWrapper):
    """A wrapper without arguments."""

    def observation(self, observation):
        return observation + 1


def wrap(env):
    env = gym.wrappers.RescaleAction(Shifted(env), -1.0, 1.0)
    return gym.wrappers.TimeLimit(env, 50)


@pytest.mark.parametrize("kind", [DummyVecEnv, SubprocVecEnv])
def test_an_environment_is_named(kind):
    vec_env = make_vec_env(
        "Pendulum-v1", 2, wrapper_class=wrap, env_kwargs={"g": 9.0}, vec_env_cls=kind
    )
    env = VecFrameStack(VecNormalize(vec_env), 3)
    try:
        agent = Agent.from_model(model_of(env))
    finally:
        env.close()
    assert agent.recipe.env_id == "Pendulum-v1"
    assert agent.recipe.env_kwargs == {"g": 9.0, "max_episode_steps": 50}
    assert agent.recipe.wrappers == (
        (f"{__name__}.Shifted", {}),
        ("gymnasium.wrappers.RescaleAction", {"min_action": -1.0, "max_action": 1.0}),
    )
    assert agent.recipe.frame_stack == agent.n_stack == 3
    assert agent.action_names == ("torque",)
    made = agent.recipe.make()
    assert made.unwrapped.g == 9.0
    assert made.action_space.high == 1.0
    first, _ = made.reset(seed=0)
    theirs, _ = wrap(gym.make("Pendulum-v1", g=9.0)).reset(seed=0)
    np.testing.assert_array_equal(first, theirs)


def test_the_parts_of_an_atari_wrapper_are_put_together():
    pytest.importorskip("ale_py")
    given = {"noop_max": 7, "clip_reward": False, "action_repeat_probability": 0.25}
    env = VecFrameStack(make_atari_env("PongNoFrameskip-v4", 1, wrapper_kwargs=given), 4)
    model = PPO("CnnPolicy", env, n_steps=16, batch_size=16, device="cpu")
    agent = Agent.from_model(model)
    assert agent.recipe.env_id == "PongNoFrameskip-v4"
    assert agent.recipe.env_kwargs == {}
    name = "stable_baselines3.common.atari_wrappers.AtariWrapper"
    assert agent.recipe.wrappers == ((name, given),)
    assert (agent.n_stack, agent.action_names[0]) == (4, "NOOP")


def test_a_worker_that_is_busy_or_gone_is_not_asked(caplog):
    env = make_vec_env("Pendulum-v1", 1, vec_env_cls=SubprocVecEnv)
    model = model_of(env)
    env.reset()
    env.step_async(np.zeros((1, 1), np.float32))
    assert Agent.from_model(model).recipe is None
    env.step_wait()
    assert Agent.from_model(model).recipe.env_id == "Pendulum-v1"
    env.close()
    agent = Agent.from_model(model)
    assert agent.recipe is None
    assert caplog.messages == []


def test_statistics_are_copied():
    env = VecNormalize(make_vec_env("Pendulum-v1", 1), clip_obs=3.0)
    model = model_of(env).learn(16)
    agent = Agent.from_model(model)
    raw = np.random.default_rng(0).normal(0, 5, (20, 3)).astype(np.float32)
    expected = env.normalize_obs(raw)
    model.learn(16)
    assert not np.array_equal(env.normalize_obs(raw), expected)
    np.testing.assert_array_equal(agent.normalize(raw), expected)
    assert Agent.from_model(model_of(VecNormalize(make_vec_env("Pendulum-v1"), norm_obs=False)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Scaled(gym.make("Pendulum-v1")), "Scaled does not record its arguments"),
        (
            lambda: gym.wrappers.TransformReward(gym.make("Pendulum-v1"), lambda r: 2 * r),
            "TransformReward are not all plain values",
        ),
        (
            lambda: gym.wrappers.NormalizeObservation(gym.make("Pendulum-v1")),
            "NormalizeObservation holds statistics, which a new one has not",
        ),
        (lambda: type(gym.make("Pendulum-v1").unwrapped)(), "was not made by gymnasium.make"),
    ],
    ids=["arguments", "function", "statistics", "instance"],
)
def test_what_has_no_name_is_copied(make, says, caplog):
    env = VecNormalize(DummyVecEnv([lambda: Monitor(make())]))
    model = model_of(env)
    with caplog.at_level("INFO"):
        agent = Agent.from_model(model)
    assert len(caplog.messages) == 1
    assert says in caplog.text
    assert "unless you give recipe=..." in caplog.text
    assert agent.recipe is None
    name = env.unwrapped.envs[0].unwrapped.spec  # the id where there is one, else the class
    assert agent.environment == (name.id if name else "PendulumEnv")
    assert f" in {agent.environment} with" in repr(agent)
    assert agent.normalizers  # all else is read
    states = collect(agent, n_states=5, progress=False, render=False)
    observed = states.observations(np.arange(5)).numpy()
    assert np.abs(observed).max() <= env.clip_obs
    assert env.obs_rms.count == pytest.approx(1e-4)  # nothing was learned of what was played


def test_a_strange_wrapper_around_parallel_environments(caplog):
    caplog.set_level("INFO")
    space = spaces.Dict(a=spaces.Box(-1, 1, (3,), np.float32))
    env = VecExtractDictObs(DummyVecEnv([lambda: Noise(space, spaces.Discrete(2))]), "a")
    assert Agent.from_model(model_of(env)).recipe is None
    assert "VecExtractDictObs stands around it" in caplog.text


def test_what_the_user_gives_wins(caplog):
    env = VecNormalize(VecFrameStack(make_vec_env("Pendulum-v1", 1), 2))
    model = model_of(env)
    agent = Agent.from_model(model, action_names=["push"], n_stack=1)
    assert (agent.action_names, agent.n_stack) == (("push",), 1)
    assert caplog.messages == []
    mine = {"": Normalizer(np.zeros(6), np.ones(6), 1e-8, 1.0)}
    assert Agent.from_model(model, normalizers=mine).normalizers[""].clip == 1.0
    recipe = EnvRecipe("Pendulum-v1", env_kwargs={"g": 5.0}, frame_stack=2)
    agent = Agent.from_model(model, recipe=recipe)
    assert agent.recipe.env_kwargs == {"g": 5.0}
    # but raw observations are never shown to it in silence
    assert agent.recipe.normalizers[""].clip == 10.0
    assert "the recipe has no statistics" in caplog.text


def test_a_named_environment_is_normalized_as_the_agents_own(caplog, tmp_path):
    env = VecNormalize(make_vec_env("Pendulum-v1", 1))
    model = model_of(env).learn(64)
    agent = Agent.from_model(model)
    assert find_recipe(agent, "Pendulum-v1") is agent.recipe
    assert find_recipe(agent, None) is agent.recipe
    assert caplog.messages == []
    states = collect(
        agent, "Pendulum-v1", 30, folder=tmp_path / "a", n_envs=1, render=False, progress=False
    )
    first = agent.recipe.make().reset(seed=int(np.random.SeedSequence([0, 0]).generate_state(1)[0]))
    np.testing.assert_array_equal(states.observations([0])[0], env.normalize_obs(first[0]))
    other = find_recipe(agent, EnvRecipe("MountainCarContinuous-v0"))
    assert other.normalizers.keys() == agent.normalizers.keys()
    assert "are normalized by the statistics of the agent" in caplog.text


def test_a_rollout_sees_normalized_stacks():
    env = VecNormalize(VecFrameStack(make_vec_env("Pendulum-v1", 1), 3), norm_reward=False)
    model = model_of(env).learn(64)
    agent = Agent.from_model(model)
    seen = []

    def look(batch):
        seen.append(batch.observations.clone())
        return batch.observations

    play_transformed(agent, {"all": look}, 1, n_envs=1, max_steps=5, progress=False)
    statistics = env.obs_rms
    blank = (np.zeros(6) - statistics.mean[:6]) / np.sqrt(statistics.var[:6] + 1e-8)
    np.testing.assert_allclose(seen[0][0, :6], blank.clip(-10, 10), rtol=1e-5)
    assert len(seen) == 5


class TestFeatureNames:
    class Named(gym.Env):
        feature_names = ("angle", "speed")

        def __init__(self):
            self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
            self.action_space = spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return np.zeros(2, np.float32), {}

        def step(self, action):
            return np.zeros(2, np.float32), 0.0, False, False, {}

    def test_come_from_the_environment(self):
        model = model_of(VecFrameStack(DummyVecEnv([self.Named]), 2))
        agent = Agent.from_model(model, recipe=None)
        assert agent.feature_names == {"": ("angle", "speed")}
        assert list_feature_names({"": 4}, agent.feature_names) == [
            "angle, t - 1", "speed, t - 1", "angle", "speed",
        ]  # fmt: skip
        agent = Agent.from_model(model, recipe=None, feature_names=["a", "b", "c", "d"])
        assert list_feature_names({"": 4}, agent.feature_names) == ["a", "b", "c", "d"]

    def test_that_do_not_fit(self, caplog):
        model = model_of(DummyVecEnv([self.Named]))
        with pytest.raises(ExplainError, match="3 feature names for 2 features"):
            Agent.from_model(model, feature_names=["a", "b", "c"])
        with pytest.raises(ExplainError, match="'key', which is not among"):
            Agent.from_model(model, feature_names={"key": ["a"]})
        model.get_env().envs[0].unwrapped.feature_names = ("angle",)
        assert Agent.from_model(model, recipe=None).feature_names == {}
        assert "feature_names are left out" in caplog.text

    def test_that_do_not_fit_leave_the_others(self, caplog):
        space = spaces.Dict(
            {"mode": spaces.Discrete(3), "sensors": spaces.Box(-1, 1, (2,), np.float32)}
        )
        names = {"mode": ("off", "slow", "fast"), "sensors": ("heat", "light"), "gone": ("x",)}
        assert accept_feature_names(names, space, 1) == {"sensors": ("heat", "light")}
        assert caplog.text.count("are left out") == 2
        assert "feature_names of 'mode' are left out (3 feature names for 1" in caplog.text


def test_a_model_without_its_environment(tmp_path, caplog):
    model = model_of(VecNormalize(make_vec_env("Pendulum-v1", 1))).learn(16)
    model.save(tmp_path / "model.zip")
    Agent.from_model(PPO.load(tmp_path / "model.zip", device="cpu"))
    assert "was trained with VecNormalize" in caplog.text
    caplog.clear()
    plain = model_of(make_vec_env("Pendulum-v1", 1)).learn(16)
    plain.save(tmp_path / "plain.zip")
    Agent.from_model(PPO.load(tmp_path / "plain.zip", device="cpu"))
    assert caplog.messages == []


class Doubled(gym.ObservationWrapper):
    """Observations in double precision, whose bounds say nothing."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = spaces.Box(
            -np.inf, np.inf, env.observation_space.shape, np.float64
        )

    def observation(self, observation):
        return observation.astype(np.float64)


@pytest.mark.parametrize("wrap", [Doubled, lambda env: env], ids=["dtype", "bounds"])
@pytest.mark.parametrize("normalized", [True, False])
def test_a_replay_model_without_its_environment(tmp_path, caplog, wrap, normalized):
    def make():
        env = DummyVecEnv([lambda: wrap(gym.make("Pendulum-v1"))])
        env.seed(0)
        return VecNormalize(env) if normalized else env

    model = SAC("MlpPolicy", make(), seed=0, learning_starts=99, buffer_size=99, device="cpu")
    model.learn(20)
    model.save(tmp_path / "m.zip")
    agent = Agent.from_model(SAC.load(tmp_path / "m.zip", device="cpu"))
    assert not agent.normalizers
    assert ("was trained with VecNormalize" in caplog.text) == normalized
    caplog.clear()
    load_agent("sac", None, folder=tmp_path / "m.zip")
    assert ("was trained with VecNormalize" in caplog.text) == normalized


def test_callbacks_leave_statistics_as_they_are(tmp_path):
    """Training with a callback is training without it, the running statistics included."""
    outcomes = []
    for callback in (None, SaliencyCallback("gradient", 16, folder=tmp_path, n_frames=0)):
        env = VecNormalize(make_vec_env("CartPole-v1", 2, seed=0))
        model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1, device="cpu", seed=0)
        model.learn(64, callback=callback)
        outcomes.append((env.obs_rms.mean, env.obs_rms.var, env.obs_rms.count))
    for theirs, ours in zip(*outcomes, strict=True):
        np.testing.assert_array_equal(theirs, ours)
