"""Accuracy: does the agent still choose its action when it sees only what the mask keeps?"""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.agent import Agent
from sb3_explain.references import Reference, blend
from sb3_explain.registry import METRICS


@METRICS.register("accuracy")
def accuracy(
    agent: Agent, observations: Tensor, masks: Tensor, reference: Reference, target: Tensor
) -> Tensor:
    """greedy(s * m + r * (1 - m)) = greedy(s) (VisionMask, section on metrics).

    :param observations: s, (B, ...)
    :param masks: m, (B, ...) in [0, 1], used as they are
    :param reference: gives r
    :param target: (B,) greedy(s)
    :return: (B,) of 0 and 1
    """
    with torch.no_grad():
        kept = agent.greedy(blend(observations, masks, reference(observations)))
    return (kept == target).float()


@METRICS.register("accuracy_clear")
def accuracy_clear(
    agent: Agent,
    observations: Tensor,
    masks: Tensor,
    reference: Reference,
    target: Tensor,
    *,
    margin: float = 0.05,
) -> Tensor:
    """Accuracy on the states with a clear winner.

    Where two actions do the same, as in Pong, which of the two is greedy means nothing.

    :param margin: the two best actions' probabilities differ by more than this
    :return: (B,) of 0 and 1; NaN for a state without a clear winner
    """
    with torch.no_grad():
        best, second = agent.probabilities(observations).topk(2, dim=1).values.unbind(dim=1)
    kept = accuracy(agent, observations, masks, reference, target)
    return torch.where(best - second > margin, kept, torch.nan)
