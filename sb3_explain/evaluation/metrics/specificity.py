"""Specificity: does a state's map do better on the state than another state's map does?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import torch
from torch import Tensor

from sb3_explain.common.attributions import order
from sb3_explain.evaluation.changing import Changing, change_in_order
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import read_blocks


@METRICS.register("specificity")
def specificity(
    batch: StateBatch,
    explainer: Explainer,
    baseline: Tensor,
    ordering: Tensor,
    others: OtherStates,
    attributions: Tensor | None = None,
    *,
    steps: int = 20,
    **changing: Unpack[Changing],
) -> Tensor:
    """Return insertion by the own map minus insertion by another state's map of the same target.

    It is 0 for maps that are the same for all states of a target, which no other metric tells from
    an explanation. High is good.

    :param batch: B states
    :param explainer: who explains the other states
    :param baseline: (B, ...) what a feature is before it is revealed
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param others: the other states
    :param attributions: (B, ...) the attributions themselves, for superpixels
    :param steps: number of steps of both curves, n
    :param changing: further options of :func:`sb3_explain.evaluation.changing.change_in_order`
    :return: (B,) differences of the area under the curve, in [-1, 1]
    :raises ExplainError: if there is no other state
    """
    own, swapped = _read_both(
        batch.preference,
        batch,
        explainer,
        baseline,
        (ordering, attributions),
        others,
        steps,
        changing,
    )
    return torch.trapezoid(own - swapped, dx=1 / steps, dim=1)


@METRICS.register("policy_specificity")
def policy_specificity(
    batch: StateBatch,
    explainer: Explainer,
    baseline: Tensor,
    ordering: Tensor,
    others: OtherStates,
    attributions: Tensor | None = None,
    *,
    steps: int = 20,
    **changing: Unpack[Changing],
) -> Tensor:
    """Return by how much another state's map is farther from the policy than the own map.

    It is the policy preservation of the swapped map minus that of the own one, so that high is good
    as in :func:`specificity`, whose parameters these are.

    :return: (B,) differences of the area under the curve, in nats
    :raises ExplainError: if there is no other state
    """
    own, swapped = _read_both(
        batch.divergence,
        batch,
        explainer,
        baseline,
        (ordering, attributions),
        others,
        steps,
        changing,
    )
    return torch.trapezoid(swapped - own, dx=1 / steps, dim=1)


def _read_both(
    read: Callable[[Tensor, Tensor], Tensor],
    batch: StateBatch,
    explainer: Explainer,
    baseline: Tensor,
    own: tuple[Tensor, Tensor | None],
    others: OtherStates,
    steps: int,
    changing: Changing,
) -> tuple[Tensor, Tensor]:
    """(B, n + 1) what ``read`` finds on the curves of the own map and of the swapped one."""
    theirs = batch.flatten_keys(others.explain_swapped(explainer, batch)).to(batch.device)
    own_curve, swapped_curve = (
        read_blocks(
            read,
            change_in_order(batch, baseline, *each, others, reveal=True, steps=steps, **changing),
        )
        for each in (own, (order(batch.get_relevance(theirs)), theirs))
    )
    return own_curve, swapped_curve
