"""Guided Grad-CAM: the detail of guided backpropagation where Grad-CAM looks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import find_image_layers
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.attributions import grad_cam, guided_gradients
from sb3_explain.explainers.requirements import needs_convolution, needs_numbers, needs_relu
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES


@EXPLAINERS.register("guided_grad_cam")
class GuidedGradCAM(Explainer):
    """Grad-CAM of each image's last convolution, times guided backpropagation; signed.

    Selvaraju et al. (2017), section 3.3; both by Captum. One forward pass and one backward pass,
    and one of each for every image. Vectors beside the image get 0.

    :param agent: with images that pass a convolution and ReLUs
    :param max_batch_bytes: see :class:`~sb3_explain.explainers.base.Explainer`
    """

    name = "guided_grad_cam"

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        return needs_numbers(agent) or needs_convolution(agent) or needs_relu(agent)

    def __init__(self, agent: Agent, *, max_batch_bytes: int = MAX_BATCH_BYTES) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        #: by image key, the name of the layer
        self.layers = {name: on[-1] for name, on in find_image_layers(agent, nn.Conv2d).items()}

    @property
    def forwards_per_state(self) -> int:
        return 1 + len(self.layers)

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        where, detail = grad_cam(batch, self.layers), guided_gradients(batch)
        return {
            name: where[name] * detail[name] if name in where else torch.zeros_like(observed)
            for name, observed in batch.by_key.items()
        }
