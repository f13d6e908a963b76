"""VisionMask's settings and masks, which vary from patch to patch and whose area is limited."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from sb3_explain.explainers.learned import losses as loss
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.explainers.learned.masking import Masks
from sb3_explain.explainers.learned.settings import TargetSettings
from sb3_explain.states.batch import StateBatch

#: number of patches along an image's shorter side
PATCHES = 17


@dataclasses.dataclass(frozen=True)
class VisionMaskSettings(TargetSettings):
    """Settings of a VisionMask.

    With ``target`` there are no other targets and nothing to be surer of, so that ``sharpness`` and
    ``lambda_others`` have no effect, and neither has ``temperature``.

    :param network: name of the mask network for images
    :param network_options: further arguments of the mask network, as plain data
    :param objective: what is learned: ``"policy"``, see
        :mod:`sb3_explain.explainers.learned.objectives.policy`, or ``"contrast"``, the paper's
    :param patch_size: height and width in pixels of the patches in which masks of images vary, with
        linear transitions between their centers; 1 for every pixel by itself, a seventeenth
        of the image's shorter side when not given
    :param per_frame: whether each frame of an image's stack has a mask of its own
    :param max_area: a_max, the share of the pixels or features that a mask may cover at no cost, in
        (0, 1]
    :param area: version of the area term: ``"hinge"``, ``"l1_paper"`` or ``"minmax"``, see
        :func:`sb3_explain.explainers.learned.losses.area`
    :param lambda_area: weight of the area term
    :param lambda_tv: weight of the total variation of images' masks; 0 turns it off
    :param sharpness: of the policy objective: how much surer of the target than the agent's policy
        what a mask shall preserve is: by a divergence that is this share, in [0, 1], of the
        divergence where all is hidden; 0 for the policy itself
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
    sharpness: float = 0.2
    lambda_lost: float = 1.0
    lambda_others: float = 0.5
    refine_steps: int = 20
    lambda_ne: float = 1.0
    entropy_over_masks: bool = True
    paper_scale: bool = False


class PatchMaskExplainer(MaskExplainer):
    """Masks of images that vary from patch to patch, and the terms of a loss that only they have.

    :param agent: agent to explain
    :param seed: random seed of the network's initial weights
    :param settings: fields of :class:`VisionMaskSettings`
    """

    settings: VisionMaskSettings

    def logits(self, network: nn.Module, batch: StateBatch) -> Masks:
        images = batch.images()
        return {
            name: self.in_patches(each) if name in images else each
            for name, each in super().logits(network, batch).items()
        }

    def in_patches(self, logits: Tensor) -> Tensor:
        """Let logits (B, M, F, H, W) of an image vary from patch to patch."""
        size = self.settings.patch_size or patch_length(logits, PATCHES)
        # means in full precision, whatever the network's: half of it cannot order nearly equal ones
        return average_patches(logits.float(), size)

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


def patch_length(images: Tensor, count: int) -> int:
    """Compute the length in pixels of so many patches along images' (..., H, W) shorter side."""
    return max(1, round(min(images.shape[-2:]) / count))


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
