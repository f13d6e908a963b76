"""Split states by whole episodes, so that no part has neighbors of another's frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.duplicates import Stacks, leave_out, show_parts

S = TypeVar("S", bound=Stacks)

#: share of all states that the first part keeps where the last one takes more than its fraction
SMALLEST = 1 / 3
#: what to do about too few states or episodes
COLLECT_MORE = (
    "collect more states (n_states=, -n), or fewer of each episode (max_per_episode=, "
    "--max-per-episode)"
)


def split_into_parts(
    states: S,
    fractions: Sequence[float],
    seed: int,
    smallest: tuple[int, int] = (0, 0),
    *,
    drop_duplicates: bool | Literal["unless_all"] = True,
) -> tuple[S, ...]:
    """Split states by episode; where the last part has too few, it takes more of the first one's.

    :param states: all states
    :param fractions: share of the states that each part shall have, above 0 and 1 together
    :param seed: random seed of the shuffle
    :param smallest: smallest number of episodes of the last part, and of its states without those
        that are left out
    :param drop_duplicates: whether states that the first part shows are left out of the others;
        ``"unless_all"`` keeps those of a part of which nothing else is left, with a warning
    :return: a view for each part, whose ``n_duplicates`` says how many were left out of it
    :raises ExplainError: for other fractions, if there are fewer episodes than parts, if no state
        of a part is left, or if less than :data:`SMALLEST` of the states would stay in the first
    """
    usual = split_by_episode(states.episode, fractions, seed)
    at_least = min(len(usual[0]), SMALLEST * len(states.episode))
    min_episodes, min_states = smallest
    n_test = max(1, min_episodes)
    while True:
        parts = split_by_episode(states.episode, fractions, seed, n_test)
        n_episodes = count_episodes(states, parts[-1])
        if n_episodes < n_test or len(parts[0]) < at_least:
            raise ExplainError(
                f"{len(states.episode)} states of {count_episodes(states)} episodes are too few "
                f"for {min_states} test states of {min_episodes} episodes beside a third of them "
                f"to learn from: {COLLECT_MORE}"
            )
        if len(parts[-1]) >= min_states:  # else too few, whatever is left out
            left = leave_out(states, parts) if drop_duplicates else parts
            if len(left[-1]) >= min_states and count_episodes(states, left[-1]) >= min_episodes:
                return show_parts(states, parts, left, keep=drop_duplicates == "unless_all")
        n_test = n_episodes + 1


def count_episodes(states: Stacks, positions: NDArray[np.int64] | slice = slice(None)) -> int:
    """Count the episodes of some states; of all when no positions are given."""
    return len(np.unique(states.episode[positions]))


def split_by_episode(
    episode: NDArray[Any], fractions: Sequence[float], seed: int, min_test_episodes: int = 1
) -> list[NDArray[np.int64]]:
    """Compute the positions of the states of each part.

    Episodes are shuffled and go to the last part until it has its share, then to the part before,
    and so on; every part has at least one episode.

    :param episode: (n,) number of each state's episode
    :param fractions: share of the states that each part shall have, above 0 and 1 together
    :param seed: random seed of the shuffle
    :param min_test_episodes: smallest number of episodes of the last part, if there are enough
    :raises ExplainError: for other fractions, or if there are fewer episodes than parts
    """
    if not all(fraction > 0 for fraction in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise ExplainError(f"fractions={tuple(fractions)}: give shares above 0 that add up to 1")
    episodes, counts = np.unique(episode, return_counts=True)
    if len(episodes) < len(fractions):
        raise ExplainError(
            f"{len(episode)} states of {len(episodes)} episode(s) cannot be split into "
            f"{len(fractions)} parts by episode: {COLLECT_MORE}"
        )
    order = np.random.default_rng(seed).permutation(len(episodes))
    dealt: list[list[int]] = []
    left = list(order)
    for remaining, fraction in reversed(list(enumerate(fractions[1:], start=1))):
        part: list[int] = []
        needed = 1 if dealt else min_test_episodes
        while len(left) > remaining and (
            len(part) < needed
            or counts[part].sum() + counts[left[-1]] / 2 < fraction * len(episode)
        ):
            part.append(left.pop())
        dealt.insert(0, part)
    return [np.flatnonzero(np.isin(episode, episodes[part])) for part in (left, *dealt)]
