"""Novelty of synthesised states: their distance from the nearest training state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.common.attributions import join_features
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations, are_images
from sb3_explain.probing.generator import StateGenerator
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: a feature differs if it differs by more than this share of its range
DIFFERS = 0.25
#: the paper's table 2, of its driving agent: share of the states by share of a state's pixels
PAPER = {0.1: 0.99, 0.2: 0.73, 0.3: 0.16, 0.4: 0.04, 0.5: 0.01, 0.6: 0.01, 0.7: 0.0}
#: number of states of a data set that are compared at once
CHUNK = 256


class Neighbors(NamedTuple):
    """The nearest state of a data set, for each of B states.

    :param positions: (B,) positions of the nearest states in the data set
    :param distance: (B,) mean squared differences of the features, in the generator's units
    """

    positions: NDArray[np.int64]
    distance: NDArray[np.float64]


@torch.no_grad()
def find_nearest(
    generator: StateGenerator, observations: Observations, states: StateDataset
) -> Neighbors:
    """Find the nearest states of a data set, by the mean squared difference of all features.

    Features are in the generator's units: shares of their range, or where they have no bounds,
    standard deviations over the states that the generator learned from.

    :param generator: generator of such states
    :param observations: (B, ...) in the agent's range, or a dict of such
    :param states: states to search
    """
    agent = generator.agent
    rows = scale_features(generator, observations)
    squares = rows.square().sum(dim=1)
    best = torch.full((len(rows),), torch.inf, device=rows.device)
    nearest = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
    for positions in np.array_split(np.arange(len(states)), -(-len(states) // CHUNK)):
        seen: Any = agent.tensor(states.observations(positions))
        others = scale_features(generator, seen)
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a b, one matrix product for all pairs
        distances = squares[:, None] + others.square().sum(dim=1) - 2 * rows @ others.T
        smallest, column = distances.min(dim=1)
        nearer = smallest < best
        best = torch.where(nearer, smallest, best)
        nearest = torch.where(nearer, column + int(positions[0]), nearest)
    distance = (best.clamp_min(0) / rows.shape[1]).double().cpu().numpy()
    return Neighbors(nearest.cpu().numpy(), distance)


def scale_features(generator: StateGenerator, observations: Observations) -> Tensor:
    """Return all features of states, (B, N), in the generator's units."""
    batch = StateBatch(generator.agent, observations)
    return join_features(generator.network.scale(batch.by_key))


@torch.no_grad()
def measure_difference(
    generator: StateGenerator, first: Observations, second: Observations
) -> Tensor:
    """Return the share of the pixels that differ between two batches of states, (B,).

    A pixel differs if the values of one of its channels or frames differ by more than a quarter of
    their range, or of their standard deviation where they have no bounds. Of vectors, it is the
    share of the features.

    :param generator: generator of such states
    :param first: (B, ...) in the agent's range, or a dict of such
    :param second: states to compare with, of the same shapes
    """
    one, other = (StateBatch(generator.agent, states) for states in (first, second))
    others = generator.network.scale(other.by_key)
    differing, pixels = torch.zeros(len(one), device=one.device), 0
    for name, observed in generator.network.scale(one.by_key).items():
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
    """Measure how many states are unlike all training states (table 2 of the paper).

    >>> from sb3_explain import StateGenerator, novelty
    >>> generator = StateGenerator(agent, latent=4)
    >>> _ = generator.fit(train, validation, epochs=1, progress=False)
    >>> shares = novelty(generator, generator.sample(20), train, thresholds=[0.0, 0.5])
    >>> 1 >= shares[0.0] >= shares[0.5] >= 0
    True

    :param generator: generator of such states
    :param observations: (B, ...) synthesised states, or a dict of such
    :param states: states that the generator learned from
    :param thresholds: shares of the pixels (of vectors, of the features), in [0, 1]
    :return: by threshold, the share of the synthesised states that differ from their nearest
        training state in more than this share of the pixels
    :raises ExplainError: if there are no states to compare with
    """
    if len(states) == 0:
        raise ExplainError("no states to compare with: give those that the generator learned from")
    nearest = find_nearest(generator, observations, states).positions
    neighbors: Any = generator.agent.tensor(states.observations(nearest))
    shares = measure_difference(generator, observations, neighbors)
    return {threshold: float((shares > threshold).float().mean()) for threshold in thresholds}
