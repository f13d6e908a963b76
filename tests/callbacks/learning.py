"""Small trainings, with and without callbacks."""

from __future__ import annotations

import gymnasium as gym
import torch
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from tests import pixels, toys  # noqa: F401 - registers environments

N_STACK = 2


class TinyCNN(BaseFeaturesExtractor):
    """For pictures that are smaller than SB3's own CNN takes."""

    def __init__(self, observation_space):
        super().__init__(observation_space, 16)
        self.net = nn.Sequential(
            nn.Conv2d(observation_space.shape[0], 4, 5, stride=3), nn.ReLU(), nn.Flatten(),
            nn.LazyLinear(16), nn.ReLU(),
        )  # fmt: skip
        with torch.no_grad():
            self.net(torch.zeros(1, *observation_space.shape))

    def forward(self, observations):
        return self.net(observations)


SMALL = {"features_extractor_class": TinyCNN, "net_arch": [8]}


def dots(n_envs=2):
    """Games of the moving dot, two frames stacked."""
    return VecFrameStack(DummyVecEnv([lambda: gym.make("Dot-v0")] * n_envs), N_STACK)


def points():
    return DummyVecEnv([lambda: gym.make("Point-v0")])


def make(algo, env=None, **options):
    """A model with seed 0 whose networks are tiny."""
    common = {"seed": 0, "policy_kwargs": dict(SMALL), **options}
    if algo == "ppo":
        return PPO("CnnPolicy", env or dots(), n_steps=32, batch_size=32, n_epochs=2, **common)
    if algo == "dqn":
        return DQN(
            "CnnPolicy", env or dots(1), buffer_size=500, learning_starts=50, batch_size=16,
            target_update_interval=50, **common,
        )  # fmt: skip
    return SAC(
        "CnnPolicy", env or points(), buffer_size=500, learning_starts=30, batch_size=8,
        train_freq=4, **common,
    )  # fmt: skip


class Rows(KVWriter):
    """All rows that SB3 logs."""

    def __init__(self):
        self.rows = []

    def write(self, key_values, key_excluded, step=0):
        self.rows.append((step, dict(key_values)))

    def close(self):
        pass


def learn(model, timesteps, callback=None, **options):
    """Train, and return the rows of the logger."""
    stored = Rows()
    model.set_logger(Logger(None, [stored]))
    model.learn(timesteps, callback=callback, log_interval=1, **options)
    return stored.rows


def read_back(folder):
    """Pictures and scalars of a TensorBoard folder."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events
