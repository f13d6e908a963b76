"""Accuracy at equal area: every map is binarised to its highest cells, which compares all alike."""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.common.attributions import highest
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.states.baselines import blend
from sb3_explain.states.batch import StateBatch


@METRICS.register("accuracy@0.1")
def accuracy_at(
    batch: StateBatch, ordering: Tensor, baseline: Tensor, *, share: float = 0.1
) -> Tensor:
    """greedy(s * m + r * (1 - m)) = greedy(s), where m keeps the highest cells and no other.

    :param batch: of the states s, of N cells each
    :param ordering: (B, N) cells from the highest attribution to the lowest
    :param baseline: r, (B, ...)
    :param share: round(share * N) cells are kept, and one at least where the share is not 0
    :return: (B,) of 0 and 1
    :raises ExplainError: for a share outside [0, 1]
    """
    if not 0 <= share <= 1:
        raise ExplainError(f"share={share}: give a share of the cells in [0, 1]")
    observations = batch.observations
    kept = max(share, 1 / ordering.shape[1]) if share else 0.0
    masks = highest(ordering, kept).view(observations.shape)
    with torch.no_grad():
        return batch.keeps(blend(observations, masks, baseline)).float()
