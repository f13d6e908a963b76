"""Agents for the benchmark of diagnose: healthy ones, and weak ones that trained too little.

Healthy ones are published, or trained in minutes with hyperparameters of RL Zoo or near them; weak
ones have the library's own. What is trained once is kept in ``SB3_EXPLAIN_TRAINED`` (by default a
folder of the user's cache).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rl_zoo3.wrappers import MaskVelocityWrapper
from sb3_contrib import MaskablePPO
from sb3_contrib.common.envs import InvalidActionEnvDiscrete
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize

from sb3_explain import Agent, load_agent

#: published agents: algorithm and environment
PUBLISHED = (
    ("a2c", "CartPole-v1"),
    ("qrdqn", "CartPole-v1"),
    ("dqn", "CartPole-v1"),
    ("ars", "CartPole-v1"),
    ("trpo", "Acrobot-v1"),
    ("ppo", "MountainCar-v0"),
    ("ppo", "LunarLander-v2"),
    ("ppo", "BipedalWalker-v3"),
    ("sac", "Pendulum-v1"),
    ("tqc", "Pendulum-v1"),
)
CARTPOLE = {
    "n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20,
    "learning_rate": 1e-3, "clip_range": 0.2,
}  # fmt: skip
ACROBOT = {"n_steps": 256, "gae_lambda": 0.94, "n_epochs": 4, "gamma": 0.99}
PENDULUM = {"n_steps": 1024, "gae_lambda": 0.95, "gamma": 0.9, "n_epochs": 10, "clip_range": 0.2,
            "learning_rate": 1e-3, "use_sde": True, "sde_sample_freq": 4}  # fmt: skip
OFF_POLICY = {"learning_rate": 1e-3, "buffer_size": 20_000, "gamma": 0.98, "learning_starts": 1000}


def normalized(env: VecEnv, discount: float) -> VecEnv:
    """Normalize observations and rewards, as RL Zoo does."""
    return VecNormalize(env, gamma=discount)


def stacked() -> VecEnv:
    """CartPole without speeds, which four frames tell."""
    env = make_vec_env("CartPole-v1", 8, wrapper_class=MaskVelocityWrapper)
    return VecFrameStack(env, 4)


#: number of actions that are forbidden in each state, by the number of actions
FORBIDDEN = {6: 2, 8: 4, 10: 6}


def make_masked_env(size: int) -> InvalidActionEnvDiscrete:
    """The environment of the maskable agents of so many actions."""
    return InvalidActionEnvDiscrete(dim=size, n_invalid_actions=FORBIDDEN[size])


def maskable(size: int) -> VecEnv:
    """An environment that forbids some of its actions at each step."""
    return DummyVecEnv([lambda: Monitor(make_masked_env(size))])


def make_masked(size: int, seed: int) -> BaseAlgorithm:
    """MaskablePPO before its training."""
    env = maskable(size)
    return MaskablePPO("MlpPolicy", env, n_steps=256, gamma=0.4, seed=seed, device="cpu")


#: name -> a model that has learned nothing yet, and its timesteps
TRAINED: dict[str, tuple[Callable[[], BaseAlgorithm], int]] = {
    "ppo CartPole": (
        lambda: PPO("MlpPolicy", make_vec_env("CartPole-v1", 8), seed=0, device="cpu", **CARTPOLE),
        60_000,
    ),
    "ppo CartPole, normalized": (
        lambda: PPO(
            "MlpPolicy", normalized(make_vec_env("CartPole-v1", 8), 0.98), seed=1, device="cpu",
            **CARTPOLE,
        ),
        60_000,
    ),
    "ppo CartPole, stacked": (
        lambda: PPO("MlpPolicy", stacked(), seed=0, device="cpu", **CARTPOLE), 100_000,
    ),
    "ppo CartPole, stacked 2": (
        lambda: PPO("MlpPolicy", stacked(), seed=1, device="cpu", **CARTPOLE), 100_000,
    ),
    "ppo Acrobot, normalized": (
        lambda: PPO(
            "MlpPolicy", normalized(make_vec_env("Acrobot-v1", 16), 0.99), seed=0, device="cpu",
            **ACROBOT,
        ),
        100_000,
    ),
    "ppo Pendulum, normalized": (
        lambda: PPO(
            "MlpPolicy", normalized(make_vec_env("Pendulum-v1", 4), 0.9), seed=0, device="cpu",
            **PENDULUM,
        ),
        100_000,
    ),
    "sac Pendulum, normalized": (
        lambda: SAC(
            "MlpPolicy", normalized(make_vec_env("Pendulum-v1", 1), 0.98), seed=0, device="cpu",
            **OFF_POLICY,
        ),
        6_000,
    ),
    "td3 Pendulum": (
        lambda: TD3("MlpPolicy", "Pendulum-v1", seed=0, device="cpu", **OFF_POLICY), 6_000,
    ),
    "maskable_ppo 8 actions": (lambda: make_masked(8, 0), 8_000),
    "maskable_ppo 10 actions": (lambda: make_masked(10, 1), 8_000),
    "maskable_ppo 6 actions": (lambda: make_masked(6, 2), 8_000),
}  # fmt: skip

LANDER = "LunarLander-v3"


def make_weak(kind: type[BaseAlgorithm], env_id: str, seed: int = 0) -> BaseAlgorithm:
    """A model with the library's hyperparameters before its training."""
    options = {"n_steps": 1024} if kind is PPO else {}
    return kind("MlpPolicy", env_id, seed=seed, device="cpu", **options)  # type: ignore[arg-type]


