"""Insertion: how soon does the agent want its action as the most important cells appear?"""

from __future__ import annotations

from torch import Tensor

from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import pixel_order, read_blocks, replace_in_order


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
    """Probability of the target action while cells are revealed on the baseline (RISE, sec. 4.2).

    High is good.

    :param batch: of B states
    :param baseline: (B, ...) what a cell is before it is revealed
    :param ordering: (B, N) cells from the highest attribution to the lowest
    :param steps: n; step k reveals the cells of rank below round(k * fraction * N / n)
    :param fraction: share of the order that is revealed at the end, in (0, 1]
    :param per_frame: a cell is one key of the observation; if not, a pixel (y, x) of an image is
        revealed in all frames and channels at once, by its highest cell
    :return: (B, n + 1) probabilities
    :raises ExplainError: for options out of range, and pixels where there is no image
    """
    observations = batch.observations
    if not per_frame:
        ordering = pixel_order(ordering, observations)
    copies = replace_in_order(baseline, observations, ordering, steps, fraction)
    return read_blocks(batch.preference, copies)
