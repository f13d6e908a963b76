"""Accuracy: does the agent still choose its action when it sees only what the mask keeps?"""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.states.baselines import blend
from sb3_explain.states.batch import StateBatch


@METRICS.register("accuracy")
def accuracy(batch: StateBatch, masks: Tensor, baseline: Tensor) -> Tensor:
    """greedy(s * m + r * (1 - m)) = greedy(s) (VisionMask, section on metrics).

    For the target's sub-action alone, where there are several; for a Box action, its dimension
    moves by at most a 20th of its range.

    :param batch: of the states s
    :param masks: m, (B, ...) in [0, 1], used as they are
    :param baseline: r, (B, ...)
    :return: (B,) of 0 and 1
    """
    with torch.no_grad():
        return batch.keeps(blend(batch.observations, masks, baseline)).float()


@METRICS.register("accuracy_clear")
def accuracy_clear(
    batch: StateBatch, masks: Tensor, baseline: Tensor, *, margin: float = 0.05
) -> Tensor:
    """Accuracy on the states with a clear winner.

    Where two actions do the same, as in Pong, which of the two is greedy means nothing.

    :param margin: the two best actions' probabilities differ by more than this; every Box action
        counts as clear
    :return: (B,) of 0 and 1; NaN for a state without a clear winner
    """
    return torch.where(batch.margin() > margin, accuracy(batch, masks, baseline), torch.nan)
