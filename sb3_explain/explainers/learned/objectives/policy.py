"""VisionMask's own objective: the policy is preserved by whatever share of a state is shown.

The paper's objective (:mod:`sb3_explain.explainers.learned.objectives.contrast`) asks for a mask
that makes the agent choose its action. A mask that does so on any state is a good answer to it, and
no explanation of one state. Here the policy of *this* state is asked for, and the order of the
features is trained along the curves on which explanations are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.explainers.learned.masking import Masks
from sb3_explain.explainers.learned.objectives.draws import draw_numbers, pick_others, pick_targets
from sb3_explain.explainers.learned.objectives.outcomes import BoxOutcomes, PolicyOutcomes
from sb3_explain.explainers.learned.objectives.patch_masks import PatchMaskExplainer, patch_length
from sb3_explain.explainers.learned.outcomes import Outcomes
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: number of patches along an image's shorter side in which pixels are shown by regions
REGIONS = 12
#: shares of a state are drawn as the square of uniform numbers: small ones matter most
POWER = 2
#: logit of what is never hidden
NEVER = -1e4


class PolicyObjective:
    """The loss of masks that preserve the policy.

    :param explainer: whose masks are trained
    """

    def __init__(self, explainer: PatchMaskExplainer) -> None:
        self.explainer = explainer

    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        drawn = draw_numbers(positions, 6)
        batch = pick_targets(self.explainer.batch(states, positions), drawn[0])
        others = pick_others(batch, drawn[1])
        logits = self.explainer.logits(network, batch)
        outcomes_of = self.read_outcomes(batch)
        terms = self._batch_terms(outcomes_of(batch), logits, drawn[2], drawn[4])
        if others is not None:
            outcomes = outcomes_of(batch.with_target(others))
            of_others = self._batch_terms(outcomes, logits, drawn[3], drawn[5])
            terms["loss"] = (
                terms["loss"] + self.explainer.settings.lambda_others * of_others["loss"]
            )
            terms["others"] = of_others["loss"]
        return terms

    def _batch_terms(
        self, outcomes: Outcomes, logits: Masks, drawn: Tensor, split: Tensor
    ) -> dict[str, Tensor]:
        """Mean terms () of the states' targets, from the logits of all targets."""
        own = self.select(logits, outcomes.batch, outcomes.batch.target)
        return {k: v.mean() for k, v in self.target_loss(outcomes, own, drawn, split < 0.5).items()}

    def read_outcomes(self, batch: StateBatch) -> Callable[[StateBatch], Outcomes]:
        """Read what the agent does where everything is hidden, once for all targets.

        :param batch: B states
        :return: function of the states with any of their targets that returns what the agent does
            on them
        """
        settings = self.explainer.settings
        if batch.scalar is not None:
            return self.explainer.read_scalar_outcomes
        if isinstance(batch.agent.action_space, spaces.Box):
            return BoxOutcomes
        with torch.no_grad():
            blind = batch.target_scores(self.explainer.hide_all(batch))
        return lambda asked: PolicyOutcomes(asked, settings.temperature, settings.sharpness, blind)

    @cached_property
    def _inside(self) -> Masks:
        """1 where a feature may be hidden, else 0: (1, ...) by key."""
        device = self.explainer.agent.device
        everything = {
            name: torch.ones(1, 1, *shape, device=device)
            for name, shape in self.explainer.shapes.items()
        }
        return {name: x[:, 0] for name, x in self.explainer.masking.restrict(everything).items()}

    def target_loss(
        self, outcomes: Outcomes, logits: Masks, drawn: Tensor, by_region: Tensor
    ) -> dict[str, Tensor]:
        """Compute the terms (B,) of the masks of B states' targets.

        :param outcomes: what the policy does on the states
        :param logits: (B, ...) logits of the targets' masks by key, in the observation's shape
        :param drawn: (B,) uniform numbers that say what share of the states is shown in order
        :param by_region: (B,) whether a pixel is then shown with the patch around it
        """
        settings, batch = self.explainer.settings, outcomes.batch
        mask = {name: each.sigmoid() for name, each in logits.items()}
        copies = stack([mask, self._reveal(logits, batch, drawn, by_region)])
        shown, hidden = self.explainer.blend(copies, batch)
        rows = {n: torch.cat([each, hidden[n]], dim=1).flatten(0, 1) for n, each in shown.items()}
        states = torch.arange(len(batch), device=batch.device).repeat_interleave(4)
        read = outcomes.read(rows, states).float().view(len(batch), 4, -1).unbind(dim=1)
        terms = {
            "preserved": outcomes.keep(read[0]) + outcomes.keep(read[1]),
            "lost": outcomes.lose(read[2]) + outcomes.lose(read[3]),
        }
        total = terms["preserved"] + settings.lambda_lost * terms["lost"]
        return self.explainer.add_mask_terms(
            total, terms, {n: each[:, None] for n, each in mask.items()}
        )

    def select(self, logits: Masks, batch: StateBatch, targets: Tensor) -> Masks:
        """Select the logits (B, ...) of targets (B,) in the shape of the observation, by key."""
        states = torch.arange(len(batch), device=batch.device)
        return {
            name: self.explainer.masking.expand_channels(
                name, logits[name][states, targets].float()
            )
            if name in logits
            else torch.zeros_like(observed)
            for name, observed in batch.by_key.items()
        }

    def _reveal(self, logits: Masks, batch: StateBatch, drawn: Tensor, by_region: Tensor) -> Masks:
        """Masks (B, ...) by key that show a drawn share of all features."""
        inside = self._inside
        by_region = by_region.to(batch.device)
        ordered = {}
        for name, each in logits.items():
            each = each.masked_fill(inside[name] == 0, NEVER)
            spread = dilate(each) if name in batch.images() else each
            ordered[name] = torch.where(expand(by_region, each), spread, each)
        joined = batch.flatten_keys(ordered)
        counted = batch.flatten_keys(inside).flatten().bool()
        masks = reveal(joined.flatten(1), counted, drawn)
        return batch.split_keys(masks.view(joined.shape))


