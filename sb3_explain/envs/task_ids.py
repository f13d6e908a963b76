"""Gymnasium ids of environments that are a task in a mode, such as ``ROBOT/reach-test1-v0``."""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium as gym


def make_task_id(namespace: str, task: str, mode: str) -> str:
    """Make the gymnasium id of a task in a mode."""
    return f"{namespace}/{task}-{mode}-v0"


def register_tasks(
    namespace: str, tasks: Sequence[str], modes: Sequence[str], entry_point: str
) -> None:
    """Register all tasks in all modes with gymnasium, without importing what simulates them.

    :param namespace: what the ids begin with
    :param tasks: names of the tasks
    :param modes: names of the modes
    :param entry_point: module and class of the environment, which takes ``task`` and ``mode``
    """
    for task in tasks:
        for mode in modes:
            name = make_task_id(namespace, task, mode)
            if name not in gym.registry:
                gym.register(name, entry_point=entry_point, kwargs={"task": task, "mode": mode})
