"""What states do not show: what comes after the episodes were cut, and features that never vary.

A feature that is the same in all states looks unimportant by every method, however much the agent
would do otherwise if it changed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_boards, find_feature_keys
from sb3_explain.envs.feature_names import list_feature_names
from sb3_explain.envs.spaces import split_keys
from sb3_explain.states.dataset import StateDataset

#: number of states that are read at once
CHUNK = 256
#: a feature whose range is less than this share of its magnitude varies by rounding alone
ROUNDING = 1e-6


def describe_coverage(
    states: StateDataset, agent: Agent, positions: NDArray[np.int64]
) -> dict[str, Any]:
    """Describe what some states do not show, as ``states`` of metrics.json has it.

    :param states: states of the agent
    :param agent: the agent
    :param positions: (B,) positions of the states
    :return: ``never_change``, the names of features; ``squares_never_change``, how many squares of
        each board, and of how many; ``cut_after``, after how many states episodes
        were cut, with the numbers of ``episodes_cut`` and ``episodes_collected``. What does not
        occur is left out
    """
    described: dict[str, Any] = {}
    never_change = find_unchanging(states, agent, positions)
    if never_change:
        described["never_change"] = never_change
    if squares := count_unchanging_squares(states, agent, positions):
        described["squares_never_change"] = {key: list(count) for key, count in squares.items()}
    if n_cut := states.provenance.get("episodes_cut"):
        described["cut_after"] = states.provenance["max_per_episode"]
        described["episodes_cut"] = n_cut
        described["episodes_collected"] = states.provenance["episodes"]
    return described


def find_unchanging(states: StateDataset, agent: Agent, positions: NDArray[np.int64]) -> list[str]:
    """Find the features that are the same in all states; pixels and squares of boards are none.

    >>> from sb3_explain.states.coverage import find_unchanging
    >>> find_unchanging(states, agent, np.arange(len(states)))
    []

    :param states: states of the agent
    :param agent: the agent
    :param positions: (B,) positions of the states
    :return: names of the features; of fewer than two states nothing is known, and there are none
    """
    boards = find_boards(agent)
    sizes = {key: n for key, n in find_feature_keys(agent).items() if key not in boards}
    constant = _find_constant(states, positions, sizes)
    names = list_feature_names({key: sizes[key] for key in constant}, agent.feature_names)
    every = [never for part in constant.values() for never in part.reshape(-1).tolist()]
    return [name for name, never in zip(names, every, strict=True) if never]


def count_unchanging_squares(
    states: StateDataset, agent: Agent, positions: NDArray[np.int64]
) -> dict[str, tuple[int, int]]:
    """Count the squares of boards on which the same stands in all states.

    >>> from sb3_explain.states.coverage import count_unchanging_squares
    >>> count_unchanging_squares(states, agent, np.arange(len(states)))
    {}

    :param states: states of the agent
    :param agent: the agent
    :param positions: (B,) positions of the states
    :return: how many squares, and of how many, by key of those boards that have such; of fewer than
        two states nothing is known
    """
    boards = find_boards(agent)
    counts = {}
    for key, never in _find_constant(states, positions, boards).items():
        squares = boards[key].to_picture(never[None])[0].all(dim=0)  # on all planes of a board
        counts[key] = int(squares.sum()), squares.numel()
    return {key: (n, total) for key, (n, total) in counts.items() if n}


def _find_constant(
    states: StateDataset, positions: NDArray[np.int64], keys: Collection[str]
) -> dict[str, Tensor]:
    """Tell by key which features (...) are the same in all states; nothing of fewer than two."""
    if not keys or len(positions) < 2:
        return {}
    low: dict[str, Tensor] = {}
    high: dict[str, Tensor] = {}
    for some in np.split(positions, range(CHUNK, len(positions), CHUNK)):
        by_key = split_keys(states.observations(some))
        for key in keys:
            lowest, highest = by_key[key].double().amin(dim=0), by_key[key].double().amax(dim=0)
            low[key] = torch.minimum(low.get(key, lowest), lowest)
            high[key] = torch.maximum(high.get(key, highest), highest)
    return {key: is_constant(low[key], high[key]) for key in keys}


def is_constant(low: Tensor, high: Tensor) -> Tensor:
    """Tell which features vary by rounding alone, (...).

    :param low: (...) smallest values
    :param high: (...) largest values
    """
    return high - low <= ROUNDING * torch.maximum(low.abs(), high.abs())
