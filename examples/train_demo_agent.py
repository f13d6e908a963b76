"""Train the agent that comes with the package: PPO on Pong, from nothing.

    python examples/train_demo_agent.py -o logs

About an hour on two cores. Kill it whenever you like: the same command goes on from its last
checkpoint. The result stands in the zoo's layout, ready for

    sb3-explain explain --algo ppo --env PongNoFrameskip-v4 -f logs -o out
"""

import argparse
import os
from pathlib import Path

import ale_py
import gymnasium as gym
import numpy as np
import torch
import yaml
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from sb3_explain import confidence_interval, load_agent

ENV = "PongNoFrameskip-v4"
CONFIG = {
    "batch_size": 256,
    "clip_range": 0.1,
    "ent_coef": 0.01,
    "env_wrapper": ["stable_baselines3.common.atari_wrappers.AtariWrapper"],
    "frame_stack": 4,
    "learning_rate": "lin_5e-4",
    "n_envs": 8,
    "n_epochs": 3,
    "n_steps": 128,
    "policy": "CnnPolicy",
    "vf_coef": 0.5,
}


class Bfloat16CnnPolicy(ActorCriticCnnPolicy):
    """CnnPolicy whose convolutions run under bfloat16 autocast: twice as fast on many processors.

    Logits, values and the loss stay in float32: a bfloat16 ratio of probabilities would be coarse.
    """

    def extract_features(self, obs, features_extractor=None):
        with torch.autocast(self.device.type, torch.bfloat16):
            features = super().extract_features(obs, features_extractor)
        return features.float()


class Checkpoint(BaseCallback):
    """Save the whole model every so many timesteps, atomically; stop where it was asked."""

    def __init__(self, path: Path, every: int, stop_at: int) -> None:
        super().__init__()
        self.path, self.every, self.stop_at, self.last = path, every, stop_at, 0

    def _on_training_start(self) -> None:
        self.last = self.num_timesteps

    def _on_step(self) -> bool:
        return self.num_timesteps < self.stop_at

    def _on_rollout_start(self) -> None:  # the update with the last rollout is done
        if self.num_timesteps - self.last >= self.every:
            self.last = self.num_timesteps
            self.save()

    def _on_training_end(self) -> None:
        self.save()

    def save(self) -> None:
        temporary = self.path.with_suffix(".tmp.zip")
        self.model.save(temporary)
        temporary.replace(self.path)
        episodes = [episode["r"] for episode in self.model.ep_info_buffer]
        print(f"{self.num_timesteps} steps, mean return {np.mean(episodes or [np.nan]):.1f}")


def make_envs(n: int, seed: int) -> VecEnv:
    return VecFrameStack(make_atari_env(ENV, n_envs=n, seed=seed), CONFIG["frame_stack"])


def falling(left: float) -> float:
    """Learning rate when this share of the training is left."""
    return 5e-4 * left


def new_model(env: VecEnv, seed: int, policy: type | str) -> PPO:
    keys = ("n_steps", "n_epochs", "batch_size", "clip_range", "ent_coef", "vf_coef")
    settings = {key: CONFIG[key] for key in keys}
    return PPO(policy, env, learning_rate=falling, seed=seed, device="auto", **settings)


def publish(model: PPO, folder: Path, seed: int, steps: int) -> None:
    """The agent as a plain CnnPolicy in float32, without optimiser state, in the zoo's layout."""
    plain = new_model(model.get_env(), seed, "CnnPolicy")
    plain.policy.load_state_dict(model.policy.state_dict())
    plain.policy.optimizer.state.clear()
    run = folder / "ppo" / f"{ENV}_1"
    (run / ENV).mkdir(parents=True, exist_ok=True)
    plain.save(run / f"{ENV}.zip", exclude=["_last_obs", "_last_original_obs", "ep_info_buffer"])
    for name, content in {
        "config.yml": {**CONFIG, "n_timesteps": float(steps)},
        "args.yml": {"algo": "ppo", "env": ENV, "env_kwargs": None, "seed": seed},
    }.items():
        (run / ENV / name).write_text(yaml.safe_dump(content))


def mean_return(folder: Path, n_episodes: int) -> tuple[float, float, float]:
    """Mean return and its 95 % interval, acting stochastically as the zoo does on Atari."""
    agent = load_agent("ppo", ENV, folder=folder)
    envs = make_envs(1, seed=1000)
    rng, returns = np.random.default_rng(0), []
    observation = envs.reset()
    while len(returns) < n_episodes:
        stacked = agent.tensor(observation.transpose(0, 3, 1, 2).copy())
        observation, _, _, infos = envs.step(agent.act(stacked, deterministic=False, rng=rng))
        returns += [info["episode"]["r"] for info in infos if "episode" in info]
    interval = confidence_interval(np.array(returns), np.arange(len(returns)))
    return interval.mean, interval.low, interval.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("logs"))
    parser.add_argument("-n", "--n-timesteps", type=int, default=2_000_000)
    parser.add_argument("--stop-at", type=int, help="stop early, to go on another time")
    parser.add_argument("--checkpoint-every", type=int, default=50_000)
    parser.add_argument("--episodes", type=int, default=20, help="of the final evaluation")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()

    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    gym.register_envs(ale_py)
    options.output.mkdir(parents=True, exist_ok=True)
    checkpoint = options.output / "checkpoint.zip"
    envs = make_envs(CONFIG["n_envs"], options.seed)
    if checkpoint.exists():
        mine = {"policy_class": Bfloat16CnnPolicy, "learning_rate": falling, "lr_schedule": falling}
        model = PPO.load(checkpoint, env=envs, custom_objects=mine)
        print(f"going on from {model.num_timesteps} steps")
    else:
        model = new_model(envs, options.seed, Bfloat16CnnPolicy)
    # What a checkpoint names must be importable by whoever reads it.
    model.policy_class, model.learning_rate = ActorCriticCnnPolicy, 5e-4
    stop_at = min(options.stop_at or options.n_timesteps, options.n_timesteps)
    if model.num_timesteps < stop_at:
        model.learn(
            options.n_timesteps - model.num_timesteps,
            callback=Checkpoint(checkpoint, options.checkpoint_every, stop_at),
            reset_num_timesteps=False,
            progress_bar=True,
        )
    publish(model, options.output, options.seed, model.num_timesteps)
    mean, low, high = mean_return(options.output, options.episodes)
    print(f"mean return {mean:.1f} ({low:.1f} to {high:.1f}) over {options.episodes} episodes")


if __name__ == "__main__":
    main()
