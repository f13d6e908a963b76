"""Which region decides: one that changes what the agent does when it is taken away, and others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.duplicates import GRAY_LEVELS
from sb3_explain.workflows.removal import REGIONS, cover_regions, remove_regions
from sb3_explain.workflows.study.states import Answers, Candidates

Array = NDArray[Any]

#: number of other regions of a question, and how many it has to have
DISTRACTORS, MIN_DISTRACTORS = 4, 2


@dataclasses.dataclass(frozen=True)
class RegionChoice:
    """The regions of one question, in the order of their numbers.

    :param regions: numbers of regions of the grid, row after row
    :param truth: which of them changes what the agent does
    """

    regions: tuple[int, ...]
    truth: int


def find_region_questions(
    states: StateDataset,
    agent: Agent,
    candidates: Candidates,
    answers: Answers,
    baselines: Mapping[str, Baseline],
    rng: np.random.Generator,
) -> list[RegionChoice | None]:
    """Find the regions to ask about in each state; ``None`` where there are not enough.

    The right one is that without which the agent does something else; of several, that which
    changes the probability of the action most. The others change nothing that the agent does, and
    show something: they differ from what would replace them.

    :param states: all states of the agent
    :param agent: the agent
    :param candidates: n states
    :param answers: what participants may say that the agent does
    :param baselines: what replaces a region, by key
    :param rng: random numbers
    """
    removal = remove_regions(states, agent, candidates.positions, baselines=baselines)
    doing = answers.of_action[removal.shares.argmax(axis=2)]  # (n, R)
    action = states.batch(agent, candidates.positions).target.cpu().numpy()
    left = np.take_along_axis(removal.shares, action[:, None, None], axis=2)[..., 0]
    filled = find_filled(states, agent, candidates, baselines)
    found: list[RegionChoice | None] = []
    for row in range(len(candidates.positions)):
        changing = (doing[row] != candidates.answers[row]) & filled[row]
        others = np.flatnonzero((doing[row] == candidates.answers[row]) & filled[row])
        if not changing.any() or len(others) < MIN_DISTRACTORS:
            found.append(None)
            continue
        strongest = int(np.where(changing, left[row], np.inf).argmin())
        some = rng.choice(others, min(DISTRACTORS, len(others)), replace=False)
        order = rng.permutation([strongest, *some]).tolist()
        found.append(RegionChoice(tuple(order), order.index(strongest)))
    return found


def find_filled(
    states: StateDataset,
    agent: Agent,
    candidates: Candidates,
    baselines: Mapping[str, Baseline],
) -> Array:
    """(n, R) whether something stands in each region that its replacement does not show."""
    image = find_image(agent)
    assert image is not None
    observed = states.batch(agent, candidates.positions).by_key[image]
    change = (observed - baselines[image](observed)).abs().amax(dim=1)
    rows, columns = (cover_regions(size, change) for size in change.shape[1:])
    shown = (change > GRAY_LEVELS).float()
    counts = torch.einsum("rh,nhw,cw->nrc", rows, shown, columns)
    filled: Array = (counts > 0).reshape(len(counts), REGIONS**2).cpu().numpy()
    return filled
