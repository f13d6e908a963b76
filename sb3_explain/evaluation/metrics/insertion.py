"""Insertion: how soon does the agent choose its action as the most important features appear?"""

from __future__ import annotations

from torch import Tensor

from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import order_pixels, read_blocks, replace_in_order


@METRICS.register("insertion")
def insertion(
    batch: StateBatch,
    baseline: Tensor,
    ordering: Tensor,
    *,
    steps: int = 100,
    fraction: float = 1.0,
    per_frame: bool = True,
) -> Tensor:
    """Return the target action's probability while features are revealed on the baseline.

    The curve of RISE (Petsiuk et al. 2018, section 4.2). High is good.

    :param batch: B states
    :param baseline: (B, ...) what a feature is before it is revealed
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param steps: number of steps, n; after step k, the features of rank below
        round(k * fraction * N / n) are revealed
    :param fraction: share of the order that is revealed at the end, in (0, 1]
    :param per_frame: whether features are revealed one by one; if not, a pixel (y, x) of an image
        is revealed in all frames and channels at once, in the order of its highest feature
    :return: (B, n + 1) probabilities, in [0, 1]
    :raises ExplainError: for options out of range, and pixels where there is no image
    """
    observations = batch.observations
    if not per_frame:
        ordering = order_pixels(ordering, observations)
    copies = replace_in_order(baseline, observations, ordering, steps, fraction)
    return read_blocks(batch.preference, copies)
