"""Goggles: how well does the agent play on reconstructions (Rupprecht et al., table 1)?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sb3_explain.agent import Agent
from sb3_explain.bootstrap import Interval, confidence_interval
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.errors import ExplainError
from sb3_explain.playing import Sight, lanes_of, play
from sb3_explain.probing.generator import StateGenerator
from sb3_explain.probing.search import require_pair
from sb3_explain.progress import progress_bar


@dataclass(frozen=True)
class Goggles:
    """The outcome of :func:`goggles`.

    :param returns: (n,) return of each episode, of the agent itself (``"agent"``), of random
        actions (``"random"``), and of the agent through each generator, by its name. Episode i
        begins alike in all of them
    :param lengths: (n,) steps of each episode
    :param intervals: means of the returns, with intervals over episodes
    """

    returns: dict[str, NDArray[np.float64]]
    lengths: dict[str, NDArray[np.int64]]
    intervals: dict[str, Interval]

    def recovered(self, name: str) -> float:
        """How far of the way from random play to the agent's own return a generator leads."""
        least, most = self.intervals["random"].mean, self.intervals["agent"].mean
        return (self.intervals[name].mean - least) / (most - least) if most != least else np.nan

    def table(self) -> pd.DataFrame:
        """A line for each: mean return and interval, episodes, share of the way, mean length."""
        return pd.DataFrame(
            {
                "sees": name,
                **interval._asdict(),
                "recovered": self.recovered(name),
                "length": self.lengths[name].mean(),
            }
            for name, interval in self.intervals.items()
        )


def goggles(
    agent: Agent,
    generators: StateGenerator | dict[str, StateGenerator],
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
) -> Goggles:
    """Mean return of the agent that acts on reconstructions of all that it would see.

    :param agent: who plays
    :param generators: of its states, by name; one alone is called ``"generator"``
    :param n_episodes: of each: the agent itself, random actions, each generator
    :param env: gymnasium id or recipe; the agent's own when not given
    :param deterministic: see :func:`sb3_explain.playing.lanes_of`
    :param max_steps: an episode that takes longer is stopped, and counts what it has earned
    :param n_envs: environments played side by side
    :param seed: of environments, actions and the bootstrap
    :param n_resamples: draws of the bootstrap
    :param confidence: of the intervals, in (0, 1)
    :param progress: show a bar on standard error
    :raises ExplainError: if a generator is another agent's, or the environment is unknown
    """
    named = generators if isinstance(generators, dict) else {"generator": generators}
    for generator in named.values():
        require_pair(generator, agent)
    if n_episodes < 1 or n_envs < 1 or (max_steps or 1) < 1:
        raise ExplainError(
            f"n_episodes={n_episodes}, n_envs={n_envs}, max_steps={max_steps}: give positive "
            "numbers"
        )
    lanes = lanes_of(
        agent, min(n_envs, n_episodes), env=env, deterministic=deterministic, seed=seed
    )

    def through(generator: StateGenerator) -> Sight:
        return lambda batch: batch.flat(generator.reconstructed(batch))

    sights: dict[str, Sight] = {"agent": lambda batch: batch.observations}
    sights |= {name: through(generator) for name, generator in named.items()}
    returns, lengths = {}, {}
    try:
        total = (len(sights) + 1) * n_episodes
        with progress_bar("goggles", total, "episodes", progress) as bar:
            for name, sight in sights.items():
                returns[name], lengths[name] = play(lanes, sight, n_episodes, max_steps, bar.update)
            # the rows of the lanes draw their random actions from each episode's own seed
            lanes.sampled, lanes.epsilon = False, 1.0
            unseen = play(lanes, sights["agent"], n_episodes, max_steps, bar.update)
            returns["random"], lengths["random"] = unseen
    finally:
        lanes.close()
    intervals = {
        name: confidence_interval(
            values, np.arange(n_episodes), n_resamples=n_resamples, confidence=confidence, seed=seed
        )
        for name, values in returns.items()
    }
    return Goggles(returns, lengths, intervals)
