"""collect: play an agent in its environment and keep the states, resumably.

The seed of episode i is a function of (seed, i) alone; the episode is played in environment
``i % n_envs``, in a batch that always has ``n_envs`` rows. It is therefore the same to the last bit
whenever it is played, and a killed run goes on by playing its unfinished episodes again.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import sole_writer
from sb3_explain.common.progress import progress_bar, track
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.failing import FailedEnvError
from sb3_explain.envs.spaces import spaces_by_key
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.env_sources import EnvSource
from sb3_explain.states.environments import ZOO_EPSILON, AnyEnv, find_source
from sb3_explain.states.episodes import episode_folders, require_room
from sb3_explain.states.recording import Collection
from sb3_explain.states.store import begin_store, resume_store, withdraw_store
from sb3_explain.states.temporary import TemporaryFolder

BEHAVIORS = ("zoo", "greedy", "stochastic", "epsilon")


@check_arguments
def collect(
    agent: Agent | BaseAlgorithm,
    env: AnyEnv | EnvSource | None = None,
    n_states: int = 10_000,
    *,
    folder: str | Path | None = None,
    seed: int = 0,
    behavior: str = "zoo",
    epsilon: float = 0.1,
    max_per_episode: int | None = None,
    n_envs: int | None = None,
    render: bool | None = None,
    progress: bool = True,
) -> StateDataset:
    """Play until ``n_states`` states are stored, or go on where an earlier call was stopped.

    >>> from sb3_explain import collect
    >>> states = collect(agent, n_states=60, progress=False)
    >>> len(states), states.observations([0, 1]).shape
    (60, torch.Size([2, 4]))

    :param agent: the agent that plays; it also labels every state with its greedy action. If it has
        no names of its actions or features, it takes those of the environment
    :param env: the environment: a Gymnasium id, an :class:`EnvRecipe`, a live Gymnasium
        environment or VecEnv, of which a copy is played, or a function or class that makes one; the
        agent's own when not given
    :param n_states: number of states that the store shall hold; a larger number than last time
        appends states, a smaller one changes nothing
    :param folder: folder of the Zarr store, which is created or continued; without it, the states
        are kept in memory, and their RGB frames in a temporary folder that goes with them
    :param seed: random seed of the environments and of sampled actions, at least 0
    :param behavior: who chooses the actions: ``"zoo"`` (as RL Zoo plays: on Atari and MiniGrid
        sampled, or epsilon-greedy for an agent of Q-values, else greedy), ``"greedy"``,
        ``"stochastic"`` (sampled), or ``"epsilon"`` (greedy, but a random action with probability
        ``epsilon``)
    :param epsilon: probability of a random action, in [0, 1], for ``behavior="epsilon"``
    :param max_per_episode: the first so many states of an episode are stored, then the next one
        begins; 0 stores whole episodes. A 50th of ``n_states``, at least 100, when not given
    :param n_envs: number of environments that are played in parallel; chosen so that all finish
        together when not given. A VecEnv has its own number
    :param render: store RGB frames as well, for people to look at, which takes most of the time
        where an environment is cheap; when not given, where the environment can draw them
    :param progress: show a progress bar on standard error
    :return: the states of the store
    :raises ExplainError: if the environment does not fit the agent, a number is out of range, or
        the store belongs to a run of other settings, or the states would take more memory than
        four times the limit of a file (``SB3_EXPLAIN_MAX_BYTES``)
    """
    agent = read_agent(agent)
    if behavior not in BEHAVIORS:
        raise unknown_name("behavior", behavior, BEHAVIORS)
    smallest = {"n_states": 1, "n_envs": 1, "max_per_episode": 0, "seed": 0}
    given = {
        "n_states": n_states, "n_envs": n_envs, "max_per_episode": max_per_episode, "seed": seed
    }  # fmt: skip
    for name, number in given.items():
        if number is not None and number < smallest[name]:
            raise ExplainError(f"{name}={number}: give at least {smallest[name]}")
    if not 0 <= epsilon <= 1:
        raise ExplainError(f"epsilon={epsilon} is no probability")
    source = find_source(agent, env)
    source.require_number(n_envs)
    n_envs = source.n_envs or n_envs
    render = source.choose_render(render)
    epsilon = epsilon if behavior == "epsilon" else 0.0
    if agent.view.value_based and behavior == "stochastic":
        raise ExplainError("Q-values are no probabilities: use behavior='epsilon'")
    if agent.view.value_based and behavior == "zoo" and source.is_sampled:
        behavior, epsilon = "epsilon", ZOO_EPSILON
    limit = choose_limit(n_states) if max_per_episode is None else max_per_episode
    by_key: dict[str, Any] = spaces_by_key(agent.observation_space)
    of_stack = sum(math.prod(key.shape) * key.dtype.itemsize for key in by_key.values())
    # now, not when they have been played and are read
    require_room(n_states * of_stack // source.recipe.frame_stack, f"{n_states} states")
    described = {
        "agent": agent.describe(),
        "environment": source.describe(),
        "seed": seed,
        "behavior": behavior,
        "epsilon": epsilon,
        "max_per_episode": limit,
        "n_envs": n_envs or balance_envs(n_states, limit),
        "n_stack": source.recipe.frame_stack,
        "rendered": render,
        "format": 1,
    }
    decided = {"max_per_episode": max_per_episode, "n_envs": n_envs}
    left_open = {name for name, value in decided.items() if value is None}
    temporary = TemporaryFolder() if folder is None else None
    folder = temporary.path if temporary is not None else Path(folder or "")
    with sole_writer(folder):
        settings = begin_store(folder, described, left_open)
        lengths = resume_store(folder, n_states)
        done = sum(lengths)
        try:
            # before the bar, which a refusal would leave on the screen
            collection = open_collection(source, folder, settings, n_states, lengths)
            title = "collecting and drawing" if settings["rendered"] else "collecting"
            with progress_bar(title, n_states, "states", progress, done=done) as bar:
                if collection is not None:
                    collection.run(track(bar))
        except FailedEnvError as error:
            withdraw_store(folder)
            whole = len(episode_folders(folder)) if temporary is None else 0
            if not whole:
                raise
            said = f"{error}; {whole} finished episode(s) stay in {folder}"
            raise FailedEnvError(said) from error.__cause__
        except ExplainError:
            withdraw_store(folder)
            raise
    states = StateDataset.open(folder)
    states.temporary = temporary
    return states


def open_collection(
    source: EnvSource, folder: Path, settings: dict[str, Any], n: int, lengths: list[int]
) -> Collection | None:
    """Open the environments of a store that has too few states; ``None`` if it has enough.

    :param source: where the environments come from
    :param folder: folder of the store
    :param settings: the store's settings, as :func:`begin_store` returns them
    :param n: number of states that the store shall hold
    :param lengths: numbers of states of the episodes that the store already has
    """
    if sum(lengths) >= n:
        return None
    envs = source.open(
        settings["n_envs"],
        render=settings["rendered"],
        seed=settings["seed"],
        sampled=settings["behavior"] == "stochastic"
        or (settings["behavior"] == "zoo" and source.is_sampled),
        epsilon=settings["epsilon"],
    )
    return Collection(envs, folder, settings, n, lengths)


def balance_envs(n: int, limit: int) -> int:
    """Number of parallel environments that finish together, at most 16.

    :param n: number of states to collect
    :param limit: states that are stored of each episode; 0 for whole episodes
    """
    if not limit:
        return 8
    episodes = math.ceil(n / limit)
    return math.ceil(episodes / math.ceil(episodes / 16))


def choose_limit(n_states: int) -> int:
    """Choose how many states of an episode are stored, where nobody says so.

    :param n_states: number of states that are collected
    """
    return max(100, math.ceil(n_states / 50))
