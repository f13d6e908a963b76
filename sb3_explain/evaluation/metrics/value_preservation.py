"""Value preservation: how far is the value on what a map shows from that on the state?"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.changing import Changing, change_in_order
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import read_blocks


@METRICS.register("value_preservation")
def value_preservation(
    batch: StateBatch,
    baseline: Tensor,
    ordering: Tensor,
    attributions: Tensor | None = None,
    others: OtherStates | None = None,
    *,
    steps: int = 100,
    **changing: Unpack[Changing],
) -> Tensor:
    """Return abs(f(s') - f(s)) while features of s' are revealed on the baseline.

    f is the value, or whatever other quantity is explained that is no action. The copies are those
    of insertion, whose options these are. Low is good.

    :param batch: B states s, whose target is the quantity f
    :param baseline: (B, ...) what a feature is before it is revealed
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param attributions: (B, ...) the attributions themselves, for superpixels
    :param others: the other states, for ``perturb_baseline``
    :param steps: number of steps, n
    :param changing: further options of :func:`sb3_explain.evaluation.changing.change_in_order`
    :return: (B, n + 1) in units of the quantity, at least 0
    :raises ExplainError: for actions, options out of range, and pixels where there is no image
    """
    if batch.scalar is None:
        raise ExplainError(
            "value_preservation asks by how much a quantity changes, and an action is explained: "
            "give target='value', or another metric such as policy_preservation"
        )
    own = batch.own_target_scores[:, 0]

    def read(rows: Tensor, states: Tensor) -> Tensor:
        return (batch.target_scores(rows, states)[:, 0] - own[states]).abs()

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
    return read_blocks(read, copies)
