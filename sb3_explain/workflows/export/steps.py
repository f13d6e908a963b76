"""Which steps of an agent are exported: the end of one episode, or any part of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote
from sb3_explain.report.viewer.playback import Episode
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.whole_episodes import list_episodes

#: an episode by its number, or by its return among those that are over
WhichEpisode = int | Literal["worst", "best"]


@dataclasses.dataclass(frozen=True)
class Steps:
    """Consecutive steps of one episode.

    :param positions: (T,) positions of the states among all
    :param episode: number of the episode
    :param first: number of the first step within the episode
    :param length: number of steps of the whole episode
    :param total: sum of the episode's rewards
    :param ended: how the episode ended, in words
    """

    positions: NDArray[np.int64]
    episode: int
    first: int
    length: int
    total: float
    ended: str

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.positions)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """(T,) numbers of the steps within the episode."""
        return np.arange(self.first, self.first + len(self))

    def __str__(self) -> str:
        """Say which steps they are."""
        last = self.first + len(self) - 1
        return (
            f"steps {self.first} to {last} of episode {self.episode} (return {self.total:.4g}, "
            f"{self.length} steps, {self.ended})"
        )


def choose_part(
    states: StateDataset, episode: WhichEpisode, start: int | None, n_steps: int
) -> Steps:
    """Choose consecutive steps of one episode.

    :param states: states, episode after episode
    :param episode: number of the episode, or ``"worst"`` or ``"best"`` by its return among those
        that are over, or among all where none is
    :param start: number of the first step; when not given, the last steps are chosen
    :param n_steps: number of steps, at most
    :raises ExplainError: if there is no such episode or step
    """
    if n_steps < 1:
        raise ExplainError(f"n_steps={n_steps}: give a positive number")
    found = find_episode(episode, list_episodes(states))
    length = found.stop - found.start
    if start is None:
        start = max(0, length - n_steps)
    if not 0 <= start < length:
        raise ExplainError(f"start={start}: episode {found.number} has the steps 0 to {length - 1}")
    stop = min(length, start + n_steps)
    return Steps(
        np.arange(found.start + start, found.start + stop),
        found.number, start, length, found.total, found.ended,
    )  # fmt: skip


def find_episode(episode: WhichEpisode, episodes: Sequence[Episode]) -> Episode:
    """Find an episode among all.

    :param episode: its number, or ``"worst"`` or ``"best"``
    :param episodes: all episodes
    :raises ExplainError: if there is no such episode
    """
    if isinstance(episode, str):
        if episode not in ("worst", "best"):
            raise ExplainError(f"episode={quote(episode)}: give a number, worst or best")
        over = [one for one in episodes if one.over] or episodes
        return (max if episode == "best" else min)(over, key=lambda one: one.total)
    found = next((one for one in episodes if one.number == episode), None)
    if found is None:
        known = f"0 to {episodes[-1].number}" if len(episodes) > 1 else "0 alone"
        raise ExplainError(f"there is no episode {episode}: the folder holds {known}")
    return found
