"""How new a synthesised state is: its distance from the nearest state that the generator saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations, are_images
from sb3_explain.probing.generator import StateGenerator
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: a cell differs if it differs by more than this share of its range
DIFFERS = 0.25
#: the paper's table 2, of its driving agent: share of a state's pixels -> share of the states
PAPER = {0.1: 0.99, 0.2: 0.73, 0.3: 0.16, 0.4: 0.04, 0.5: 0.01, 0.6: 0.01, 0.7: 0.0}
#: states of the data set that are compared at once
CHUNK = 256


class Neighbors(NamedTuple):
    """The state nearest to each of some others."""

    #: (B,) its position in the data set
    positions: NDArray[np.int64]
    #: (B,) mean squared difference of the cells, in the generator's units
    distance: NDArray[np.float64]


@torch.no_grad()
def nearest_states(
    generator: StateGenerator, observations: Observations, states: StateDataset
) -> Neighbors:
    """The nearest states of a data set, by the mean squared difference of all cells.

    Cells count in the generator's units: in shares of their range, or where they have no bounds in
    standard deviations over the states that it learned from.

    :param generator: of such states
    :param observations: (B, ...) in the agent's range, or a dict of such
    :param states: to search
    """
    agent = generator.agent
    rows = in_units(generator, observations)
    squares = rows.square().sum(dim=1)
    best = torch.full((len(rows),), torch.inf, device=rows.device)
    found = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
    for positions in np.array_split(np.arange(len(states)), -(-len(states) // CHUNK)):
        seen: Any = agent.tensor(states.observations(positions))
        others = in_units(generator, seen)
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a b, one matrix product for all pairs
        distances = squares[:, None] + others.square().sum(dim=1) - 2 * rows @ others.T
        least, column = distances.min(dim=1)
        nearer = least < best
        best = torch.where(nearer, least, best)
        found = torch.where(nearer, column + int(positions[0]), found)
    distance = (best.clamp_min(0) / rows.shape[1]).double().cpu().numpy()
    return Neighbors(found.cpu().numpy(), distance)


def in_units(generator: StateGenerator, observations: Observations) -> Tensor:
    """(B, N) all cells of states, in the generator's units."""
    batch = StateBatch(generator.agent, observations)
    by_key = generator.network.into(batch.by_key)
    return torch.cat([observed.flatten(1) for observed in by_key.values()], dim=1)


@torch.no_grad()
def share_different(generator: StateGenerator, first: Observations, second: Observations) -> Tensor:
    """(B,) share of the pixels (cells, of vectors) that differ between states.

    A pixel differs if in one of its channels or frames the values differ by more than a quarter of
    their range, or of their standard deviation where they have no bounds.

    :param generator: of such states
    :param first: (B, ...) in the agent's range, or a dict of such
    :param second: of the same shape
    """
    one, other = (StateBatch(generator.agent, states) for states in (first, second))
    others = generator.network.into(other.by_key)
    differing, pixels = torch.zeros(len(one), device=one.device), 0
    for name, observed in generator.network.into(one.by_key).items():
        apart = (observed - others[name]).abs() > DIFFERS
        if are_images(apart):
            apart = apart.any(dim=1)
        differing = differing + apart.flatten(1).sum(dim=1)
        pixels += apart[0].numel()
    return differing / pixels


def novelty(
    generator: StateGenerator,
    observations: Observations,
    states: StateDataset,
    thresholds: Sequence[float] = tuple(PAPER),
) -> dict[float, float]:
    """Share of states that differ from their nearest one in more than so many pixels (table 2).

    :param generator: of such states
    :param observations: (B, ...) synthesised states
    :param states: that the generator learned from
    :param thresholds: shares of the pixels
    """
    if len(states) == 0:
        raise ExplainError("no states to compare with: give those that the generator learned from")
    nearest = nearest_states(generator, observations, states).positions
    neighbors: Any = generator.agent.tensor(states.observations(nearest))
    shares = share_different(generator, observations, neighbors)
    return {threshold: float((shares > threshold).float().mean()) for threshold in thresholds}
