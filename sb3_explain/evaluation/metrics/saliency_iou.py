"""Saliency IoU: does the map find the pixels that the value of SGQN truly depends on?"""

from __future__ import annotations

from torch import Tensor

from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.sgqn.attribution import binarize, require_quantile
from sb3_explain.states.batch import StateBatch


@METRICS.register("saliency_iou")
def saliency_iou(
    batch: StateBatch, attributions: Tensor, attribution: Tensor, quantile: float = 0.95
) -> Tensor:
    """Intersection over union of the map's highest pixels and those of the true attribution.

    Both are binarised as SGQN does it: per frame, maximum of magnitudes over the channels, from the
    quantile on (Bertoin et al. 2022, section 3, M_rho). Of the predicted map it says how faithful
    the agent's words are.

    :param batch: states of an agent of SGQN or one of its baselines
    :param attributions: (B, ...)
    :param attribution: (B, ...) guided backpropagation of Q1(s, pi(s)) to the pixels
    :param quantile: rho
    :return: (B,) in [0, 1]
    :raises ExplainError: if the quantile is outside of [0, 1)
    """
    require_quantile(quantile)
    found, true = (binarize(m, quantile, batch.agent.n_stack) for m in (attributions, attribution))
    common = (found & true).flatten(1).sum(dim=1).double()
    return common / (found | true).flatten(1).sum(dim=1)
