"""How far the running episodes of a training are, and what they have returned."""

from __future__ import annotations

import dataclasses

import numpy as np

from sb3_explain.callbacks.training_states import Step

#: columns of the states of a training
STEP, RETURN = "step_in_episode", "return_so_far"


class RunningEpisodes:
    """Counts steps and rewards of the episodes that run in the environments of a training.

    :param n_envs: number of environments
    :param fresh: whether the environments have just been reset; else the first episode of each has
        begun before, and its counts are unknown (NaN)
    """

    def __init__(self, n_envs: int, *, fresh: bool) -> None:
        begin = 0.0 if fresh else np.nan
        self.steps = np.full(n_envs, begin)
        self.returns = np.full(n_envs, begin)

    def number(self, step: Step) -> Step:
        """Return a step with the counts before it, which are of the states that were acted upon.

        :param step: the next step of the training
        """
        counts = {STEP: self.steps.copy(), RETURN: self.returns.copy()}
        self.steps = np.where(step.ends, 0.0, self.steps + 1)
        self.returns = np.where(step.ends, 0.0, self.returns + step.rewards)
        return dataclasses.replace(step, records={**step.records, **counts})
