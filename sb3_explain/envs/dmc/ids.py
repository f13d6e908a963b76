"""Gymnasium ids of the benchmark, such as ``DMCGB/walker_walk-video_hard-v0``."""

from __future__ import annotations

from sb3_explain.envs.task_ids import make_task_id, register_tasks

NAMESPACE = "DMCGB"
#: tasks of Bertoin et al. (2022), table 1; ``DMCGeneralizationEnv(task)`` makes any other
TASKS = ("walker_walk", "walker_stand", "ball_in_cup_catch", "cartpole_swingup", "finger_spin")
MODES = ("train", "color_easy", "color_hard", "video_easy", "video_hard")


def env_id(task: str, mode: str) -> str:
    """The gymnasium id of a task in a mode."""
    return make_task_id(NAMESPACE, task, mode)


def register() -> None:
    """Register all tasks in all modes with gymnasium, without importing MuJoCo."""
    register_tasks(NAMESPACE, TASKS, MODES, "sb3_explain.envs.dmc.environment:DMCGeneralizationEnv")
