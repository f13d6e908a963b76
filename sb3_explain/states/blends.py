"""Blends of states with their baselines: s * m + r * (1 - m)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch


def apply_baselines(baselines: Mapping[str, Baseline], batch: StateBatch) -> Tensor:
    """Replace whole observations by their baselines.

    :param baselines: baselines by key of the observation
    :param batch: the states
    :return: (B, ...) what the states become when everything is masked, in the form of
        :attr:`~sb3_explain.StateBatch.observations`; a category becomes the nearest valid one
    """
    snap = batch.agent.categories.snap
    return batch.flatten_keys(
        {key: snap(key, baselines[key](observed)) for key, observed in batch.by_key.items()}
    )


def blend(observations: Tensor, masks: Tensor, baseline: Tensor) -> Tensor:
    """s * m + r * (1 - m) (VisionMask, eq. 1); the complement state is ``blend(s, 1 - m, r)``.

    :param observations: (B, ...) observations s
    :param masks: (B, ...) masks m in [0, 1]
    :param baseline: (B, ...) baseline r
    """
    return baseline + masks * (observations - baseline)


def blend_states(batch: StateBatch, masks: Tensor, baseline: Tensor) -> Tensor:
    """Blend states with their baselines; a category has no value in between, and is never blended.

    A category is that of the state where its mask is at least 1/2, and that of the baseline
    elsewhere.

    :param batch: B states
    :param masks: (B, ...) masks in [0, 1], in the form of
        :attr:`~sb3_explain.StateBatch.observations`
    :param baseline: (B, ...) what the states become when everything is masked
    """
    shown = torch.where(batch.held, (masks >= 0.5).to(masks), masks)
    return blend(batch.observations, shown, baseline)
