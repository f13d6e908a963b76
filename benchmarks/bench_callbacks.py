"""What the callbacks cost: PPO on Pong over 200,000 timesteps, with the zoo's settings.

The time is taken from outside, around every call of a callback. ``pong`` lasts about a quarter of
an hour on two cores.
"""

import shutil
import tempfile
import time
from pathlib import Path

import ale_py
import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_explain.callbacks import MetricsCallback, SaliencyCallback

DOCS = Path(__file__).resolve().parent.parent / "docs"
TIMESTEPS, SHARE = 200_000, 0.05


class Timed(BaseCallback):
    """Passes everything on to another callback, and takes the time of it."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seconds = inner, 0.0

    def timed(self, call, *arguments):
        began = time.perf_counter()
        result = call(*arguments)
        self.seconds += time.perf_counter() - began
        return result

    def _init_callback(self):
        self.inner.init_callback(self.model)

    def _on_training_start(self):
        self.timed(self.inner.on_training_start, self.locals, self.globals)

    def _on_step(self):
        return self.timed(self.inner.on_step)

    def update_child_locals(self, locals_):
        self.inner.update_locals(locals_)

    def _on_training_end(self):
        self.timed(self.inner.on_training_end)


def run(record) -> None:
    gym.register_envs(ale_py)
    with tempfile.TemporaryDirectory() as folder:
        env = VecFrameStack(make_atari_env("PongNoFrameskip-v4", n_envs=8, seed=0), 4)
        model = PPO(
            "CnnPolicy", env, n_steps=128, batch_size=256, n_epochs=4, learning_rate=2.5e-4,
            clip_range=0.1, vf_coef=0.5, ent_coef=0.01, seed=0, tensorboard_log=f"{folder}/tb",
            device="cpu",
        )  # fmt: skip
        saliency = Timed(SaliencyCallback(folder=folder))
        metrics = Timed(MetricsCallback(folder=folder, budget=SHARE))
        began = time.perf_counter()
        model.learn(TIMESTEPS, callback=[saliency, metrics])
        training = time.perf_counter() - began - saliency.seconds - metrics.seconds
        last = saliency.inner.folder / f"monitor_{saliency.inner.worked[-1]}.png"
        shutil.copy(last, DOCS / "images" / "saliency_callback.png")
    record("callbacks.pong_timesteps_per_second", TIMESTEPS / training, "timesteps/s")
    record("callbacks.saliency_share", saliency.seconds / training, "share", "<= 0.02")
    record("callbacks.saliency_times", len(saliency.inner.worked), "times", ">= 4")
    record(
        "callbacks.metrics_share_of_budget", metrics.seconds / training / SHARE, "ratio", "<= 1.2"
    )
    record("callbacks.metrics_times", len(metrics.inner.worked), "times", ">= 1")
