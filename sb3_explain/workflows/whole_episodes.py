"""Whole episodes of an agent: how they went, and which of their steps a page plays."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.report.viewer.playback import Episode
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.env_sources import EnvSource
from sb3_explain.states.environments import AnyEnv, find_source

#: folder of the states of whole episodes, beside ``states/`` of other workflows
EPISODES = "episodes"
#: folders of stores within an output folder, the preferred one first
STORES = (EPISODES, "states")
#: states that each parallel environment plays, and the largest number of environments
STATES_PER_ENV, MAX_ENVS = 2500, 8
#: number of episodes that share the steps of a page if they are too long for it
SHOWN = 3
#: number of steps that are shown before what is lost, and the share of the steps that may lose
LEAD, RARE = 30, 1 / 20
#: largest number of different rewards, beside the usual one, of a game that has losses
MOST_REWARDS = 10
#: in words, how an episode ended (see :data:`sb3_explain.states.episodes.ENDINGS`)
ENDED = ("unfinished", "ended", "time limit")


def play_whole_episodes(
    agent: Agent,
    folder: Path | None,
    n_states: int,
    *,
    env: AnyEnv | EnvSource | None = None,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> StateDataset:
    """Play whole episodes, or go on where an earlier call was stopped; the last one is cut.

    :param agent: the agent to play
    :param folder: folder of the store; without it, the states are kept in memory
    :param n_states: number of states
    :param env: the environment, as :func:`sb3_explain.collect` takes it
    :param seed: random seed of the episodes
    :param progress: show a progress bar
    :param options: further options of :func:`sb3_explain.collect`
    """
    source, n_envs = find_source(agent, env), None
    if not (folder and folder.exists()) and source.n_envs is None:
        # parallel episodes are played to their ends, however few states are asked for
        n_envs = min(MAX_ENVS, -(-n_states // STATES_PER_ENV))
    return collect(
        agent, source, n_states=n_states, folder=folder, seed=seed, max_per_episode=0,
        n_envs=n_envs, progress=progress, **options,
    )  # fmt: skip


def choose_steps(states: StateDataset, limit: int) -> tuple[NDArray[np.int64], list[Episode]]:
    """Choose the steps that a page plays: those of the worst and of the best episode first.

    Of an episode that is too long, the steps are shown in which it loses most, if it seldom does,
    or else its end: there it is decided how it went.

    :param states: states of whole episodes, episode after episode
    :param limit: number of steps, at most
    :return: positions of the steps, and all episodes with the places of their steps among these
    """
    listed = list_episodes(states)
    ranked = rank_episodes(listed)
    shown = [0] * len(listed)
    left = limit
    for place, number in enumerate(ranked):
        length = listed[number].stop - listed[number].start
        share = left // max(1, min(SHOWN, len(ranked)) - place)
        if place < SHOWN or length <= left:
            shown[number] = min(length, share)
            left -= shown[number]
    positions, episodes, at = [], [], 0
    for one, n in zip(listed, shown, strict=True):
        first = choose_first(one.losses, one.stop - one.start, n)
        positions.append(one.start + first + np.arange(n))
        episodes.append(dataclasses.replace(one, start=at, stop=at + n, first=first))
        at += n
    return np.concatenate(positions), episodes


def choose_first(losses: Sequence[int], length: int, n: int) -> int:
    """Choose the first of n steps of an episode that are shown.

    They are those with the most losses, which are not counted at their beginning since one wants to
    see what came before; the latest of several. Where nothing is lost, the last n are shown.

    :param losses: numbers of the steps that lose something
    :param length: number of steps of the episode
    :param n: number of those that are shown, at most all
    """
    lost = np.zeros(length + 1)
    lost[np.array(losses, np.int64) + 1] = 1
    until = lost.cumsum()
    n_lost = until[n:] - until[min(LEAD, n // 2) : len(until) - n + min(LEAD, n // 2)]
    return int(len(n_lost) - 1 - n_lost[::-1].argmax())


def find_losses(rewards: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find the steps that lose something, (n,): of the lowest reward, if it is negative and rare.

    A game has losses where most steps have one and the same reward, and the others few different
    ones. Where every step has another, as in a shaped task, the lowest one is no loss; nor where
    such an agent stands still, and only its few moves have rewards of their own.

    :param rewards: (T,) rewards of all episodes that are known
    """
    losses = np.flatnonzero((rewards < 0) & (rewards == rewards.min(initial=0)))
    background = np.isclose(rewards, np.median(rewards)) if len(rewards) else rewards == 0
    rare = len(losses) <= RARE * len(rewards) and 2 * background.sum() >= len(rewards)
    others = rewards[~background]
    n_different = len(np.unique(others.round(6)))
    of_a_game = n_different <= 2 or n_different <= min(MOST_REWARDS, len(others) / 2)
    return losses if rare and of_a_game else losses[:0]


