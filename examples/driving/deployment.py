"""Let drivers drive, and count what they do per kilometre."""

from collections.abc import Callable
from typing import Any

import environment
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecTransposeImage

from sb3_explain import Agent, EnvRecipe, Interval, confidence_interval

Array = NDArray[Any]
#: stacked observations (B, 12, 48, 48) -> actions (B,)
Driver = Callable[[Array], Array]

#: streets that are driven side by side
N_STREETS = 20
COUNTS = tuple(environment.PENALTY)


def recipe_of(mode: str) -> EnvRecipe:
    """How a driver sees the street: four frames stacked.

    :param mode: of the pedestrians
    """
    return EnvRecipe(
        "Driving-v0",
        {"pedestrians": mode},
        frame_stack=4,
        packages=("environment",),
        trusted=("environment",),
    )


def streets(mode: str, n: int) -> VecEnv:
    """Environments side by side; observations are stacked and channel-first."""
    recipe = recipe_of(mode)
    return VecTransposeImage(VecFrameStack(DummyVecEnv([recipe.make] * n), recipe.frame_stack))


def constant(action: str) -> Driver:
    """A driver with his eyes shut."""
    number = environment.ACTIONS.index(action)
    return lambda observations: np.full(len(observations), number)


def greedy(agent: Agent) -> Driver:
    """The agent, which does what it thinks best."""
    return lambda observations: agent.act(agent.tensor(observations))


def drive(driver: Driver, mode: str, n_episodes: int, seed: int) -> pd.DataFrame:
    """What happened in each episode: counts, ``distance`` in metres, ``return`` and ``steps``.

    Every street has equally many episodes, so that short ones do not come more often.

    :param driver: who drives
    :param mode: of the pedestrians
    :param n_episodes: rounded up to whole rounds of the streets
    :param seed: of the streets
    """
    n = min(N_STREETS, n_episodes)
    each = -(-n_episodes // n)
    envs = streets(mode, n)
    envs.seed(seed)
    observations = envs.reset()
    rows: list[dict[str, Any]] = []
    driven = np.zeros(n, dtype=int)
    while driven.min() < each:
        observations, _, _, infos = envs.step(driver(observations))
        for street, info in enumerate(infos):
            if "episode" in info and driven[street] < each:
                driven[street] += 1
                counts = {name: info[name] for name in (*COUNTS, "distance")}
                rows.append(
                    {**counts, "return": info["episode"]["r"], "steps": info["episode"]["l"]}
                )
    envs.close()
    return pd.DataFrame(rows)


def per_kilometre(driven: pd.DataFrame, count: str) -> Interval:
    """How often something happened per kilometre, with the interval over episodes.

    Every metre that was driven counts alike; an episode has at least one.
    """
    metres = driven["distance"].round().clip(lower=1).astype(int)
    rates = 1000 * driven[count] / metres
    return confidence_interval(rates.repeat(metres), driven.index.repeat(metres))


def mean_return(driven: pd.DataFrame) -> Interval:
    """Mean return with its interval over episodes."""
    return confidence_interval(driven["return"], driven.index)
