"""An untrained agent where rl-zoo3 would have left one."""

from pathlib import Path

from stable_baselines3 import PPO

ENV = "CartPole-v1"


def save_cartpole(logs: Path) -> None:
    """Save an agent of CartPole in a folder of the zoo."""
    place = logs / "ppo" / f"{ENV}_1"
    place.mkdir(parents=True)
    PPO("MlpPolicy", ENV, n_steps=64, device="cpu", seed=0).save(place / f"{ENV}.zip")
