"""VisionMask: a learned, contrastive mask per action (Zuo et al., IJCAI 2025)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.training import TrainingOptions
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned import losses as loss
from sb3_explain.explainers.learned.base import MaskExplainer, MaskSettings
from sb3_explain.explainers.learned.contrast_objective import ContrastObjective
from sb3_explain.explainers.learned.masking import Masks
from sb3_explain.explainers.learned.policy_objective import PolicyObjective, stack
from sb3_explain.explainers.learned.refinement import AT_ONCE, refine
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

OBJECTIVES: dict[str, Callable[[VisionMask], PolicyObjective | ContrastObjective]] = {
    "policy": PolicyObjective,
    "contrast": ContrastObjective,
}
#: number of patches along an image's shorter side
PATCHES = 12


@dataclasses.dataclass(frozen=True)
class VisionMaskSettings(MaskSettings):
    """Settings of a VisionMask.

    :param network: name of the mask network for images
    :param network_options: further arguments of the mask network, as plain data
    :param objective: what is learned: ``"policy"``, see
        :mod:`sb3_explain.explainers.learned.policy_objective`, or ``"contrast"``, the paper's
    :param patch_size: height and width in pixels of the patches in which masks of images vary, with
        linear transitions between their centers; 1 for every pixel by itself, a twelfth of the
        image's shorter side when not given
    :param per_frame: whether each frame of an image's stack has a mask of its own
    :param max_area: a_max, the share of the pixels or features that a mask may cover at no cost, in
        (0, 1]
    :param area: version of the area term: ``"hinge"``, ``"l1_paper"`` or ``"minmax"``, see
        :func:`sb3_explain.explainers.learned.losses.area`
    :param lambda_area: weight of the area term
    :param lambda_tv: weight of the total variation of images' masks; 0 turns it off
    :param sharpness: of the policy objective: share of the target itself in what a mask shall
        preserve, in [0, 1]; the rest is the agent's policy on the state
    :param lambda_lost: of the policy objective: weight of losing the target where the mask hides
    :param lambda_others: of the policy objective: weight of the masks of other targets
    :param refine_steps: of the policy objective: number of steps by which the network's masks are
        fitted to the very states that are explained; 0 for the network's own masks
    :param lambda_ne: of the paper's objective: weight of the negative entropy
    :param entropy_over_masks: of the paper's objective: whether the negative entropy is also taken
        over masks
    :param paper_scale: of the paper's objective: whether the contrastive term has the factor 1/K as
        printed, instead of 1/2
    """

    network: str = "compact"
    network_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    objective: str = "policy"
    patch_size: int | None = None
    per_frame: bool = False
    max_area: float = 0.1
    area: str = "hinge"
    lambda_area: float = 1.0
    lambda_tv: float = 0.0
    sharpness: float = 0.5
    lambda_lost: float = 1.0
    lambda_others: float = 0.5
    refine_steps: int = 40
    lambda_ne: float = 1.0
    entropy_over_masks: bool = True
    paper_scale: bool = False


@EXPLAINERS.register("visionmask")
class VisionMask(MaskExplainer):
    """One mask for each target, which a network learns to predict from the state.

    The default objective asks for the agent's policy on the state to be preserved, whatever share
    of the state is shown in the order of the mask. ``objective="contrast"`` is the paper's: a mask
    shall make the agent choose its target, and no other mask shall.

    Training costs one pass of the mask network for each state, and 8 forward passes of the agent
    (2C by the paper's objective, where C is the number of targets). Explaining a target costs one
    pass of the mask network, and 4 forward and backward passes of the agent for each of
    ``refine_steps``, by which the network's mask is fitted to the state itself; with
    ``refine_steps=0``, and by the paper's objective, it costs none of the agent.

    Each sub-action of MultiDiscrete and MultiBinary actions, and each dimension of Box actions, is
    a policy of its own.

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
    #: settings of the method as the paper has it: ``VisionMask(agent, **VisionMask.PAPER)``
    PAPER: ClassVar[Mapping[str, Any]] = {
        "objective": "contrast",
        "patch_size": 1,
        "per_frame": True,
    }
    settings: VisionMaskSettings

    def __init__(self, agent: Agent, *, seed: int = 0, **settings: Any) -> None:
        super().__init__(agent, seed=seed, **settings)
        if self.settings.area not in loss.AREA_TERMS:
            raise unknown_name("area term", self.settings.area, loss.AREA_TERMS)
        if self.settings.objective not in OBJECTIVES:
            raise unknown_name("objective", self.settings.objective, OBJECTIVES)
        if self.settings.patch_size is not None and self.settings.patch_size < 1:
            raise ExplainError(f"patch_size={self.settings.patch_size}: give at least 1 pixel")
        if self.settings.refine_steps < 0:
            raise ExplainError(f"refine_steps={self.settings.refine_steps}: give at least 0")
        if not 0 <= self.settings.sharpness <= 1:
            raise ExplainError(f"sharpness={self.settings.sharpness}: give a share in [0, 1]")
        if not 0 < self.settings.max_area <= 1:
            raise ExplainError(
                f"max_area={self.settings.max_area}: give a share of the features in (0, 1]"
            )

    def training_options(self, options: Mapping[str, Any]) -> TrainingOptions:
        if self.settings.objective == "policy":  # its steps are noisier than the paper's
            options = {"learning_rate": 2e-3, **options}
        return super().training_options(options)

    def build_network(self) -> nn.Module:
        return self.key_masks(self.settings.network, self.settings.network_options)

    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        objective = OBJECTIVES[self.settings.objective](self)
        return objective.losses(network, states, positions)

    def logits(self, network: nn.Module, batch: StateBatch) -> Masks:
        images = batch.images()
        return {
            name: self.in_patches(each) if name in images else each
            for name, each in super().logits(network, batch).items()
        }

    def explain(self, batch: StateBatch) -> Masks:
        if not self._refines:
            return super().explain(batch)
        self.require_fitted()
        parts = [refine(self, part) for part in batch.resolve_target().split(AT_ONCE)]
        return {name: torch.cat([part[name] for part in parts]) for name in batch.by_key}

    def explain_all(self, batch: StateBatch) -> Masks:
        if not self._refines:
            return super().explain_all(batch)
        targets = range(self.agent.n_targets)
        return stack([self.explain(batch.with_target(target)) for target in targets])

    @property
    def _refines(self) -> bool:
        return self.settings.objective == "policy" and self.settings.refine_steps > 0

    def in_patches(self, logits: Tensor) -> Tensor:
        """Let logits (B, M, F, H, W) of an image vary from patch to patch."""
        size = self.settings.patch_size or max(1, round(min(logits.shape[-2:]) / PATCHES))
        return average_patches(logits, size)

    def add_mask_terms(
        self, total: Tensor, terms: dict[str, Tensor], masks: Masks
    ) -> dict[str, Tensor]:
        """Add the terms of the masks (B, M, ...) themselves to what the agent's outcomes cost."""
        settings = self.settings
        areas = [
            loss.area(field, self.free_area(field), settings.area)
            for field in self.masking.crop(masks).values()
        ]
        terms["area"] = torch.stack(areas).mean()
        total = total + settings.lambda_area * terms["area"]
        if settings.lambda_tv:
            terms["total_variation"] = self.total_variation(masks)
            total = total + settings.lambda_tv * terms["total_variation"]
        return {"loss": total, **terms}

    def free_area(self, masks: Tensor) -> float:
        """Compute a_max for the masks (B, C, ...) of a key; one feature is always free of cost."""
        return max(self.settings.max_area, 1 / masks[0, 0].numel())


def average_patches(logits: Tensor, size: int) -> Tensor:
    """Average logits over patches, and connect the patches' centers linearly.

    :param logits: (B, M, F, H, W) logits of an image's masks
    :param size: height and width of a patch in pixels
    """
    if size == 1:
        return logits
    means = nn.functional.avg_pool2d(logits.flatten(0, 1), size, size, ceil_mode=True)
    smooth = nn.functional.interpolate(means, logits.shape[-2:], mode="bilinear")
    return smooth.view(logits.shape)
