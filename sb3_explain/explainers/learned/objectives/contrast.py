"""VisionMask's objective as Zuo et al. (IJCAI 2025) have it: eq. 2 to 4 of the paper."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.explainers.learned import losses as loss
from sb3_explain.explainers.learned.groups import find_groups
from sb3_explain.explainers.learned.objectives.outcomes import BoxOutcomes
from sb3_explain.explainers.learned.objectives.patch_masks import PatchMaskExplainer
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset


class ContrastObjective:
    """The loss of masks of which each makes the agent choose its target, and no other's.

    :param explainer: whose masks are trained
    """

    def __init__(self, explainer: PatchMaskExplainer) -> None:
        self.explainer = explainer

    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        settings = self.explainer.settings
        batch = self.explainer.batch(states, positions)
        masks = self.explainer.masks(network, batch)
        box = isinstance(self.explainer.agent.action_space, spaces.Box)
        read = BoxOutcomes(batch).read if box else batch.target_scores
        preserved, complements = self.explainer.read_outcomes(
            read, *self.explainer.blend(masks, batch)
        )
        terms = (self._box_terms if box else self._group_terms)(batch, preserved, complements)
        total = terms["contrastive"] + settings.lambda_ne * terms["negative_entropy"]
        return self.explainer.add_mask_terms(total, terms, masks)

    def _box_terms(
        self, batch: StateBatch, similarity: Tensor, complement_similarity: Tensor
    ) -> dict[str, Tensor]:
        """Eq. 2 to 4 with similarities in place of scores."""
        over_masks = self.explainer.settings.entropy_over_masks
        return {
            "contrastive": loss.contrastive_box(similarity, complement_similarity),
            "negative_entropy": loss.negative_entropy(complement_similarity, over_masks=over_masks),
        }

    def _group_terms(
        self, batch: StateBatch, scores: Tensor, complement_scores: Tensor
    ) -> dict[str, Tensor]:
        """Mean over the sub-actions of eq. 2 to 4, each within its own masks and targets."""
        settings = self.explainer.settings
        contrastive, entropies = [], []
        for own, target in find_groups(batch):
            scale = 2 / (own.stop - own.start) if settings.paper_scale else 1.0
            contrastive.append(loss.contrastive(scores[:, own, own], target) * scale)
            complements = complement_scores[:, own, own]
            entropies.append(
                loss.negative_entropy(complements, over_masks=settings.entropy_over_masks)
            )
        return {
            "contrastive": torch.stack(contrastive).mean(),
            "negative_entropy": torch.stack(entropies).mean(),
        }
