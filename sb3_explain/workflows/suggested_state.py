"""Which state of an agent a question is suggested about, and why."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.highlights import Highlight
from sb3_explain.workflows.whole_episodes import read_numbers

#: number of steps that must follow in the episode, for an action to matter to how it ends
FOLLOWING = 5
#: fall of the value, as a share of the largest magnitude, that tells nothing
HARDLY = 0.01


def suggest_state(states: StateDataset, first: int = 0, stop: int | None = None) -> tuple[int, str]:
    """Suggest the state whose next step lowers the agent's value most, and say why.

    The last steps of an episode are left out: nothing can be done there any more.

    :param states: states in time order, episode after episode
    :param first: position of the first state to choose from
    :param stop: position after the last one; that of all states when not given
    :return: the position, and the reason in words
    """
    among = np.arange(first, len(states) if stop is None else stop)
    following = count_following(states)
    open_ = among[following[among] >= FOLLOWING]
    if not len(open_):
        longest = int(among[following[among].argmax()])
        return longest, f"{describe_place(states, longest)}, before it is too late"
    values = read_numbers(states, "values")
    drops = np.append(values[:-1] - values[1:], np.nan)
    drops[:-1][np.diff(states.steps) != 1] = np.nan
    if not (drops[open_] > 0).any():
        middle = int(open_[len(open_) // 2])
        return middle, describe_place(states, middle)
    most = int(open_[np.nanargmax(drops[open_])])
    if drops[most] < HARDLY * np.nanmax(np.abs(values)):
        middle = int(open_[len(open_) // 2])
        return middle, (
            f"{describe_place(states, middle)}; the value hardly falls anywhere: the agent expects "
            "no loss"
        )
    return most, (
        f"{describe_place(states, most)}, where the value falls most: from {values[most]:.3g} to "
        f"{values[most + 1]:.3g}"
    )


def suggest_state_of(states: StateDataset, highlight: Highlight) -> tuple[int, str]:
    """Suggest a state of a highlight, and say why: the important one, unless it comes too late.

    :param states: the states that the highlight is of
    :param highlight: the highlight
    :return: the position, and the reason in words
    """
    at = highlight.position
    if count_following(states)[at] >= FOLLOWING:
        return at, f"{describe_place(states, at)}, the most important state"
    return suggest_state(states, highlight.start, highlight.stop)


def count_following(states: StateDataset) -> NDArray[np.int64]:
    """Count the states that follow each state in its episode, (n,)."""
    _, number, lengths = np.unique(states.episode, return_inverse=True, return_counts=True)
    following: NDArray[np.int64] = np.cumsum(lengths)[number] - 1 - np.arange(len(number))
    return following


def describe_place(states: StateDataset, position: int) -> str:
    """Say where a state is: its step, its episode, and how many steps are still to come."""
    left = int(count_following(states)[position])
    return (
        f"step {states.steps[position]} of episode {states.episode[position]}, {left} "
        f"step{'' if left == 1 else 's'} before its last"
    )
