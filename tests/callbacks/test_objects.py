"""ObjectAttentionCallback: scalars are the attention of the agent of that time."""

import logging

import ale_py
import gymnasium as gym
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_explain import Gradient, ObjectAttentionCallback, object_attention
from tests.callbacks.learning import SMALL, read_back

gym.register_envs(ale_py)


def test_attention_to_objects_is_logged(tmp_path):
    env = VecFrameStack(make_atari_env("PongNoFrameskip-v4", seed=0), 4)
    options = {"n_steps": 8, "batch_size": 8, "n_epochs": 1, "seed": 0, "policy_kwargs": SMALL}
    model = PPO("CnnPolicy", env, tensorboard_log=str(tmp_path), **options)
    callback = ObjectAttentionCallback(
        "gradient", every=8, n_states=2, spacing=12, budget=None, on_error="raise"
    )
    model.learn(16, callback=callback)
    events = read_back(tmp_path / "PPO_1")
    found = object_attention(Gradient(callback.take_agent()), callback.states)
    for category, ratios in found.ratios.items():
        logged = [event.value for event in events.Scalars(f"objects/{category}")]
        assert len(logged) == 2 and np.isclose(logged[1], np.nanmean(ratios))
    assert (callback.folder / "objects.json").exists()


def test_another_agent_is_told_at_the_start(caplog):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, n_epochs=1)
    with caplog.at_level(logging.WARNING):
        model.learn(8, callback=ObjectAttentionCallback("gradient"))
    assert "observes no picture" in caplog.text
