"""Playing on what is shown: episodes of an agent that acts on something else than it would see.

States that this leads to are states of the comparison, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.bootstrap import Interval, confidence_interval
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.spaces import join_keys
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.rollouts import ParallelEnvs, open_parallel_envs

if TYPE_CHECKING:
    import pandas as pd

#: what an agent is shown of some states
ObservationTransform = Callable[[StateBatch], Tensor]


@dataclass(frozen=True)
class Played:
    """Episodes of an agent under several transforms, which begin alike in all of them.

    :param returns: (n,) return of each episode, by name of the transform
    :param lengths: (n,) steps of each episode
    :param intervals: means of the returns, with intervals over episodes
    """

    returns: dict[str, NDArray[np.float64]]
    lengths: dict[str, NDArray[np.int64]]
    intervals: dict[str, Interval]

    def table(self) -> pd.DataFrame:
        """A line for each transform: mean return and interval, episodes, mean length."""
        import pandas as pd

        return pd.DataFrame(
            {"sees": sees, **interval._asdict(), "length": self.lengths[sees].mean()}
            for sees, interval in self.intervals.items()
        )


@check_arguments
def play_transformed(
    agent: Agent,
    transforms: Mapping[str, ObservationTransform | None],
    n_episodes: int = 20,
    *,
    env: str | EnvRecipe | None = None,
    deterministic: bool | None = None,
    max_steps: int | None = None,
    n_envs: int = 8,
    seed: int = 0,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    progress: bool = True,
    title: str = "playing",
) -> Played:
    """Mean return of the agent under each transform.

    :param agent: who plays
    :param transforms: by name, what it is shown; none for random actions
    :param n_episodes: under each
    :param env: gymnasium id or recipe; the agent's own when not given
    :param deterministic: see :func:`open_parallel_envs`
    :param max_steps: an episode that takes longer is stopped, and counts what it has earned
    :param n_envs: environments played side by side
    :param seed: of environments, actions and the bootstrap
    :param n_resamples: draws of the bootstrap
    :param confidence: of the intervals, in (0, 1)
    :param progress: show a bar on standard error
    :param title: of the bar
    :raises ExplainError: if the environment is unknown, or a number out of range
    """
    if n_episodes < 1 or n_envs < 1 or (max_steps or 1) < 1:
        raise ExplainError(
            f"n_episodes={n_episodes}, n_envs={n_envs}, max_steps={max_steps}: give positive "
            "numbers"
        )
    envs = open_parallel_envs(
        agent, min(n_envs, n_episodes), env=env, deterministic=deterministic, seed=seed
    )
    own_chance = envs.sampled, envs.epsilon
    returns, lengths = {}, {}
    try:
        with progress_bar(title, len(transforms) * n_episodes, "episodes", progress) as bar:
            for name, transform in transforms.items():
                envs.sampled, envs.epsilon = own_chance if transform is not None else (False, 1.0)
                shown = transform or everything
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


def everything(batch: StateBatch) -> Tensor:
    """The transform of an agent that is shown all that there is."""
    return batch.observations


@torch.no_grad()
def play(
    envs: ParallelEnvs,
    transform: ObservationTransform,
    n_episodes: int,
    max_steps: int | None,
    advance: Callable[[int], Any],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns and lengths of episodes of an agent that acts on what ``transform`` shows it."""
    agent, each = envs.agent, envs.each
    returns, lengths = np.zeros(n_episodes), np.zeros(n_episodes, dtype=np.int64)
    for env in each:
        env.begin(env.row)
    while playing := [env for env in each if env.episode is not None]:
        masks = envs.action_masks()
        held = {"lstm_states": envs.lstm_states, "action_masks": masks}
        policy_inputs = {name: tensor for name, tensor in held.items() if tensor is not None}
        batch = StateBatch(agent, envs.observations(), policy_inputs=policy_inputs)
        seen = join_keys(batch.unflat(transform(batch)))
        actions = envs.actions(seen, agent.scores(seen, **policy_inputs))
        envs.lstm_states = agent.next_lstm_states(seen, envs.lstm_states)
        for env in playing:
            episode = env.episode or 0
            _, over = env.step(actions[env.row])
            lengths[episode] += 1
            if over or lengths[episode] == max_steps:
                returns[episode] = env.earned
                env.episode = None
                advance(1)
                if episode + len(each) < n_episodes:
                    env.begin(episode + len(each))
    return returns, lengths
