"""Accuracy at equal area: every map is binarised to its highest cells, which compares all alike."""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.agent import Agent
from sb3_explain.references import Reference, blend
from sb3_explain.registry import METRICS


@METRICS.register("accuracy@0.1")
def accuracy_at(
    agent: Agent,
    observations: Tensor,
    ordering: Tensor,
    reference: Reference,
    target: Tensor,
    *,
    share: float = 0.1,
) -> Tensor:
    """greedy(s * m + r * (1 - m)) = greedy(s), where m keeps the highest cells and no other.

    :param observations: s, (B, ...) of N cells each
    :param ordering: (B, N) cells from the highest attribution to the lowest
    :param reference: gives r
    :param target: (B,) greedy(s)
    :param share: round(share * N) cells are kept
    :return: (B,) of 0 and 1
    """
    n_kept = round(share * ordering.shape[1])
    masks = torch.zeros_like(observations, dtype=torch.float32).flatten(1)
    masks.scatter_(1, ordering[:, :n_kept], 1.0)
    with torch.no_grad():
        kept = agent.greedy(
            blend(observations, masks.view(observations.shape), reference(observations))
        )
    return (kept == target).float()
