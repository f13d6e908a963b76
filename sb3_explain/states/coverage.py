"""What states do not show: what comes after the episodes were cut, and features that never vary.

A feature that is the same in all states looks unimportant by every method, however much the agent
would do otherwise if it changed.
"""

from __future__ import annotations

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
    :return: ``never_change``, the names of features; ``cut_after``, after how many states episodes
        were cut, with the numbers of ``episodes_cut`` and ``episodes_collected``. What does not
        occur is left out
    """
    described: dict[str, Any] = {}
    never_change = find_unchanging(states, agent, positions)
    if never_change:
        described["never_change"] = never_change
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
    if not sizes or len(positions) < 2:
        return []
    low: Tensor | None = None
    high: Tensor | None = None
    for some in np.split(positions, range(CHUNK, len(positions), CHUNK)):
        by_key = split_keys(states.observations(some))
        rows = torch.cat([by_key[key].reshape(len(some), -1).double() for key in sizes], dim=1)
        lowest, highest = rows.amin(dim=0), rows.amax(dim=0)
        low = lowest if low is None else torch.minimum(low, lowest)
        high = highest if high is None else torch.maximum(high, highest)
    assert low is not None and high is not None
    names = list_feature_names(sizes, agent.feature_names)
    constant = is_constant(low, high).tolist()
    return [name for name, never in zip(names, constant, strict=True) if never]


def is_constant(low: Tensor, high: Tensor) -> Tensor:
    """Tell which features vary by rounding alone, (M,).

    :param low: (M,) smallest values
    :param high: (M,) largest values
    """
    return high - low <= ROUNDING * torch.maximum(low.abs(), high.abs())
