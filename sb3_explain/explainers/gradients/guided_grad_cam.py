"""Guided Grad-CAM: guided backpropagation, weighted by Grad-CAM."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import find_image_layers
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.attributions import (
    compute_grad_cam,
    compute_guided_gradients,
    find_target_layers,
)
from sb3_explain.explainers.requirements import needs_convolution, needs_numbers, needs_relu
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES


@EXPLAINERS.register("guided_grad_cam")
class GuidedGradCAM(Explainer):
    """Grad-CAM of each image's last convolution, times guided backpropagation; signed.

    Selvaraju et al. (2017), section 3.3; both by Captum. It costs one forward pass and one backward
    pass, and another of each for every image. Keys that are no images get 0.

    >>> from sb3_explain import Agent, GuidedGradCAM
    >>> convolution = torch.nn.Conv2d(2, 4, 8, stride=4)
    >>> layers = torch.nn.Sequential(
    ...     convolution, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(100, 3)
    ... )
    >>> cnn = Agent.from_module(layers, image_agent.observation_space, image_agent.action_space)
    >>> GuidedGradCAM(cnn).attribute(image_states.observations([0])).shape
    torch.Size([1, 2, 24, 24])

    :param agent: agent with images that pass a convolution and ReLUs
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    """

    name = "guided_grad_cam"

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        return needs_numbers(agent) or needs_convolution(agent) or needs_relu(agent)

    def __init__(self, agent: Agent, *, max_batch_bytes: int = MAX_BATCH_BYTES) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        #: name of the layer for each image, by key
        self.layers = {name: on[-1] for name, on in find_image_layers(agent, nn.Conv2d).items()}

    @property
    def left_out(self) -> Collection[str]:
        return self.agent.layout.shapes.keys() - self.layers.keys()

    @property
    def forwards_per_state(self) -> int:
        return 1 + len(self.layers)

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        layers = self.layers if batch.scalar is None else find_target_layers(batch)
        where, detail = compute_grad_cam(batch, layers), compute_guided_gradients(batch)
        return {
            name: where[name] * detail[name] if name in where else torch.zeros_like(observed)
            for name, observed in batch.by_key.items()
        }
