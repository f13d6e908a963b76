"""Pixel flipping: the action's probability while more and more features are set to one value."""

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
    """Return the target action's probability after each step of flipping (Bach et al. 2015).

    Low is good. This is deletion with a constant in place of the baseline and with steps of a given
    number of features; the curve begins after the first step.

    :param batch: B states
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param features_in_step: number of features that a step flips; where an observation has no more
        features than that, each step flips one
    :param baseline: what a flipped feature becomes, in the observations' raw range
    :return: (B, ceil(N / features_in_step)) probabilities, in [0, 1]
    :raises ExplainError: if ``features_in_step`` is below 1
    """
    if features_in_step < 1:
        raise ExplainError(f"features_in_step={features_in_step}: give at least 1 feature")
    n_features = ordering.shape[1]
    steps = -(-n_features // features_in_step) if n_features > features_in_step else n_features
    observations = batch.observations
    constant = batch.split_keys(torch.full_like(observations, baseline))
    snap = batch.agent.categories.snap  # a category becomes the nearest valid one
    flipped = batch.flatten_keys({key: snap(key, value) for key, value in constant.items()})
    copies = replace_in_order(observations, flipped, ordering, steps)
    return read_blocks(batch.preference, islice(copies, 1, None))
