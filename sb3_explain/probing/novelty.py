"""How new a synthesised state is: its distance from the nearest state that the generator saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agent import Agent
from sb3_explain.batch import StateBatch
from sb3_explain.errors import ExplainError
from sb3_explain.policy_views import Observations
from sb3_explain.states import StateDataset

#: a cell differs if it differs by more than this share of its range
DIFFERS = 0.25
#: thresholds of the paper's table 2, shares of a state's pixels
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
#: the paper's own figures of its driving agent at these thresholds
PAPER = (0.99, 0.73, 0.16, 0.04, 0.01, 0.01, 0.0)
#: states of the data set that are compared at once
CHUNK = 256


class Neighbours(NamedTuple):
    """The state nearest to each of some others."""

    #: (B,) its position in the data set
    positions: NDArray[np.int64]
    #: (B,) mean squared difference of the cells, in shares of their range
    distance: NDArray[np.float64]


@torch.no_grad()
def nearest_states(agent: Agent, observations: Observations, states: StateDataset) -> Neighbours:
    """The nearest states of a data set, by the mean squared difference of all cells.

    Cells count in shares of their range; those without bounds as they are.

    :param agent: whose observations they are
    :param observations: (B, ...) in the agent's range, or a dict of such
    :param states: to search
    """
    batch = StateBatch(agent, observations)
    extent = batch.extent().flatten()
    rows = (batch.observations.flatten(1) / extent).float()
    squares = rows.square().sum(dim=1)
    best = torch.full((len(rows),), torch.inf, device=rows.device)
    found = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
    for positions in np.array_split(np.arange(len(states)), -(-len(states) // CHUNK)):
        seen: Any = agent.tensor(states.observations(positions))
        others = StateBatch(agent, seen).observations.flatten(1) / extent
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a b, one matrix product for all pairs
        distances = squares[:, None] + others.square().sum(dim=1) - 2 * rows @ others.T
        least, column = distances.min(dim=1)
        nearer = least < best
        best = torch.where(nearer, least, best)
        found = torch.where(nearer, column + int(positions[0]), found)
    distance = (best.clamp_min(0) / rows.shape[1]).double().cpu().numpy()
    return Neighbours(found.cpu().numpy(), distance)


def share_different(agent: Agent, first: Observations, second: Observations) -> Tensor:
    """(B,) share of the pixels (cells, of vectors) that differ between states.

    A pixel differs if in one of its channels or frames the values differ by more than a quarter of
    their range.

    :param first: (B, ...) in the agent's range, or a dict of such
    :param second: of the same shape
    """
    one, other = StateBatch(agent, first), StateBatch(agent, second)
    extents = one.unflat(one.extent()[None])
    differing, pixels = torch.zeros(len(one), device=one.device), 0
    for name, entry in one.entries.items():
        apart = (entry - other.entries[name]).abs() > DIFFERS * extents[name]
        if apart.dim() == 4:
            apart = apart.any(dim=1)
        differing = differing + apart.flatten(1).sum(dim=1)
        pixels += apart[0].numel()
    return differing / pixels


def novelty(
    agent: Agent,
    observations: Observations,
    states: StateDataset,
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[float, float]:
    """Share of states that differ from their nearest one in more than so many pixels (table 2).

    :param agent: whose observations they are
    :param observations: (B, ...) synthesised states
    :param states: that the generator learned from
    :param thresholds: shares of the pixels
    """
    if len(states) == 0:
        raise ExplainError("no states to compare with: give those that the generator learned from")
    neighbours: Any = agent.tensor(
        states.observations(nearest_states(agent, observations, states).positions)
    )
    shares = share_different(agent, observations, neighbours)
    return {threshold: float((shares > threshold).float().mean()) for threshold in thresholds}