def list_episodes(states: StateDataset) -> list[Episode]:
    """List all episodes, with the positions of their steps among the states.

    :param states: states, episode after episode
    """
    numbers, starts, lengths = np.unique(states.episode, return_index=True, return_counts=True)
    rewards = read_numbers(states, "rewards")
    totals = np.add.reduceat(rewards, starts)
    endings = find_endings(states)[starts]
    losses = find_losses(rewards)
    return [
        Episode(
            int(number), int(start), int(start + length), float(total), ENDED[ending],
            length=int(length), over=bool(ending),
            losses=tuple((losses[(start <= losses) & (losses < start + length)] - start).tolist()),
        )
        for number, start, length, total, ending in zip(
            numbers, starts, lengths, totals, endings, strict=True
        )
    ]  # fmt: skip


def name_state(states: StateDataset, position: int) -> str:
    """Name a state by its step, and by its number in the store, which commands take."""
    number = int(states.indices[position])
    return f"episode {states.episode[position]}, step {states.steps[position]} (state {number})"


def describe_episodes(states: StateDataset) -> str:
    """Say how an agent's episodes went: how many, their returns, how they ended, and the worst.

    :param states: states of whole episodes, episode after episode
    """
    episodes = list_episodes(states)
    over = sorted((one for one in episodes if one.over), key=lambda one: one.total)
    if not over:
        (first, *_) = episodes
        return f"no episode is over after {len(states)} states: return {first.total:.4g} so far"
    totals = [one.total for one in over]
    endings = Counter(one.ended for one in over)
    ended = ", ".join(
        f"{n} ended" if how == "ended" else f"{n} by a {how}" for how, n in endings.items()
    )
    said = (
        f"{len(over)} whole episode(s), returns {totals[0]:.4g} to {totals[-1]:.4g} "
        f"(median {float(np.median(totals)):.4g}): {ended}"
    )
    if totals[0] == totals[-1]:
        return said
    worst = [f"episode {one.number} ({one.total:.4g}, {one.ended})" for one in over[:SHOWN]]
    return f"{said}; the worst: {', '.join(worst)}"


def read_numbers(states: StateDataset, name: str) -> NDArray[np.float64]:
    """Read a column of numbers, (n,); NaN where the states, of arrays, do not have it."""
    try:
        numbers: NDArray[np.float64] = states.column(name).astype(np.float64)
    except ExplainError:
        numbers = np.full(len(states), np.nan)
    return numbers


def find_endings(states: StateDataset) -> NDArray[np.int64]:
    """Find how each state's episode ends, (n,), as a number of :data:`ENDED`.

    Of states that are not from a store, all but those of the last episode are taken to be over.
    """
    try:
        ended: NDArray[np.int64] = states.column("ended").astype(np.int64)
    except ExplainError:
        ended = (states.episode != states.episode[-1]).astype(np.int64)
    return ended


def rank_episodes(episodes: Sequence[Episode]) -> list[int]:
    """Rank episodes by what there is to see: the worst, the best, others; last what goes on.

    :return: places in the list
    """
    totals = np.array([one.total for one in episodes])
    over = [int(i) for i in np.argsort(totals, kind="stable") if episodes[i].over]
    first = [*over[:1], *over[:0:-1][:1]]
    others = sorted(i for i in over if i not in first)
    return [*first, *others, *(i for i, one in enumerate(episodes) if not one.over)]