def reveal(logits: Tensor, inside: Tensor, drawn: Tensor) -> Tensor:
    """Make masks that are 1 on a share of the features with the highest logits, else 0.

    In the backward pass a mask is a sigmoid of the distance from the logit at which it ends.

    :param logits: (B, N) logits of all features
    :param inside: (N,) which features may be hidden; the others are not counted
    :param drawn: (B,) uniform numbers, whose power :data:`POWER` is the share
    :return: (B, N) masks
    """
    n_inside = int(inside.sum())
    if n_inside < 2:  # a single feature has no order
        return logits.sigmoid()
    logits = logits.masked_fill(~inside, -torch.inf)
    ordered = logits.detach().sort(dim=1, descending=True).values
    count = (drawn.to(logits.device) ** POWER * n_inside).long().clamp(1, n_inside - 1)[:, None]
    threshold = (ordered.gather(1, count - 1) + ordered.gather(1, count)) / 2
    soft = (logits - threshold).sigmoid()
    return (logits > threshold).to(soft) + soft - soft.detach()


def dilate(logits: Tensor) -> Tensor:
    """Give each pixel the highest logit of the patch around it, in images (B, C, H, W)."""
    size = patch_length(logits, REGIONS) // 2 * 2 + 1
    return nn.functional.max_pool2d(logits, size, stride=1, padding=size // 2)


def expand(numbers: Tensor, like: Tensor) -> Tensor:
    """View (B,) numbers in as many axes as a tensor (B, ...)."""
    return numbers.view(-1, *[1] * (like.dim() - 1))


def stack(copies: Sequence[Masks]) -> Masks:
    """Stack masks (B, ...) to (B, M, ...), by key."""
    return {name: torch.stack([each[name] for each in copies], dim=1) for name in copies[0]}
