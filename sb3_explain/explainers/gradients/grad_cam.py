"""Grad-CAM: where the channels of a convolution that support an action are active."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import find_image_layers, find_outputs
from sb3_explain.common.errors import unknown_name
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.attributions import compute_grad_cam, find_target_layers
from sb3_explain.explainers.requirements import needs_convolution
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES


@EXPLAINERS.register("grad_cam")
class GradCAM(Explainer):
    """ReLU(sum_k a_k A^k) of a layer, at least 0; Selvaraju et al. (2017), by Captum.

    It costs one forward pass and one backward pass for each image. The attributions have the
    resolution of the layer (7 x 7 for the last convolution of NatureCNN on 84 x 84 pixels), are
    resized bilinearly, and are the same in all frames. Keys that are no images get 0.

    >>> from sb3_explain import Agent, GradCAM
    >>> layers = torch.nn.Sequential(
    ...     torch.nn.Conv2d(2, 4, 8, stride=4), torch.nn.Flatten(), torch.nn.Linear(100, 3)
    ... )
    >>> cnn = Agent.from_module(layers, image_agent.observation_space, image_agent.action_space)
    >>> GradCAM(cnn).attribute(image_states.observations([0])).shape
    torch.Size([1, 2, 24, 24])

    :param agent: agent with images that pass a convolution
    :param layer: name of a module of the policy, such as ``"features_extractor.cnn.2"``; the last
        convolution that each image passes when not given
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    :raises ExplainError: if no image passes a layer of this name
    """

    name = "grad_cam"
    unsupported = staticmethod(needs_convolution)

    def __init__(
        self, agent: Agent, *, layer: str | None = None, max_batch_bytes: int = MAX_BATCH_BYTES
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        #: name of the layer for each image, by key
        self.layers = {name: on[-1] for name, on in find_image_layers(agent, nn.Conv2d).items()}
        self.named = layer is not None
        if layer is not None:
            passed = find_image_layers(agent, nn.Module)
            if not any(layer in names for names in passed.values()):
                raise unknown_name("layer", layer, sorted(set().union(*passed.values())))
            self.layers |= {name: layer for name, names in passed.items() if layer in names}

    @property
    def left_out(self) -> Collection[str]:
        return self.agent.layout.shapes.keys() - self.layers.keys()

    @property
    def flat_keys(self) -> list[str]:
        """Keys of the images whose map is the same everywhere: their layer has one position."""
        outputs = {
            key: find_outputs(self.agent, key, nn.Module)[name] for key, name in self.layers.items()
        }
        return [key for key, output in outputs.items() if output[0, 0].numel() == 1]

    @property
    def remark(self) -> str:
        if not self.flat_keys:
            return ""
        which = f" of {', '.join(self.flat_keys)}" if self.flat_keys[0] else ""
        return f"The map{which} by Grad-CAM is the same everywhere: the layer has 1 x 1 positions."

    @property
    def forwards_per_state(self) -> int:
        return len(self.layers)

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        # the layer that is named counts for any target
        own = batch.scalar is not None and not self.named
        found = compute_grad_cam(batch, find_target_layers(batch) if own else self.layers)
        return {n: found.get(n, torch.zeros_like(observed)) for n, observed in batch.by_key.items()}
