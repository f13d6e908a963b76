"""What an agent does without one region of a picture, or without one feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.report.viewer.playback import Removal, bound_regions
from sb3_explain.states.baselines import Baseline, make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import count_rows, make_grid_masks, read_blends
from sb3_explain.workflows.pictures import compute_shares

#: number of regions along each side of an image that are removed
REGIONS = 7
#: number of states at once
CHUNK = 64
#: what a baseline puts in place of a region of a picture, and of a feature, by its name
_REPLACED = (
    {
        "background": "what each pixel shows most often",
        "most_frequent": "the most frequent color of all frames",
        "mean": "the mean color of all frames",
        "below": "darker than anything that is seen",
        "blur": "the picture itself, blurred",
    },
    {"background": "the median", "most_frequent": "the median", "black": "0"},
)


@torch.no_grad()
def remove_regions(
    states: StateDataset,
    agent: Agent,
    positions: NDArray[np.int64],
    baselines: Mapping[str, Baseline] | None = None,
) -> Removal:
    """Remove every region, or feature, from states, and pass what is left to the agent.

    What is removed is replaced by the background of the states, unless something else is given.

    :param states: states of the agent
    :param agent: the agent
    :param positions: positions of the states, in order
    :param baselines: what replaces it, by key
    """
    image = find_image(agent)
    if baselines is None:
        baselines = make_baselines(agent, "background", states)
    found: list[Tensor] = []
    for some in np.array_split(positions, range(CHUNK, len(positions), CHUNK)):
        batch = states.batch(agent, some)
        found.append(
            _without_patches(batch, agent, image, baselines)
            if image is not None
            else _without_features(batch, agent, baselines)
        )
    side = 0 if image is None else REGIONS
    filled = baselines[image] if image is not None else next(iter(baselines.values()))
    return Removal(
        torch.cat(found).numpy(),
        side,
        side,
        positions,
        describe_baseline(filled, image is not None),
    )


def describe_baseline(baseline: Baseline, pictures: bool) -> str:
    """Say by what a region of a picture, or a feature, is replaced.

    :param baseline: what replaces it
    :param pictures: whether it is a region of a picture
    """
    said = _REPLACED[0 if pictures else 1].get(baseline.name)
    return f"{baseline.name} ({said})" if said else baseline.name


def count_removed(batch: StateBatch) -> int:
    """Count the forward passes that a state of a batch takes."""
    if find_image(batch.agent) is not None:
        return REGIONS**2
    return sum(observed[0].numel() for observed in batch.by_key.values())


def _without_patches(
    batch: StateBatch, agent: Agent, image: str, baselines: Mapping[str, Any]
) -> Tensor:
    observed = batch.by_key[image]
    rows, columns = (cover_regions(size, observed) for size in observed.shape[2:])
    chunk = count_rows(observed)
    blends = read_blends(
        lambda copies, states: batch.scores({image: copies}, states),
        observed.float(),
        (baselines[image](observed) - observed).float(),
        make_grid_masks(rows, columns, chunk),
        chunk,
    )
    scores = torch.cat([part for _, part in blends], dim=1)[:, 1:].cpu()
    return compute_shares(agent, scores.flatten(0, 1)).reshape(*scores.shape[:2], -1)


def cover_regions(size: int, like: Tensor) -> Tensor:
    """Whether each region covers each pixel of an axis: (n, size) of 1 and 0."""
    bounds = torch.from_numpy(bound_regions(size, REGIONS))
    pixels = torch.arange(size)
    inside = (bounds[:-1, None] <= pixels) & (pixels < bounds[1:, None])
    return inside.to(like.device, torch.float32)


def _without_features(batch: StateBatch, agent: Agent, baselines: Mapping[str, Any]) -> Tensor:
    found = []
    for key, observed in batch.by_key.items():
        start = observed.float()
        change = baselines[key](observed).float() - start if key in baselines else start * 0
        weights = torch.eye(start[0].numel(), device=start.device).reshape(-1, *start.shape[1:])
        chunk = count_rows(observed)

        def read(copies: Tensor, states: Tensor, key: str = key) -> Tensor:
            return batch.scores({key: copies}, states)

        blends = read_blends(read, start, change, torch.split(weights, chunk), chunk)
        found.append(torch.cat([part for _, part in blends], dim=1).cpu())
    scores = torch.cat(found, dim=1)
    return compute_shares(agent, scores.flatten(0, 1)).reshape(*scores.shape[:2], -1)
