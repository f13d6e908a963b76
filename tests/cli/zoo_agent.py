"""Untrained agents where rl-zoo3 would have left them."""

from pathlib import Path

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from tests.toys import DotEnv

ENV = "CartPole-v1"


def save_cartpole(logs: Path) -> None:
    """Save an agent of CartPole in a folder of the zoo."""
    place = logs / "ppo" / f"{ENV}_1"
    place.mkdir(parents=True)
    PPO("MlpPolicy", ENV, n_steps=64, device="cpu", seed=0).save(place / f"{ENV}.zip")


def save_dot(logs: Path) -> None:
    """Save a linear policy on the pictures of DotEnv in a folder of the zoo."""
    torch.manual_seed(0)
    env = VecFrameStack(DummyVecEnv([DotEnv]), 2)
    # CnnPolicy needs 36 pixels; the flattened picture is enough here
    model = PPO("MlpPolicy", env, n_steps=64, policy_kwargs={"net_arch": [16]}, device="cpu")
    run = logs / "ppo" / "Dot-v0_1"
    model.save(run / "Dot-v0.zip")
    (run / "Dot-v0").mkdir()
    config = "frame_stack: 2\npolicy: MlpPolicy\npolicy_kwargs: dict(net_arch=[16])\n"
    (run / "Dot-v0" / "config.yml").write_text(config)
