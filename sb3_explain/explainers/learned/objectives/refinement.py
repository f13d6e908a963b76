"""Masks that a network predicts, fitted to the very states that are explained.

A network that has learned masks from some states errs on others. A few steps down the objective
that it was trained by, for each state alone, correct that (semi-amortized inference, Kim et al.,
ICML 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sb3_explain.explainers.learned.masking import Masks
from sb3_explain.explainers.learned.objectives.patch_masks import PatchMaskExplainer
from sb3_explain.explainers.learned.objectives.policy import PolicyObjective
from sb3_explain.explainers.learned.outcomes import Outcomes
from sb3_explain.states.batch import StateBatch

#: learning rate of the logits, by Adam
LEARNING_RATE = 2.0
#: number of states that are refined at once
AT_ONCE = 32
#: copies of a state in each step: what two masks show, and what they hide
COPIES = 4
#: multiples of the golden ratio spread evenly over [0, 1), wherever they end
GOLDEN = 0.6180339887


def refine(
    explainer: PatchMaskExplainer, batch: StateBatch, targets: Sequence[Tensor] = ()
) -> list[Masks]:
    """Compute masks (B, ...) by key of each of several targets, for each state by itself.

    :param explainer: a fitted explainer
    :param batch: B states
    :param targets: (B,) targets, one after the other; the batch's own without
    """
    # what was made in inference mode can be no part of a backward pass, and clones can
    with torch.inference_mode(False), torch.enable_grad():
        batch = batch.with_observations(batch.observations.clone())
        batch.target = batch.target.clone()
        batch.policy_inputs = {name: held.clone() for name, held in batch.policy_inputs.items()}
        objective = PolicyObjective(explainer)
        with torch.no_grad():
            logits = explainer.logits(explainer.network, batch)
            if batch.scalar is None:
                _ = batch.own_scores  # read once, whatever the number of targets
        outcomes_of = objective.read_outcomes(batch)
        asked = [batch.with_target(each.clone()) for each in targets] or [batch]
        return [_refine(objective, outcomes_of(each), logits) for each in asked]


def _refine(objective: PolicyObjective, outcomes: Outcomes, logits: Masks) -> Masks:
    """Refine masks (B, ...) of the states' targets, from the logits of the masks of all targets."""
    explainer, batch = objective.explainer, outcomes.batch
    change = {name: torch.zeros_like(each[:, 0]).requires_grad_() for name, each in logits.items()}
    start = objective.select(logits, batch, batch.target)
    optimizer = torch.optim.Adam(list(change.values()), lr=LEARNING_RATE)
    for step in range(explainer.settings.refine_steps):
        drawn = torch.full((len(batch),), step * GOLDEN % 1.0)
        by_region = torch.full((len(batch),), step % 2 == 1)
        changed = _add(explainer, start, change, batch)
        optimizer.zero_grad()
        # a sum over states: each goes its own way, whichever others are there
        total = objective.target_loss(outcomes, changed, drawn, by_region)["loss"].sum()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        refined = _add(explainer, start, change, batch)
        masks = {
            name: each.sigmoid()[:, None] if name in logits else torch.zeros_like(each[:, None])
            for name, each in refined.items()
        }
        return {name: each[:, 0] for name, each in explainer.masking.restrict(masks).items()}


def _add(explainer: PatchMaskExplainer, start: Masks, change: Masks, batch: StateBatch) -> Masks:
    """Logits (B, ...) by key, changed; the change of an image varies from patch to patch."""
    changed = dict(start)
    for name, each in change.items():
        added: Tensor = each
        if name in batch.images():
            patches = explainer.in_patches(each[:, None])[:, 0]
            added = explainer.masking.expand_channels(name, patches)
        changed[name] = start[name] + added
    return changed
