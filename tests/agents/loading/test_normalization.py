"""Statistics of VecNormalize that stand beside a model, are given, are missing or do not fit."""

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from sb3_explain import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.cli import read_options
from sb3_explain.cli.flags import load_named_agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe
from tests.agents.loading.models import Noise


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that saw normalized observations, saved without its statistics."""
    env = VecNormalize(make_vec_env("Pendulum-v1", 1))
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, device="cpu").learn(32)
    model.save(tmp_path_factory.mktemp("trained") / "model.zip")
    return model


def load(path, env="Pendulum-v1", **kwargs):
    return load_agent("ppo", env, folder=path, **kwargs)


def test_statistics_beside_a_zip_are_used_and_said(trained, tmp_path, caplog):
    trained.save(tmp_path / "best_model.zip")
    for name in ("vec_normalize.pkl", "vecnormalize.pkl"):
        trained.get_vec_normalize_env().save(tmp_path / name)
        caplog.clear()
        agent = load(tmp_path / "best_model.zip")
        raw = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
        normalized = trained.get_vec_normalize_env().normalize_obs(raw)
        np.testing.assert_array_equal(agent.normalize(raw), normalized)
        np.testing.assert_allclose(
            agent.act(agent.normalize(raw)),
            trained.predict(normalized, deterministic=True)[0],
            rtol=1e-5,
        )
        (note,) = agent.provenance["notes"]
        assert "beside best_model.zip" in note
        assert caplog.messages == [note]
        (tmp_path / name).unlink()


def test_a_file_named_after_the_model_comes_first(trained, tmp_path):
    trained.save(tmp_path / "run_64_steps.zip")
    env = trained.get_vec_normalize_env()
    mean = env.obs_rms.mean
    names = ("vec_normalize.pkl", "run_64_steps_vecnormalize.pkl", "run_vecnormalize_64_steps.pkl")
    try:
        for i, name in enumerate(names):
            env.obs_rms.mean = mean + i
            env.save(tmp_path / name)
            agent = load(tmp_path / "run_64_steps.zip")
            np.testing.assert_array_equal(agent.normalizers[""].mean, mean + i)
    finally:
        env.obs_rms.mean = mean


def test_two_that_differ_are_an_error(trained, tmp_path):
    trained.save(tmp_path / "model.zip")
    env = trained.get_vec_normalize_env()
    for name in ("vec_normalize.pkl", "vecnormalize.pkl"):
        env.save(tmp_path / name)
    assert load(tmp_path / "model.zip").normalizers
    env.clip_obs = 5.0
    env.save(tmp_path / "vecnormalize.pkl")
    env.clip_obs = 10.0
    with pytest.raises(ExplainError, match="differ: give vec_normalize=FILE"):
        load(tmp_path / "model.zip")
    assert not load(tmp_path / "model.zip", vec_normalize=False).normalizers
    agent = load(tmp_path / "model.zip", vec_normalize=tmp_path / "vecnormalize.pkl")
    assert agent.normalizers[""].clip == 5.0


def test_missing_statistics_are_said(trained, tmp_path, caplog):
    trained.save(tmp_path / "model.zip")
    agent = load(tmp_path / "model.zip")
    assert "was trained with VecNormalize" in agent.provenance["notes"][0]
    assert caplog.messages == agent.provenance["notes"]
    assert agent.trained_normalized is True
    caplog.clear()
    assert load(tmp_path / "model.zip", vec_normalize=False).provenance["notes"] == []
    assert caplog.messages == []


def test_statistics_of_another_agent_are_left_out(trained, tmp_path):
    plain = PPO("MlpPolicy", "Pendulum-v1", n_steps=32, batch_size=32, n_epochs=1, device="cpu")
    plain.learn(32).save(tmp_path / "plain.zip")
    trained.get_vec_normalize_env().save(tmp_path / "vec_normalize.pkl")
    agent = load(tmp_path / "plain.zip")
    assert not agent.normalizers
    assert "trained without VecNormalize" in agent.provenance["notes"][0]
    assert agent.trained_normalized is False


def test_a_replay_buffer_tells_nothing_of_normalization(tmp_path, caplog):
    model = SAC("MlpPolicy", "Pendulum-v1", learning_starts=10, device="cpu")
    model.learn(12).save(tmp_path / "model.zip")
    agent = load_agent("sac", "Pendulum-v1", folder=tmp_path / "model.zip")
    assert agent.provenance["notes"] == []
    assert agent.trained_normalized is None
    assert Agent.from_model(model).trained_normalized is False  # its buffer was filled here
    loaded = SAC.load(tmp_path / "model.zip", env=model.get_env(), device="cpu")
    assert Agent.from_model(loaded).trained_normalized is None


def test_a_live_model_says_whether_it_was_trained_on_normalized_observations(trained, tmp_path):
    trained.save(tmp_path / "model.zip")
    raw = make_vec_env("Pendulum-v1", 1)
    without = PPO.load(tmp_path / "model.zip", env=raw, device="cpu")
    fresh = PPO("MlpPolicy", raw, n_steps=32, batch_size=32, device="cpu")
    found = [Agent.from_model(model).trained_normalized for model in (trained, without, fresh)]
    assert found == [True, True, False]


def test_statistics_without_an_environment_are_held(trained, tmp_path):
    trained.save(tmp_path / "model.zip")
    trained.get_vec_normalize_env().save(tmp_path / "vec_normalize.pkl")
    agent = load(
        tmp_path / "model.zip",
        env=None,
        observation_space=trained.observation_space,
        action_space=trained.action_space,
    )
    assert agent.recipe is None
    assert sorted(agent.describe()["normalized"]) == [""]
    raw = np.ones((2, 3), np.float32)
    normalized = trained.get_vec_normalize_env().normalize_obs(raw)
    np.testing.assert_array_equal(agent.normalize(raw), normalized)
    with pytest.raises(ExplainError, match=r"observations of shape \(2, 4\)"):
        agent.normalize(np.ones((2, 4)))


def test_statistics_of_a_stack_and_of_frames(tmp_path):
    for inner, outer in ((VecFrameStack, VecNormalize), (VecNormalize, VecFrameStack)):
        env = make_vec_env("Pendulum-v1", 1)
        for wrapper in (inner, outer):
            env = wrapper(env, 4) if wrapper is VecFrameStack else wrapper(env)
        model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, device="cpu")
        model.learn(32).save(tmp_path / "model.zip")
        model.get_vec_normalize_env().save(tmp_path / "vec_normalize.pkl")
        recipe = EnvRecipe("Pendulum-v1", frame_stack=4)
        agent = load(tmp_path / "model.zip", env=None, recipe=recipe)
        assert agent.n_stack == 4
        n = 12 if outer is VecNormalize else 3
        assert agent.normalizers[""].mean.shape == (n,)
    # a stack of frames, as the statistics of frames tell
    agent = load(
        tmp_path / "model.zip",
        env=None,
        observation_space=model.observation_space,
        action_space=model.action_space,
    )
    assert agent.n_stack == 4


class TestWhatDoesNotFit:
    @pytest.fixture
    def wrong(self, tmp_path):
        """A path of statistics of other observations, by a function of their space."""

        def save(space):
            env = VecNormalize(DummyVecEnv([lambda: Noise(space, spaces.Discrete(2))]))
            env.save(str(tmp_path / "wrong.pkl"))
            return tmp_path / "wrong.pkl"

        return save

    @pytest.mark.parametrize(
        ("space", "says"),
        [
            (spaces.Box(-1, 1, (5,)), r"shape \(5,\) do not fit"),
            (spaces.Dict(a=spaces.Box(-1, 1, (3,))), r"statistics are of \['a'\]"),
            (spaces.Box(-1, 1, (12,)), "4 stacked frames"),
        ],
        ids=["shape", "dict", "stack"],
    )
    def test_is_an_error_at_load(self, wrong, trained, tmp_path, space, says):
        trained.save(tmp_path / "model.zip")
        with pytest.raises(ExplainError, match=says) as caught:
            load(tmp_path / "model.zip", vec_normalize=wrong(space))
        assert "\n" not in str(caught.value)
        if "stacked" not in says:
            given = {
                "observation_space": trained.observation_space,
                "action_space": trained.action_space,
            }
            with pytest.raises(ExplainError, match=says):
                load(tmp_path / "model.zip", None, vec_normalize=tmp_path / "wrong.pkl", **given)

    def test_a_box_for_a_dict(self, wrong, tmp_path):
        space = spaces.Dict(a=spaces.Box(-1, 1, (3,)))
        env = DummyVecEnv([lambda: Noise(space, spaces.Discrete(2))])
        PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, device="cpu").save(tmp_path / "m.zip")
        with pytest.raises(ExplainError, match="an observation that is no dict"):
            load_agent(
                "ppo", None, folder=tmp_path / "m.zip", vec_normalize=wrong(space["a"]),
                observation_space=space, action_space=spaces.Discrete(2),
            )  # fmt: skip

    def test_is_not_a_path(self, trained, tmp_path):
        trained.save(tmp_path / "model.zip")
        with pytest.raises(ExplainError, match="vec_normalize is True: give a path"):
            load(tmp_path / "model.zip", vec_normalize=True)
        with pytest.raises(ExplainError, match=r"missing\.pkl"):
            load(tmp_path / "model.zip", vec_normalize=tmp_path / "missing.pkl")


@pytest.mark.parametrize("command", ["collect", "explain", "evaluate", "probe", "highlights"])
def test_every_command_takes_the_file(trained, tmp_path, command):
    trained.save(tmp_path / "model.zip")
    trained.get_vec_normalize_env().save(tmp_path / "mine.pkl")
    agent = ["--algo", "ppo", "--env", "Pendulum-v1", "-f", str(tmp_path / "model.zip")]
    flag = ["--vec-normalize", str(tmp_path / "mine.pkl")]
    options = read_options([command, *agent, *flag, "-o", str(tmp_path / "out")])
    assert load_named_agent(options).normalizers[""].mean.shape == (3,)
    options = read_options([command, *agent, "--vec-normalize", "no", "-o", str(tmp_path / "out")])
    assert not load_named_agent(options).normalizers


def test_the_zoos_wrapper_around_parallel_environments_is_under_vecnormalize(tmp_path):
    """rl-zoo3 applies ``vec_env_wrapper`` first, then VecNormalize, then ``frame_stack``."""
    env = VecNormalize(VecFrameStack(make_vec_env("Pendulum-v1", 1), 2))
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, device="cpu").learn(32)
    run = tmp_path / "ppo" / "Pendulum-v1_1"
    (run / "Pendulum-v1").mkdir(parents=True)
    model.save(run / "Pendulum-v1.zip")
    env.save(run / "Pendulum-v1" / "vecnormalize.pkl")
    wrapper = "stable_baselines3.common.vec_env.VecFrameStack"
    (run / "Pendulum-v1" / "config.yml").write_text(
        f"normalize: true\npolicy: MlpPolicy\nvec_env_wrapper:\n- {wrapper}:\n    n_stack: 2\n"
    )
    agent = load_agent("ppo", "Pendulum-v1", folder=tmp_path)
    assert agent.n_stack == 2
    assert agent.recipe.normalizers[""].mean.shape == (6,)
