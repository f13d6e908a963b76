"""Gymnasium ids of the robot study, such as ``ROBOT/reach-test1-v0``."""

from __future__ import annotations

import gymnasium as gym

NAMESPACE = "ROBOT"
#: tasks of Bertoin et al. (2022), appendix D
TASKS = ("reach", "peg_in_box")
MODES = ("train", "test1", "test2", "test3")


def env_id(task: str, mode: str) -> str:
    """The gymnasium id of a task in a mode."""
    return f"{NAMESPACE}/{task}-{mode}-v0"


def register() -> None:
    """Register both tasks in all modes with gymnasium, without importing MuJoCo."""
    for task in TASKS:
        for mode in MODES:
            if env_id(task, mode) not in gym.registry:
                gym.register(
                    env_id(task, mode),
                    entry_point="sb3_explain.envs.robot.environment:RobotEnv",
                    kwargs={"task": task, "mode": mode},
                )
