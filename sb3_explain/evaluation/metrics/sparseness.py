"""Sparseness: how few features carry the attribution?"""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.common.attributions import normalize
from sb3_explain.evaluation.metrics import METRICS


@METRICS.register("sparseness")
def sparseness(attributions: Tensor) -> Tensor:
    """Return the Gini index of the magnitudes (Chalasani 2020; Hurley and Rickard 2009).

    With a = |attributions| / max|attributions| + 1e-7, sorted ascending, it is
    sum_i (2i - n - 1) a_i / (n sum a).

    :param attributions: (B, ...) of n features each
    :return: (B,) from 0, where all features are alike, to 1 - 1/n, where a single one counts
    """
    a = normalize(attributions).abs().flatten(1).sort(dim=1).values.double() + 1e-7
    n = a.shape[1]
    i = torch.arange(1, n + 1, device=a.device)
    gini: Tensor = ((2 * i - n - 1) * a).sum(dim=1) / (n * a.sum(dim=1))
    return gini
