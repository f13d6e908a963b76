"""VisionMask: a learned, contrastive mask per action (Zuo et al., IJCAI 2025)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain import losses as loss
from sb3_explain.agent import Agent
from sb3_explain.batch import StateBatch
from sb3_explain.decisions import greedy_choices, group_sizes
from sb3_explain.errors import ExplainError, unknown_name
from sb3_explain.explainers.learned import LearnedExplainer, Masks, MaskSettings
from sb3_explain.policy_views import Observations
from sb3_explain.registry import EXPLAINERS
from sb3_explain.states import StateDataset


@dataclasses.dataclass(frozen=True)
class VisionMaskSettings(MaskSettings):
    """What a VisionMask is, apart from its weights.

    :param max_area: a_max, share of the cells that a mask may cover without cost
    :param area: ``"hinge"``, ``"l1_paper"`` or ``"minmax"``
    :param lambda_ne: weight of the negative entropy
    :param lambda_area: weight of the area term
    :param lambda_tv: weight of the total variation of images' masks, off by default
    :param temperature: scores are divided by it before every softmax of the loss; 1 in the paper.
        Below 1 for an agent whose best actions are nearly equally probable, or for Q-values of a
        small range: the loss then sees the margin that decides
    :param entropy_over_masks: the second entropy term of practice
    :param paper_scale: 1/K instead of 1/2 before the contrastive term, as printed
    """

    max_area: float = 0.1
    area: str = "hinge"
    lambda_ne: float = 1.0
    lambda_area: float = 1.0
    lambda_tv: float = 0.0
    temperature: float = 1.0
    entropy_over_masks: bool = True
    paper_scale: bool = False


@EXPLAINERS.register("visionmask")
class VisionMask(LearnedExplainer):
    """One mask for each choice, learned by contrast with the others, in one pass of a network.

    Training costs one pass of the mask network and 2C passes of the agent a state; explaining costs
    one pass of the mask network and none of the agent for the maps of all C choices.

    Sub-actions of MultiDiscrete and MultiBinary actions are contrasted within themselves. For Box
    actions see :func:`sb3_explain.losses.contrastive_box`.

    :param agent: to explain
    :param seed: of the network's initial weights
    :param settings: fields of :class:`VisionMaskSettings`
    """

    name = "visionmask"
    Settings = VisionMaskSettings
    settings: VisionMaskSettings

    def __init__(self, agent: Agent, *, seed: int = 0, **settings: Any) -> None:
        super().__init__(agent, seed=seed, **settings)
        if self.settings.area not in loss.AREA_TERMS:
            raise unknown_name("area term", self.settings.area, loss.AREA_TERMS)
        if not self.settings.temperature > 0 or not 0 < self.settings.max_area <= 1:
            raise ExplainError(
                f"temperature={self.settings.temperature}, max_area={self.settings.max_area}: the "
                "temperature must be above 0, the area a share of the cells"
            )

    @property
    def n_masks(self) -> int:
        return self.agent.n_choices

    # --- explaining ------------------------------------------------------------------------

    def action_maps(self, observations: Observations, *, context: Any = None) -> Any:
        self.require_fitted()
        batch = StateBatch(self.agent, observations, context=context)
        with torch.no_grad():
            masks = self.hidden(self.masks(self.network, batch.entries))
        return batch.structured(masks)

    def explain(self, batch: StateBatch) -> Masks:
        self.require_fitted()
        with torch.no_grad():
            masks = self.hidden(self.masks(self.network, batch.entries))
        states = torch.arange(len(batch), device=batch.device)
        return {name: mask[states, batch.target] for name, mask in masks.items()}

    # --- learning --------------------------------------------------------------------------

    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        settings = self.settings
        batch = self.batch(states, positions)
        masks = self.masks(network, batch.entries)
        preserved, complements = self._outcomes(batch, *self.blends(masks, batch.entries))
        terms = {"contrastive": torch.zeros(()), "negative_entropy": torch.zeros(())}
        if isinstance(self.agent.action_space, spaces.Box):
            terms["contrastive"] = loss.contrastive_box(preserved, complements)
            terms["negative_entropy"] = loss.negative_entropy(
                complements, over_masks=settings.entropy_over_masks
            )
        else:
            terms |= self._group_terms(batch, preserved, complements)
        fields = {name: self.playfield(name, mask) for name, mask in masks.items()}
        areas = [loss.area(f, settings.max_area, settings.area) for f in fields.values()]
        terms["area"] = torch.stack(areas).mean()
        total = (
            terms["contrastive"]
            + settings.lambda_ne * terms["negative_entropy"]
            + settings.lambda_area * terms["area"]
        )
        if settings.lambda_tv:
            images = [loss.total_variation(f) for f in fields.values() if f.dim() == 5]
            terms["total_variation"] = torch.stack(images).mean() if images else total.new_zeros(())
            total = total + settings.lambda_tv * terms["total_variation"]
        return {"loss": total, **terms}

    def _outcomes(
        self, batch: StateBatch, states_i: Masks, complements_i: Masks
    ) -> tuple[Tensor, Tensor]:
        """(B, C, C) twice: what the agent says of choice j where it sees through mask i."""
        copies = {
            name: torch.cat([states_i[name], complements_i[name]]).flatten(0, 1)
            for name in states_i
        }
        n_masks = self.n_masks
        rows = torch.arange(len(batch), device=batch.device).repeat_interleave(n_masks).repeat(2)
        box = isinstance(self.agent.action_space, spaces.Box)
        read = batch.similarity if box else batch.choices
        outcomes = read(copies, rows).float() / self.settings.temperature
        halves = outcomes.reshape(2, len(batch), n_masks, n_masks)
        return halves[0], halves[1]

    def _group_terms(
        self, batch: StateBatch, scores: Tensor, complement_scores: Tensor
    ) -> dict[str, Tensor]:
        """Mean over the sub-actions of eq. 2 to 4, each within its own masks and choices."""
        settings, space = self.settings, self.agent.action_space
        sizes = group_sizes(space)
        if len(sizes) == 1:
            targets = [batch.target]
        else:
            chosen = greedy_choices(space, batch.own_choices)
            targets = [part.long().argmax(dim=1) for part in torch.split(chosen, sizes, dim=1)]
        contrastive, entropies, first = [], [], 0
        for size, target in zip(sizes, targets, strict=True):
            own = slice(first, first + size)
            scale = 2 / size if settings.paper_scale else 1.0
            contrastive.append(loss.contrastive(scores[:, own, own], target) * scale)
            entropies.append(
                loss.negative_entropy(
                    complement_scores[:, own, own], over_masks=settings.entropy_over_masks
                )
            )
            first += size
        return {
            "contrastive": torch.stack(contrastive).mean(),
            "negative_entropy": torch.stack(entropies).mean(),
        }
