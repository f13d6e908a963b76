"""Mask area: how much of the observation does the mask keep?"""

from __future__ import annotations

from torch import Tensor

from sb3_explain.registry import METRICS


@METRICS.register("mask_area")
def mask_area(masks: Tensor) -> Tensor:
    """Mean of the chosen action's mask over all cells (frames x height x width).

    :param masks: (B, ...) in [0, 1]
    :return: (B,) in [0, 1]
    """
    return masks.flatten(1).mean(dim=1)
