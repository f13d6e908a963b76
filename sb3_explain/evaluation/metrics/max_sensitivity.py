"""Max-sensitivity: how much do attributions change when the observation hardly does?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sb3_explain.common.attributions import norm
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch


@METRICS.register("max_sensitivity")
def max_sensitivity(
    batch: StateBatch,
    explainer: Explainer,
    attributions: Tensor,
    rng: np.random.Generator,
    *,
    n: int = 5,
    radius: float = 0.02,
) -> Tensor:
    """Return max ||f(s') - f(s)|| / ||f(s)|| over n neighbours s', with 2-norms.

    Max-sensitivity (Yeh et al. 2019, definition 3) over a finite sample, in units of the
    attributions; low is good. Neighbours are drawn from the box ||s' - s||_inf <= radius. The
    explainer sees the neighbour, which may lie outside the observations' range, and the target
    stays. Categories, which have no neighbours, stay as they are.

    :param batch: B states s
    :param explainer: f
    :param attributions: f(s), (B, ...)
    :param rng: source of the noise, drawn state by state
    :param n: number of neighbours
    :param radius: half the side of the box, in units of the observations' range
    :return: (B,), at least 0; ||f(s') - f(s)|| itself where f(s) is 0 everywhere; NaN where there
        are only categories
    :raises ExplainError: if n is below 1, or the radius is not positive
    """
    if n < 1 or not radius > 0:
        raise ExplainError(
            f"n={n}, radius={radius}: give at least 1 neighbour, and a positive radius"
        )
    observations, extent = batch.observations, batch.get_extent()
    noise = observations.new_empty(len(observations), n, *observations.shape[1:])
    for of_state in noise:  # all at once would be in double precision: gigabytes of RGB frames
        of_state.copy_(torch.from_numpy(rng.uniform(-radius, radius, of_state.shape)))
    changes = []
    for step in noise.unbind(dim=1):
        neighbors = batch.with_observations(observations + step * extent)
        changes.append(
            norm(batch.flatten_keys(explainer.attribute_batch(neighbors)) - attributions)
        )
    size = norm(attributions)
    relative = torch.stack(changes).amax(dim=0) / torch.where(size > 0, size, 1.0)
    return relative if extent.any() else torch.full_like(relative, torch.nan)
