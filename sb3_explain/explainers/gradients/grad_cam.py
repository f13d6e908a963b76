"""Grad-CAM: where the channels of a convolution that speak for an action are active."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import find_image_layers
from sb3_explain.common.errors import unknown_name
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.attributions import grad_cam
from sb3_explain.explainers.requirements import needs_convolution
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES


@EXPLAINERS.register("grad_cam")
class GradCAM(Explainer):
    """ReLU(sum_k a_k A^k) of a layer, at least 0; Selvaraju et al. (2017), by Captum.

    One forward pass and one backward pass for each image. The map has the resolution of the layer
    (7 x 7 for the last convolution of NatureCNN on 84 x 84 cells), is resized bilinearly, and is
    the same in all frames. Vectors beside the image get 0.

    :param agent: with images that pass a convolution
    :param layer: name of a module of the policy, such as ``"features_extractor.cnn.2"``; the last
        convolution that each image passes when not given
    :param max_batch_bytes: see :class:`~sb3_explain.explainers.base.Explainer`
    :raises ExplainError: if no image passes a layer of this name
    """

    name = "grad_cam"
    unsupported = staticmethod(needs_convolution)

    def __init__(
        self, agent: Agent, *, layer: str | None = None, max_batch_bytes: int = MAX_BATCH_BYTES
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        #: by image key, the name of the layer
        self.layers = {name: on[-1] for name, on in find_image_layers(agent, nn.Conv2d).items()}
        if layer is not None:
            passed = find_image_layers(agent, nn.Module)
            if not any(layer in names for names in passed.values()):
                raise unknown_name("layer", layer, sorted(set().union(*passed.values())))
            self.layers |= {name: layer for name, names in passed.items() if layer in names}

    @property
    def forwards_per_state(self) -> int:
        return len(self.layers)

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        found = grad_cam(batch, self.layers)
        return {n: found.get(n, torch.zeros_like(observed)) for n, observed in batch.by_key.items()}
