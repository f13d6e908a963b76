"""VisionMask: a learned, contrastive mask per action (Zuo et al., IJCAI 2025)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned import losses as loss
from sb3_explain.explainers.learned.base import MaskExplainer, MaskSettings, Read
from sb3_explain.explainers.learned.masking import Masks
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset


@dataclasses.dataclass(frozen=True)
class VisionMaskSettings(MaskSettings):
    """Settings of a VisionMask.

    :param network: name of the mask network for images
    :param network_options: further arguments of the mask network, as plain data
    :param max_area: a_max, the share of the pixels or features that a mask may cover at no cost, in
        (0, 1]
    :param area: version of the area term: ``"hinge"``, ``"l1_paper"`` or ``"minmax"``, see
        :func:`sb3_explain.explainers.learned.losses.area`
    :param lambda_ne: weight of the negative entropy
    :param lambda_area: weight of the area term
    :param lambda_tv: weight of the total variation of images' masks; 0 turns it off
    :param entropy_over_masks: whether the negative entropy is also taken over masks
    :param paper_scale: whether the contrastive term has the factor 1/K as printed, instead of 1/2
    """

    network: str = "compact"
    network_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    max_area: float = 0.1
    area: str = "hinge"
    lambda_ne: float = 1.0
    lambda_area: float = 1.0
    lambda_tv: float = 0.0
    entropy_over_masks: bool = True
    paper_scale: bool = False


@EXPLAINERS.register("visionmask")
class VisionMask(MaskExplainer):
    """One mask for each target, learned by contrast with the masks of the others.

    For each state, training costs one pass of the mask network and 2C passes of the agent, where C
    is the number of targets; explaining all targets costs one pass of the mask network and none of
    the agent.

    Each sub-action of MultiDiscrete and MultiBinary actions is contrasted within itself. For Box
    actions see :func:`sb3_explain.explainers.learned.losses.contrastive_box`.

    >>> from sb3_explain import VisionMask
    >>> explainer = VisionMask(agent, max_area=0.25)
    >>> training = explainer.fit(train, validation, epochs=1, progress=False)
    >>> explainer.attribute_all(test.observations([0, 1])).shape  # 2 actions
    torch.Size([2, 2, 4])

    :param agent: agent to explain
    :param seed: random seed of the network's initial weights
    :param settings: fields of :class:`VisionMaskSettings`
    :raises ExplainError: for unknown or invalid settings, or an agent that is not supported
    """

    name = "visionmask"
    Settings = VisionMaskSettings
    settings: VisionMaskSettings

    def __init__(self, agent: Agent, *, seed: int = 0, **settings: Any) -> None:
        super().__init__(agent, seed=seed, **settings)
        if self.settings.area not in loss.AREA_TERMS:
            raise unknown_name("area term", self.settings.area, loss.AREA_TERMS)
        if not 0 < self.settings.max_area <= 1:
            raise ExplainError(
                f"max_area={self.settings.max_area}: give a share of the features in (0, 1]"
            )

    def build_network(self) -> nn.Module:
        return self.key_masks(self.settings.network, self.settings.network_options)

    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        settings = self.settings
        batch = self.batch(states, positions)
        masks = self.masks(network, batch)
        box = isinstance(self.agent.action_space, spaces.Box)
        read = self._similarity(batch) if box else batch.target_scores
        preserved, complements = self.read_outcomes(read, *self.blend(masks, batch))
        terms = (self._box_terms if box else self._group_terms)(batch, preserved, complements)
        areas = [
            loss.area(field, self.free_area(field), settings.area)
            for field in self.masking.crop(masks).values()
        ]
        terms["area"] = torch.stack(areas).mean()
        total = (
            terms["contrastive"]
            + settings.lambda_ne * terms["negative_entropy"]
            + settings.lambda_area * terms["area"]
        )
        if settings.lambda_tv:
            terms["total_variation"] = self.total_variation(masks)
            total = total + settings.lambda_tv * terms["total_variation"]
        return {"loss": total, **terms}

    def free_area(self, masks: Tensor) -> float:
        """Compute a_max for the masks (B, C, ...) of a key; one feature is always free of cost."""
        return max(self.settings.max_area, 1 / masks[0, 0].numel())

    def _similarity(self, batch: StateBatch) -> Read:
        def read(rows: Masks, states: Tensor) -> Tensor:
            # actions differ by less than bfloat16 tells apart
            with torch.autocast(self.agent.device.type, enabled=False):
                return batch.similarity(rows, states)

        return read

    def _box_terms(
        self, batch: StateBatch, similarity: Tensor, complement_similarity: Tensor
    ) -> dict[str, Tensor]:
        """Eq. 2 to 4 with similarities in place of scores."""
        over_masks = self.settings.entropy_over_masks
        return {
            "contrastive": loss.contrastive_box(similarity, complement_similarity),
            "negative_entropy": loss.negative_entropy(complement_similarity, over_masks=over_masks),
        }

    def _group_terms(
        self, batch: StateBatch, scores: Tensor, complement_scores: Tensor
    ) -> dict[str, Tensor]:
        """Mean over the sub-actions of eq. 2 to 4, each within its own masks and targets."""
        settings = self.settings
        contrastive, entropies = [], []
        for own, target in self.groups(batch):
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
