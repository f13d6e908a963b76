"""Mask area: how much of the observation does the mask show?"""

from __future__ import annotations

from torch import Tensor

from sb3_explain.evaluation.metrics import METRICS


@METRICS.register("mask_area")
def mask_area(masks: Tensor, attributions: Tensor) -> Tensor:
    """Return the mean of the target's mask over all features.

    :param masks: (B, ...), an input so that only explainers that give masks have an area
    :param attributions: (B, ...) in [0, 1]; features that are never hidden do not count, since
        their attribution is 0
    :return: (B,) in [0, 1]
    """
    del masks
    return attributions.flatten(1).mean(dim=1)
