"""The benchmarks of Bertoin et al. (2022): their tasks, modes, settings and published returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, NamedTuple

import pandas as pd

from sb3_explain.envs.dmc import ids as dmc
from sb3_explain.envs.robot import ids as robot

#: mode of a row that is the mean over all test modes
AVERAGE = "average"


class Suite(NamedTuple):
    """A benchmark: tasks, each of which is trained in one mode and evaluated in several.

    :param namespace: namespace of its environments' ids
    :param package: package that holds ``published.csv``, the paper's mean and standard deviation
        over five seeds
    :param tasks: names of the tasks
    :param modes: names of the modes, in the order of the table
    :param get_id: the Gymnasium id of a task in a mode
    :param timesteps: number of timesteps that the paper trained for
    :param settings: settings of the algorithms where they are not those of the recipes
    :param averaged: modes whose mean the table has too
    :param digits: number of decimals in the table
    """

    namespace: str
    package: str
    tasks: tuple[str, ...]
    modes: tuple[str, ...]
    get_id: Callable[[str, str], str]
    timesteps: int
    settings: Mapping[str, Any]
    averaged: tuple[str, ...]
    digits: int


DMC = Suite(
    dmc.NAMESPACE, "sb3_explain.envs.dmc", dmc.TASKS, dmc.MODES, dmc.env_id, 500_000, {}, (), 0
)
#: frames are not stacked; the code behind table 6 weighs the loss on masked states by 1, not 0.5
ROBOT = Suite(
    robot.NAMESPACE, "sb3_explain.envs.robot", robot.TASKS, robot.MODES, robot.env_id, 250_000,
    {"n_stack": 1, "strong_augmentation": "convolution", "consistency_coef": 1.0},
    ("test1", "test2", "test3"), 1,
)  # fmt: skip


def find_suite(env_id: str) -> Suite | None:
    """Find the benchmark that an environment belongs to; ``None`` if it belongs to none."""
    namespace = env_id.partition("/")[0]
    return next((suite for suite in (DMC, ROBOT) if suite.namespace == namespace), None)


def read_published(suite: Suite) -> pd.DataFrame:
    """Read the paper's results: mean and standard deviation of five seeds (tables 1, 2 and 6)."""
    with resources.files(suite.package).joinpath("published.csv").open() as file:
        return pd.read_csv(file)
