"""Accuracy: does the agent still choose its action when it sees only what the mask shows?"""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.blends import blend_states


@METRICS.register("accuracy")
def accuracy(batch: StateBatch, masks: Tensor, baseline: Tensor) -> Tensor:
    """Return whether greedy(s * m + r * (1 - m)) = greedy(s) (VisionMask, section on metrics).

    Where there are several sub-actions, that of the target counts alone; the dimension of a Box
    action may move by at most a 20th of its range.

    :param batch: B states s
    :param masks: m, (B, ...) in [0, 1], used as they are
    :param baseline: r, (B, ...)
    :return: (B,), 1 where the agent still chooses its action and 0 where it does not
    """
    with torch.no_grad():
        return batch.keeps(blend_states(batch, masks, baseline)).float()


@METRICS.register("accuracy_clear")
def accuracy_clear(
    batch: StateBatch, masks: Tensor, baseline: Tensor, *, margin: float = 0.05
) -> Tensor:
    """Return the accuracy on states with a clear winner.

    Where two actions do the same, as in Pong, it means nothing which of the two is greedy.

    :param batch: B states s
    :param masks: m, (B, ...) in [0, 1], used as they are
    :param baseline: r, (B, ...)
    :param margin: in a state with a clear winner, the two best actions' probabilities differ by
        more than this; every state has one for Box actions
    :return: (B,) of 0 and 1; NaN for a state without a clear winner
    """
    return torch.where(batch.margin() > margin, accuracy(batch, masks, baseline), torch.nan)
