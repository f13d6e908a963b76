"""One well-behaved agent that the tests of loading share."""

import shutil

import gymnasium as gym
import pytest
import yaml
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from tests.agents.loading.models import write_config
from tests.agents.loading.spoilt import Folder


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A well-behaved agent in the zoo's layout, with statistics."""
    root = tmp_path_factory.mktemp("saved")
    run = root / "ppo" / "CartPole-v1_1"
    (run / "CartPole-v1").mkdir(parents=True)
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=8, policy_kwargs={"net_arch": [4]})
    model.learn(8)
    model.save(run / "CartPole-v1")
    env.save(str(run / "CartPole-v1" / "vecnormalize.pkl"))
    write_config(run, {"policy": "MlpPolicy", "normalize": True})
    (run / "CartPole-v1" / "args.yml").write_text(yaml.safe_dump({"algo": "ppo"}))
    return root


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of that agent, for a test to spoil."""
    shutil.copytree(saved, tmp_path / "agents")
    return Folder(tmp_path / "agents", tmp_path / "canary")
