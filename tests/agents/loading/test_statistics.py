"""Statistics read off a pickle, against VecNormalize itself."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_explain.agents.loading.pickled_statistics import read_reward_scale, read_statistics
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import MIXED, Noise

VECTOR = spaces.Box(-3, 3, (2, 3), np.float32)


def normalized(space, **settings):
    env = VecNormalize(
        DummyVecEnv([lambda: Noise(space, spaces.Discrete(2))] * 2), clip_obs=3.5, **settings
    )
    env.reset()
    for _ in range(20):
        env.step([0, 1])
    return env


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_observation(tmp_path, protocol):
    env = normalized(VECTOR, epsilon=1e-5)
    path = tmp_path / "vecnormalize.pkl"
    path.write_bytes(pickle.dumps(env, protocol))
    (normalizer,) = read_statistics(path).values()
    np.testing.assert_array_equal(normalizer.mean, env.obs_rms.mean)
    np.testing.assert_array_equal(normalizer.var, env.obs_rms.var)
    observation = VECTOR.sample()
    expected = env.normalize_obs(observation)
    np.testing.assert_array_equal(normalizer(observation), expected)
    assert normalizer(observation).dtype == np.float32
    assert np.abs(normalizer(1000 * observation)).max() == 3.5


def test_a_dict_observation_of_which_some_keys_are_normalised(tmp_path):
    # VecNormalize writes into the space that it is given
    env = normalized(copy.deepcopy(MIXED), norm_obs_keys=["vector", "image"])
    env.save(str(tmp_path / "vecnormalize.pkl"))
    normalizers = read_statistics(tmp_path / "vecnormalize.pkl")
    assert sorted(normalizers) == ["image", "vector"]
    observation = MIXED.sample()
    expected = env.normalize_obs(observation)
    for key, normalizer in normalizers.items():
        np.testing.assert_array_equal(normalizer(observation[key]), expected[key])


def test_rewards_alone(tmp_path):
    env = normalized(VECTOR, norm_obs=False)
    env.save(str(tmp_path / "vecnormalize.pkl"))
    assert read_statistics(tmp_path / "vecnormalize.pkl") == {}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_scale_of_rewards(tmp_path, protocol):
    env = normalized(VECTOR, epsilon=0.5)
    env.ret_rms.update(np.array([3.0, 7.0, 20.0]))
    path = tmp_path / "vecnormalize.pkl"
    path.write_bytes(pickle.dumps(env, protocol))
    assert 7.0 / read_reward_scale(path) == pytest.approx(float(env.normalize_reward(7.0)))
    env.norm_reward = False
    path.write_bytes(pickle.dumps(env, protocol))
    assert read_reward_scale(path) is None


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -1.0, np.ones(2), "3"])
def test_a_scale_of_rewards_that_is_none(tmp_path, spoilt):
    env = normalized(VECTOR)
    env.ret_rms.var = spoilt
    path = tmp_path / "vecnormalize.pkl"
    path.write_bytes(pickle.dumps(env))
    with pytest.raises(ExplainError, match="does not hold the statistics of VecNormalize"):
        read_reward_scale(path)


@pytest.mark.parametrize("name", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_both_names_of_numpys_core(tmp_path, name):
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    content = pickle.dumps(env, 2)
    for old in ("numpy.core.multiarray", "numpy._core.multiarray"):
        content = content.replace(f"c{old}\n".encode(), f"c{name}\n".encode())
    (tmp_path / "vecnormalize.pkl").write_bytes(content)
    assert read_statistics(tmp_path / "vecnormalize.pkl")[""].mean.shape == (4,)


def test_a_space_of_ones_own_needs_the_users_word(tmp_path):
    class OwnSpace(spaces.Box):
        pass

    OwnSpace.__module__, OwnSpace.__qualname__ = "own.spaces", "OwnSpace"
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    content = pickle.dumps(env, 2).replace(b"gymnasium.spaces.box\n", b"own.spaces\n")
    path = tmp_path / "vecnormalize.pkl"
    path.write_bytes(content)
    with pytest.raises(Exception, match=r"own\.spaces\.Box"):
        read_statistics(path)
    assert read_statistics(path, trusted=["own"])[""].mean.shape == (4,)
