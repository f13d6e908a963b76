"""Pixel flipping: the curve of the action's probability while cells are set to one value."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import read_blocks, replace_in_order


@METRICS.register("pixel_flipping")
def pixel_flipping(
    batch: StateBatch,
    ordering: Tensor,
    *,
    features_in_step: int = 84,
    baseline: float = 0.0,
) -> Tensor:
    """Probability of the target action after each step of flipping (Bach et al., 2015).

    Low is good. Deletion with a constant in place of the baseline, without the state itself at the
    beginning, and in steps of so many cells.

    :param batch: of B states
    :param ordering: (B, N) cells from the highest attribution to the lowest
    :param features_in_step: cells flipped at each step, at most; a single one where an observation
        has no more cells than that
    :param baseline: what a flipped cell becomes, in the observations' raw range
    :return: (B, ceil(N / features_in_step)) probabilities
    :raises ExplainError: for steps of no cell
    """
    if features_in_step < 1:
        raise ExplainError(f"features_in_step={features_in_step}: give at least 1 cell")
    n_cells = ordering.shape[1]
    steps = -(-n_cells // features_in_step) if n_cells > features_in_step else n_cells
    observations = batch.observations
    flipped = torch.full_like(observations, baseline)
    copies = replace_in_order(observations, flipped, ordering, steps)
    return read_blocks(batch.preference, islice(copies, 1, None))
