"""Relevance mass: do attributions point at the objects of the game?"""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import are_images
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.states.batch import StateBatch


@METRICS.register("relevance_mass")
def relevance_mass(batch: StateBatch, attributions: Tensor, boxes: Tensor) -> Tensor:
    """Return the share of the attributions' mass in the boxes, over the boxes' share of the area.

    It is 1 for attributions that are the same everywhere, and above 1 if they prefer objects: the
    relevance mass accuracy of Arras et al. (2022), in units of that of a map without information.
    The mass is the sum of magnitudes.

    :param batch: B states with images of H x W pixels
    :param attributions: (B, ...)
    :param boxes: true where a pixel lies in a box: (B, H, W) of the newest frame, which alone is
        measured then; or (B, C, H, W) of all channels of the stack
    :return: (B,), at least 0; NaN for a state without boxes, or attributions of zeros
    :raises ExplainError: if no image of the observation has this size
    """
    fitting = [
        observed
        for observed in batch.split_keys(attributions.abs().double()).values()
        if observed.shape[1 if are_images(boxes) else 2 :] == boxes.shape[1:]
    ]
    if not fitting:
        raise ExplainError(
            f"boxes of shape {tuple(boxes.shape)} fit no image of the observation: give "
            "(n, height, width) in its pixels"
        )
    if boxes.dim() == 3:
        n_stack = batch.agent.n_stack
        fitting = [observed[:, -(observed.shape[1] // n_stack) :] for observed in fitting]
        boxes = boxes[:, None]
    mass = torch.stack([observed.sum(dim=(1, 2, 3)) for observed in fitting]).sum(dim=0)
    inside = torch.stack([(observed * boxes).sum(dim=(1, 2, 3)) for observed in fitting]).sum(dim=0)
    area = boxes.double().mean(dim=(1, 2, 3))
    return torch.where((mass > 0) & (area > 0), inside / mass / area, torch.nan)
