"""Rollouts of an agent that acts on transformed observations.

The transformed observations decide which states the agent comes to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.bootstrap import (
    ENOUGH_EPISODES,
    NARROW,
    NO_INTERVALS,
    Interval,
    confidence_interval,
)
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import Observations
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.environments import AnyEnv, open_parallel_envs
from sb3_explain.states.rollouts import Rollouts

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: function of some states that returns what the agent observes instead
ObservationTransform = Callable[[StateBatch], Tensor]
#: function of the observations (n, ...) of all environments and of the policy's further inputs that
#: returns an action for each of them
ActionChoice = Callable[[Observations, dict[str, Tensor]], NDArray[Any]]


@dataclass(frozen=True)
class Played:
    """Episodes of an agent with several observation transforms, from the same initial states.

    :param returns: (n,) return of each episode, by name of the transform
    :param lengths: (n,) number of steps of each episode, by name of the transform
    :param intervals: mean return with its confidence interval, by name of the transform
    """

    returns: dict[str, NDArray[np.float64]]
    lengths: dict[str, NDArray[np.int64]]
    intervals: dict[str, Interval]

    def table(self) -> pd.DataFrame:
        """Make a table with the mean return and length and the interval of each transform."""
        from sb3_explain.common.whole_table import WholeTable

        return WholeTable(
            {"sees": sees, **interval._asdict(), "length": self.lengths[sees].mean()}
            for sees, interval in self.intervals.items()
        )


#: what a caller of :func:`play_transformed` may hand on to it
PLAY_ARGUMENTS = frozenset(
    {"confidence", "deterministic", "env", "max_steps", "n_envs", "n_resamples", "progress", "seed"}
)


@check_arguments
def play_transformed(
    agent: Agent,
    transforms: Mapping[str, ObservationTransform | None],
    n_episodes: int = 20,
    *,
    env: AnyEnv | None = None,
    deterministic: bool | None = None,
    max_steps: int | None = None,
    n_envs: int = 8,
    seed: int = 0,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    progress: bool = True,
    title: str = "playing",
) -> Played:
    """Play episodes with each observation transform, and compare the returns.

    :param agent: agent that plays
    :param transforms: observation transforms by name; ``None`` for an agent of random actions
    :param n_episodes: number of episodes with each transform
    :param env: the environment, as :func:`sb3_explain.collect` takes it; the agent's own when not
        given
    :param deterministic: whether actions are greedy, see :func:`open_parallel_envs`
    :param max_steps: largest number of steps of an episode; one that takes longer is stopped, and
        its return so far counts
    :param n_envs: number of environments that are played in parallel
    :param seed: random seed of the environments, the actions and the bootstrap
    :param n_resamples: number of bootstrap resamples
    :param confidence: confidence level of the intervals, in (0, 1)
    :param progress: show a progress bar on standard error
    :param title: title of the progress bar
    :raises ExplainError: if the environment is unknown, or a number is out of range
    """
    if n_episodes < 1 or n_envs < 1 or (max_steps or 1) < 1:
        raise ExplainError(
            f"n_episodes={n_episodes}, n_envs={n_envs}, max_steps={max_steps}: give positive "
            "numbers"
        )
    if n_episodes < ENOUGH_EPISODES:
        logger.warning(
            "%s with %d episode(s): for at least %d, play more (n_episodes=)",
            NO_INTERVALS if n_episodes < 2 else NARROW,
            n_episodes,
            ENOUGH_EPISODES,
        )
    envs = open_parallel_envs(
        agent, min(n_envs, n_episodes), env=env, deterministic=deterministic, seed=seed
    )
    own_exploration = envs.sampled, envs.epsilon
    returns, lengths = {}, {}
    try:
        with progress_bar(title, len(transforms) * n_episodes, "episodes", progress) as bar:
            for name, transform in transforms.items():
                envs.sampled, envs.epsilon = own_exploration if transform else (False, 1.0)
                shown = transform or show_everything
                returns[name], lengths[name] = play(envs, shown, n_episodes, max_steps, bar.update)
    finally:
        envs.close()
    intervals = {
        name: confidence_interval(
            values, np.arange(n_episodes), n_resamples=n_resamples, confidence=confidence, seed=seed
        )
        for name, values in returns.items()
    }
    return Played(returns, lengths, intervals)


def show_everything(batch: StateBatch) -> Tensor:
    """Return the observations as they are: the transform of an agent that sees everything."""
    return batch.observations


def play(
    envs: Rollouts,
    transform: ObservationTransform,
    n_episodes: int,
    max_steps: int | None,
    advance: Callable[[int], Any],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Play episodes of an agent that acts on transformed observations.

    :param envs: the environments, with their agent
    :param transform: the observation transform
    :param n_episodes: number of episodes
    :param max_steps: largest number of steps of an episode; no limit if ``None``
    :param advance: called with 1 after each episode
    :return: (n,) returns and (n,) lengths of the episodes
    """
    agent = envs.agent

    def choose(observations: Observations, policy_inputs: dict[str, Tensor]) -> NDArray[Any]:
        batch = StateBatch(agent, observations, policy_inputs=policy_inputs)
        seen = agent.layout.restore(batch.split_keys(transform(batch)))
        actions = envs.actions(seen, agent.scores(seen, **policy_inputs))
        envs.lstm_states = agent.next_lstm_states(seen, envs.lstm_states)
        return actions

    return play_actions(envs, choose, n_episodes, max_steps, advance)


@torch.no_grad()
def play_actions(
    envs: Rollouts,
    choose: ActionChoice,
    n_episodes: int,
    max_steps: int | None,
    advance: Callable[[int], Any],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Play episodes with the actions that a function chooses.

    :param envs: the environments
    :param choose: chooses the actions of all environments, also of those that are idle
    :param n_episodes: number of episodes
    :param max_steps: largest number of steps of an episode; no limit if ``None``
    :param advance: called with 1 after each episode
    :return: (n,) returns and (n,) lengths of the episodes
    """
    each = envs.each
    returns, lengths = np.zeros(n_episodes), np.zeros(n_episodes, dtype=np.int64)
    envs.rewind()
    #: number of the next episode in each environment
    upcoming = list(range(len(each)))
    while True:
        for env in each:
            if env.episode is None and upcoming[env.row] < n_episodes and env.ready:
                env.begin(upcoming[env.row])
                upcoming[env.row] += len(each)
        playing = [env for env in each if env.episode is not None]
        if not playing:
            return returns, lengths
        held = {"lstm_states": envs.lstm_states, "action_masks": envs.action_masks()}
        policy_inputs = {name: tensor for name, tensor in held.items() if tensor is not None}
        outcomes = envs.step(choose(envs.observations(), policy_inputs))
        for env in playing:
            episode = env.episode or 0
            lengths[episode] += 1
            if outcomes[env.row].over or lengths[episode] == max_steps:
                returns[episode] = env.earned
                env.episode = None
                advance(1)
