"""Accuracy at equal area: attributions become masks of their highest features, all of one size."""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.common.attributions import highest
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.blends import blend_states


@METRICS.register("accuracy@0.1")
def accuracy_at(
    batch: StateBatch, ordering: Tensor, baseline: Tensor, *, share: float = 0.1
) -> Tensor:
    """Return whether greedy(s * m + r * (1 - m)) = greedy(s), where m shows the highest features.

    :param batch: B states s of N features each
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param baseline: r, (B, ...)
    :param share: m shows round(share * N) features, at least one unless the share is 0
    :return: (B,), 1 where the agent still chooses its action and 0 where it does not
    :raises ExplainError: for a share outside [0, 1]
    """
    if not 0 <= share <= 1:
        raise ExplainError(f"share={share}: give a share of the features in [0, 1]")
    masks = highest(ordering, share).view(batch.observations.shape)
    with torch.no_grad():
        return batch.keeps(blend_states(batch, masks, baseline)).float()
