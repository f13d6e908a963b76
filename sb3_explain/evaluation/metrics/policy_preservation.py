"""Policy preservation: how far is the agent's policy on what a map shows from that on the state?"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from sb3_explain.common.attributions import highest
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.changing import Changing, change_in_order
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.blends import blend_states
from sb3_explain.states.forward_passes import read_blocks


@METRICS.register("policy_preservation")
def policy_preservation(
    batch: StateBatch,
    baseline: Tensor,
    ordering: Tensor,
    attributions: Tensor | None = None,
    others: OtherStates | None = None,
    *,
    steps: int = 100,
    **changing: Unpack[Changing],
) -> Tensor:
    """Return KL(pi(s) || pi(s')) while features of s' are revealed on the baseline.

    The copies are those of insertion, whose options these are. Low is good: unlike the probability
    of one action, it is not better if the agent becomes surer than on the state.

    :param batch: B states s
    :param baseline: (B, ...) what a feature is before it is revealed
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param attributions: (B, ...) the attributions themselves, for superpixels
    :param others: the other states, for ``perturb_baseline``
    :param steps: number of steps, n
    :param changing: further options of :func:`sb3_explain.evaluation.changing.change_in_order`
    :return: (B, n + 1) in nats, at least 0
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
    return read_blocks(batch.divergence, copies)


@METRICS.register("policy_preservation@0.1")
def policy_preservation_at(
    batch: StateBatch, ordering: Tensor, baseline: Tensor, *, share: float = 0.1
) -> Tensor:
    """Return KL(pi(s) || pi(s')), where s' shows the highest features on the baseline alone.

    :param batch: B states s of N features each
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param baseline: (B, ...) what the others become
    :param share: s' shows round(share * N) features, at least one unless the share is 0
    :return: (B,) in nats, at least 0
    :raises ExplainError: for a share outside [0, 1]
    """
    if not 0 <= share <= 1:
        raise ExplainError(f"share={share}: give a share of the features in [0, 1]")
    masks = highest(ordering, share).view(batch.observations.shape)
    with torch.no_grad():
        return batch.divergence(blend_states(batch, masks, baseline))
