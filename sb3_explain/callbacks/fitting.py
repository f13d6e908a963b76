"""The base of callbacks that fit something to the last states of a training."""

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from sb3_explain.agents.agent import Agent
from sb3_explain.callbacks.base import ExplainCallback
from sb3_explain.callbacks.training_states import Step, TrainingStates
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.numbers import require_whole
from sb3_explain.states.dataset import StateDataset

log = logging.getLogger(__name__)

#: time limit of a fit, in seconds, when the budget is used up: enough for a step
MIN_SECONDS = 1e-3
#: number of parts: training, validation and test states
PARTS = 3
#: smallest share of the requested states that is enough for a fit during the training
ENOUGH = 0.1
#: smallest number of states that is enough for one at its end
MIN_STATES = 64


class FittingCallback(ExplainCallback):
    """A callback that holds the training's last states in memory, to fit a model to them.

    :param every: number of timesteps between two fits; ``None`` for one at the end
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param n_states: number of states to hold, of all environments together; a state of Atari takes
        7 kB
    :param options: further arguments of :class:`~sb3_explain.callbacks.base.ExplainCallback`
    """

    limits_itself = True

    def __init__(
        self, every: int | None, folder: str | None, *, n_states: int, **options: Any
    ) -> None:
        super().__init__(every, folder, **options)
        self.n_states = require_whole("n_states", n_states)

    def begin(self, agent: Agent) -> None:
        if self.timesteps_left < MIN_STATES:
            raise ExplainError(
                f"{self.timesteps_left} timesteps give too few states to learn from: train for at "
                f"least {MIN_STATES}"
            )
        self.seen = TrainingStates(self.n_states, agent.n_stack)

    @property
    def timesteps_left(self) -> int:
        """Largest number of timesteps of this training, which consists of whole rollouts."""
        model = self.model
        steps = model._total_timesteps - model.num_timesteps
        rollout = 1
        if isinstance(model, OnPolicyAlgorithm):
            rollout = model.n_steps * model.n_envs
        elif isinstance(model, OffPolicyAlgorithm) and isinstance(model.train_freq, TrainFreq):
            if model.train_freq.unit == TrainFrequencyUnit.EPISODE:
                return sys.maxsize  # episodes are of unknown length
            rollout = model.train_freq.frequency * model.n_envs
        return -(-steps // rollout) * rollout

    @property
    def ready(self) -> bool:
        return len(self.seen) >= max(MIN_STATES, ENOUGH * self.n_states)

    def watch(self, step: Step) -> None:
        for env in range(len(step.ends)):
            self.seen.add(step, env)

    def states(self, agent: Agent) -> StateDataset:
        """Return the states of the training, as ``agent`` labels them.

        :param agent: the current agent
        :raises ExplainError: if there are too few
        """
        if len(self.seen) < MIN_STATES:
            raise ExplainError(
                f"{len(self.seen)} states are too few to learn from: train for at least "
                f"{MIN_STATES} timesteps"
            )
        if not self.ready:
            log.warning(
                "%s: %d states in place of %d are few to learn from: train longer",
                type(self).__name__, len(self.seen), self.n_states,
            )  # fmt: skip
        states = self.seen.states(agent)
        if len(np.unique(states.episode)) < PARTS:  # long episodes are split by their pieces
            states = states.with_columns(episode=states.column("piece"))
        if len(np.unique(states.episode)) < PARTS:  # and a short training in equal parts
            states = states.with_columns(episode=np.arange(len(states)) * PARTS // len(states))
        return states
