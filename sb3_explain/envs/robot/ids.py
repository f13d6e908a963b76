"""Gymnasium ids of the robot study, such as ``ROBOT/reach-test1-v0``."""

from __future__ import annotations

from sb3_explain.envs.task_ids import make_task_id, register_tasks

NAMESPACE = "ROBOT"
#: tasks of Bertoin et al. (2022), appendix D
TASKS = ("reach", "peg_in_box")
MODES = ("train", "test1", "test2", "test3")


def env_id(task: str, mode: str) -> str:
    """The gymnasium id of a task in a mode."""
    return make_task_id(NAMESPACE, task, mode)


def register() -> None:
    """Register both tasks in all modes with gymnasium, without importing MuJoCo."""
    register_tasks(NAMESPACE, TASKS, MODES, "sb3_explain.envs.robot.environment:RobotEnv")
