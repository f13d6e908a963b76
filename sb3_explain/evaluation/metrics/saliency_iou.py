"""Saliency IoU: do attributions find the pixels that the critic of an SGQN agent depends on?"""

from __future__ import annotations

from torch import Tensor

from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.sgqn.attribution import binarize, require_quantile
from sb3_explain.states.batch import StateBatch


@METRICS.register("saliency_iou")
def saliency_iou(
    batch: StateBatch, attributions: Tensor, attribution: Tensor, quantile: float = 0.95
) -> Tensor:
    """Return the intersection over union of the highest pixels and those of the critic's gradient.

    Both are binarised as SGQN does it: in each frame, the maximum of the magnitudes over the
    channels, from the quantile on (Bertoin et al. 2022, section 3, M_rho). Of the map that an agent
    predicts, it says how faithful the prediction is.

    :param batch: B states of an agent of SGQN or one of its baselines
    :param attributions: (B, ...)
    :param attribution: (B, ...) guided backpropagation of Q1(s, pi(s)) to the pixels
    :param quantile: rho, in [0, 1)
    :return: (B,) in [0, 1]
    :raises ExplainError: if the quantile is outside of [0, 1)
    """
    require_quantile(quantile)
    n_stack = batch.agent.n_stack
    ours, true = (binarize(each, quantile, n_stack) for each in (attributions, attribution))
    common = (ours & true).flatten(1).sum(dim=1).double()
    return common / (ours | true).flatten(1).sum(dim=1)