#: weak agents, which trained too little or not at all; their wiring is right
WEAK: dict[str, tuple[Callable[[], BaseAlgorithm], int]] = {
    f"{kind.__name__.lower()} {env_id.partition('-')[0]}, {steps} steps, seed {seed}": (
        partial(make_weak, kind, env_id, seed), steps,
    )
    for kind, env_id, steps, seed in (
        (PPO, LANDER, 15_000, 0), (PPO, LANDER, 10_000, 1), (PPO, LANDER, 5000, 2),
        (A2C, LANDER, 10_000, 0), (A2C, LANDER, 3000, 1),
        (DQN, LANDER, 10_000, 0), (DQN, LANDER, 3000, 1),
        (PPO, LANDER, 0, 0), (A2C, LANDER, 0, 1), (DQN, LANDER, 0, 2),
        (PPO, "CartPole-v1", 2048, 0), (A2C, "CartPole-v1", 2000, 0),
        (DQN, "CartPole-v1", 10_000, 0), (DQN, "CartPole-v1", 3000, 1),
        (PPO, "CartPole-v1", 0, 0), (DQN, "CartPole-v1", 0, 1),
        (PPO, "Acrobot-v1", 4000, 0), (A2C, "Acrobot-v1", 8000, 0), (DQN, "Acrobot-v1", 5000, 0),
        (DQN, "Acrobot-v1", 0, 1),
        (PPO, "MountainCar-v0", 10_000, 0), (A2C, "MountainCar-v0", 5000, 0),
        (DQN, "MountainCar-v0", 10_000, 0), (DQN, "MountainCar-v0", 0, 1),
        (PPO, "MountainCar-v0", 0, 1),
    )
}  # fmt: skip


def find_cache() -> Path:
    """Folder of the trained models."""
    usual = Path.home() / ".cache" / "sb3_explain" / "diagnosed"
    return Path(os.environ.get("SB3_EXPLAIN_TRAINED", usual))


def train(name: str) -> BaseAlgorithm:
    """A trained model with its environment: from the cache, or else trained now."""
    make, steps = (TRAINED | WEAK)[name]
    folder = find_cache() / name.replace(" ", "_").replace(",", "")
    model = make()
    if not steps:
        return model
    if not (folder / "model.zip").exists():
        model.learn(steps)
        model.save(folder / "model.zip")
        if isinstance(model.get_env(), VecNormalize):
            model.get_env().save(str(folder / "vecnormalize.pkl"))
        return model
    env = model.get_env()
    if isinstance(env, VecNormalize):
        env = VecNormalize.load(str(folder / "vecnormalize.pkl"), env.venv)
    return type(model).load(folder / "model.zip", env=env, device="cpu")


def load_published(folder: Path, algo: str, env_id: str, **options: Any) -> Agent:
    """A published agent of ``zoo/``, or of ``pong/``."""
    of_pong = env_id.startswith("Pong")
    return load_agent(algo, env_id, folder=folder / ("pong" if of_pong else "zoo"), **options)


if __name__ == "__main__":
    for name in sys.argv[1:] or TRAINED | WEAK:
        model = train(name)
        episodes = [one["r"] for one in model.ep_info_buffer or ()]
        print(name, sum(episodes) / max(1, len(episodes)), flush=True)
