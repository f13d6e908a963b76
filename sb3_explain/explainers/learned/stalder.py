"""The Explainer of Stalder et al.: masks that preserve the action, and leave no trace of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned import losses as loss
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.explainers.learned.groups import find_groups
from sb3_explain.explainers.learned.masking import Masks
from sb3_explain.explainers.learned.settings import TargetSettings
from sb3_explain.explainers.requirements import needs_continuous, needs_probabilities
from sb3_explain.states.baselines import Replacement
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: weights of the mean area of the target's mask, and of the other targets' mask
TARGET_MEAN, OTHERS_MEAN = 0.1, 0.3


@dataclasses.dataclass(frozen=True)
class StalderSettings(TargetSettings):
    """Settings of a Stalder explainer.

    :param network: name of the mask network for images
    :param network_options: further arguments of the mask network, as plain data
    :param lambda_e: weight of the negative entropy of what the masks leave out
    :param lambda_a: weight of the bounds of the area
    :param lambda_tv: weight of the total variation of images' masks
    """

    baseline: str | Replacement = "mean"
    network: str = "compact"
    network_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    lambda_e: float = 1.0
    lambda_a: float = 1.0
    lambda_tv: float = 1.0


@EXPLAINERS.register("stalder")
class Stalder(MaskExplainer):
    """A mask for each target, of which only that of the greedy target is applied during training.

    Stalder et al., What You See is What You Classify: Black Box Attributions (NeurIPS 2022). The
    mask of the target shall preserve the action, and what it leaves out shall not reveal it; the
    maximum of the other targets' masks is only kept small and smooth.

    With ``target="value"``, or another quantity f, there is one mask m. In place of the class's
    probability, f shall be preserved where m shows the state, and lost where m hides it::

        log(1 + ((f(s m + r (1 - m)) - f(s)) / D)^2)
        log(1 + ((f(s (1 - m) + r m) - f(r)) / D)^2)

    with D = max(abs(f(s) - f(r)), spread of f over the training states). The other terms stay.

    For each state, training costs one pass of the mask network, and two passes of the agent for
    each sub-action; explaining costs one pass of the mask network.

    >>> from sb3_explain import Stalder
    >>> explainer = Stalder(agent)
    >>> training = explainer.fit(train, validation, epochs=1, progress=False)
    >>> explainer.attribute(test.observations([0, 1])).shape
    torch.Size([2, 4])

    :param agent: agent to explain, without Box actions
    :param seed: random seed of the network's initial weights
    :param settings: fields of :class:`StalderSettings`
    :raises ExplainError: for unknown or invalid settings, or an agent that is not supported
    """

    name = "stalder"
    Settings = StalderSettings
    settings: StalderSettings

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        return needs_probabilities(agent) or needs_continuous(agent)

    def build_network(self) -> nn.Module:
        return self.key_masks(self.settings.network, self.settings.network_options)

    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        settings = self.settings
        batch = self.batch(states, positions)
        if self.own_target is not None:
            return self._scalar_losses(network, batch)
        groups = find_groups(batch)
        masks = self.masks(network, batch)
        of_target = {n: select_target_masks(mask, groups) for n, mask in masks.items()}
        of_others = {n: select_other_masks(mask, groups) for n, mask in masks.items()}
        seen, left_out = self.read_outcomes(batch.target_scores, *self.blend(of_target, batch))
        cross_entropies, entropies = [], []
        for group, (own, target) in enumerate(groups):
            cross_entropies.append(nn.functional.cross_entropy(seen[:, group, own], target))
            entropies.append(
                loss.negative_entropy(left_out[:, group : group + 1, own], over_masks=False)
            )
        terms = {
            "cross_entropy": torch.stack(cross_entropies).mean(),
            "negative_entropy": torch.stack(entropies).mean(),
            "total_variation": self.total_variation(of_target) + self.total_variation(of_others),
            "bounds": self._mean_of(loss.area_bounds, of_target),
            "mean": TARGET_MEAN * self._mean_of(torch.mean, of_target)
            + OTHERS_MEAN * self._mean_of(torch.mean, of_others),
        }
        total = (
            terms["cross_entropy"]
            + settings.lambda_e * terms["negative_entropy"]
            + settings.lambda_tv * terms["total_variation"]
            + settings.lambda_a * terms["bounds"]
            + terms["mean"]
        )
        return {"loss": total, **terms}

    def _scalar_losses(self, network: nn.Module, batch: StateBatch) -> dict[str, Tensor]:
        """The losses of a quantity: its change takes the place of the class's probability."""
        settings = self.settings
        masks = self.masks(network, batch)
        outcomes = self.read_scalar_outcomes(batch)
        shown, hidden = ({n: x[:, 0] for n, x in each.items()} for each in self.blend(masks, batch))
        states = torch.arange(len(batch), device=batch.device)
        terms = {
            "preserved": outcomes.keep(outcomes.read(shown, states)).mean(),
            "lost": outcomes.lose(outcomes.read(hidden, states)).mean(),
            "total_variation": self.total_variation(masks),
            "bounds": self._mean_of(loss.area_bounds, masks),
            "mean": TARGET_MEAN * self._mean_of(torch.mean, masks),
        }
        total = (
            terms["preserved"]
            + settings.lambda_e * terms["lost"]
            + settings.lambda_tv * terms["total_variation"]
            + settings.lambda_a * terms["bounds"]
            + terms["mean"]
        )
        return {"loss": total, **terms}

    def _mean_of(self, term: Callable[[Tensor], Tensor], masks: Masks) -> Tensor:
        """Mean of a term over the keys' masks (B, G, ...)."""
        return torch.stack([term(field) for field in self.masking.crop(masks).values()]).mean()


def select_target_masks(masks: Tensor, groups: list[tuple[slice, Tensor]]) -> Tensor:
    """Select the masks m of the greedy targets.

    :param masks: (B, C, ...) masks of all targets
    :param groups: slice of targets and (B,) greedy target of each of G sub-actions
    :return: (B, G, ...) mask of the greedy target of each sub-action
    """
    states = torch.arange(len(masks), device=masks.device)
    return torch.stack([masks[states, own.start + target] for own, target in groups], dim=1)


def select_other_masks(masks: Tensor, groups: list[tuple[slice, Tensor]]) -> Tensor:
    """Merge the masks of the other targets to masks n, by their maximum.

    :param masks: (B, C, ...) masks of all targets
    :param groups: slice of targets and (B,) greedy target of each of G sub-actions
    :return: (B, G, ...) maximum of the masks of each sub-action's other targets
    """
    greatest = []
    for own, target in groups:
        is_target = nn.functional.one_hot(target, own.stop - own.start).bool()
        is_target = is_target.reshape(*is_target.shape, *[1] * (masks.dim() - 2))
        greatest.append(masks[:, own].masked_fill(is_target, 0).amax(dim=1))
    return torch.stack(greatest, dim=1)
