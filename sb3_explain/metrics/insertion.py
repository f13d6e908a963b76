"""Insertion: how soon does the agent want its action as the most important cells appear?"""

from __future__ import annotations

from torch import Tensor

from sb3_explain.agent import Agent
from sb3_explain.perturbation import pixel_order, replace_in_order, target_curves
from sb3_explain.references import Reference
from sb3_explain.registry import METRICS


@METRICS.register("insertion")
def insertion(
    agent: Agent,
    observations: Tensor,
    target: Tensor,
    reference: Reference,
    ordering: Tensor,
    *,
    steps: int = 100,
    fraction: float = 1.0,
    per_frame: bool = True,
) -> Tensor:
    """Probability of the target action while cells are revealed on the reference (RISE, sec. 4.2).

    High is good.

    :param observations: (B, ...)
    :param target: (B,)
    :param reference: what a cell is before it is revealed
    :param ordering: (B, N) cells from the highest attribution to the lowest
    :param steps: n; step k reveals the cells of rank below round(k * fraction * N / n)
    :param fraction: share of the order that is revealed at the end, in (0, 1]
    :param per_frame: a cell is one entry of the observation; if not, a pixel (y, x) of an image is
        revealed in all frames and channels at once, by its highest cell
    :return: (B, n + 1) probabilities
    """
    if not per_frame:
        ordering = pixel_order(ordering, observations.shape[1])
    copies = replace_in_order(reference(observations), observations, ordering, steps, fraction)
    return target_curves(agent, target, copies)
