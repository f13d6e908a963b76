"""gymnasium ids of the benchmark: ``DMCGB/walker_walk-video_hard-v0``."""

from __future__ import annotations

import gymnasium as gym

NAMESPACE = "DMCGB"
#: the tasks of Bertoin et al. (2022), table 1; any other is made by ``DMCGeneralizationEnv(task)``
TASKS = ("walker_walk", "walker_stand", "ball_in_cup_catch", "cartpole_swingup", "finger_spin")
MODES = ("train", "color_easy", "color_hard", "video_easy", "video_hard")


def env_id(task: str, mode: str) -> str:
    """The id of a task in a mode."""
    return f"{NAMESPACE}/{task}-{mode}-v0"


def register() -> None:
    """Register all tasks in all modes; nothing of MuJoCo is imported."""
    for task in TASKS:
        for mode in MODES:
            if env_id(task, mode) not in gym.registry:
                gym.register(
                    env_id(task, mode),
                    entry_point="sb3_explain.envs.dmc.environment:DMCGeneralizationEnv",
                    kwargs={"task": task, "mode": mode},
                )
