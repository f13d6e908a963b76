"""Local Lipschitz estimate: how far apart are the attributions of nearly equal states?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sb3_explain.common.attributions import norm
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch


@METRICS.register("local_lipschitz")
def local_lipschitz(
    batch: StateBatch,
    explainer: Explainer,
    attributions: Tensor,
    rng: np.random.Generator,
    *,
    n: int = 5,
    sigma: float = 0.1,
) -> Tensor:
    """Return max ||f(s) - f(s')|| / ||s - s'|| over n neighbours s' = s + sigma * N(0, 1).

    Alvarez-Melis and Jaakkola (2018), eq. 1, over a finite sample, with 2-norms; low is good. The
    distance of states is that of observations scaled to [0, 1]. The explainer sees the neighbour,
    which may lie outside that range, and the target stays. Categories, which have no neighbours,
    stay as they are.

    :param batch: B states s
    :param explainer: f
    :param attributions: f(s), (B, ...)
    :param rng: source of the noise, drawn state by state
    :param n: number of neighbours
    :param sigma: standard deviation of the noise, in units of the observations' range
    :return: (B,), at least 0; NaN where there are only categories
    :raises ExplainError: if n is below 1, or sigma is not positive
    """
    if n < 1 or not sigma > 0:
        raise ExplainError(f"n={n}, sigma={sigma}: give at least 1 neighbour, and a positive sigma")
    observations, extent = batch.observations, batch.get_extent()
    shape = (len(observations), n, *observations.shape[1:])
    noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(observations.device)
    noise *= sigma * (extent > 0)
    ratios = []
    for step in noise.unbind(dim=1):
        neighbors = batch.with_observations(observations + step * extent)
        neighbor_attributions = batch.flatten_keys(explainer.attribute_batch(neighbors))
        ratios.append(norm(neighbor_attributions - attributions) / norm(step))
    return torch.stack(ratios).amax(dim=0)
