"""Mask area: how much of the observation does the mask keep?"""

from __future__ import annotations

from torch import Tensor

from sb3_explain.evaluation.metrics import METRICS


@METRICS.register("mask_area")
def mask_area(masks: Tensor, attributions: Tensor) -> Tensor:
    """Mean of the chosen action's mask over all cells (frames x height x width).

    :param masks: asked for so that only explainers that give masks have an area
    :param attributions: (B, ...) in [0, 1]; cells that are never hidden do not count, their map is
        0
    :return: (B,) in [0, 1]
    """
    del masks
    return attributions.flatten(1).mean(dim=1)
