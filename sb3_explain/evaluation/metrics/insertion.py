"""Insertion: how soon does the agent choose its action as the most important features appear?"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor

from sb3_explain.evaluation.changing import Changing, change_in_order
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.others import OtherStates, own_preference
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import read_blocks


@METRICS.register("insertion")
def insertion(
    batch: StateBatch,
    baseline: Tensor,
    ordering: Tensor,
    attributions: Tensor | None = None,
    others: OtherStates | None = None,
    *,
    steps: int = 100,
    cap: bool = False,
    **changing: Unpack[Changing],
) -> Tensor:
    """Return the target action's probability while features are revealed on the baseline.

    The curve of RISE (Petsiuk et al. 2018, section 4.2). High is good.

    :param batch: B states
    :param baseline: (B, ...) what a feature is before it is revealed
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param attributions: (B, ...) the attributions themselves, for superpixels
    :param others: the other states, for ``perturb_baseline``
    :param steps: number of steps, n; after step k, the features of rank below
        round(k * fraction * N / n) are revealed
    :param cap: whether a probability above that of the state itself counts as that one
    :param changing: further options of :func:`sb3_explain.evaluation.changing.change_in_order`
    :return: (B, n + 1) probabilities, in [0, 1]
    :raises ExplainError: for options out of range, and pixels where there is no image
    """
    copies = change_in_order(
        batch,
        baseline,
        ordering,
        attributions,
        others,
        reveal=True,
        steps=steps,
        **changing,
    )
    curves = read_blocks(batch.preference, copies)
    return curves.minimum(own_preference(batch)[:, None]) if cap else curves
