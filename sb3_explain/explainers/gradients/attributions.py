"""What the gradient methods share: an agent in the form that Captum calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sb3_explain.agents.activations import widen
from sb3_explain.agents.layers import find_image_layers
from sb3_explain.agents.relus import WatchReLUs
from sb3_explain.agents.targets.outputs import Outputs
from sb3_explain.common.attributions import resize
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.requirements import find_alternative
from sb3_explain.states.batch import StateBatch


class TargetScores(nn.Module):
    """The scores of an agent's targets as a function of observations, in the form of Captum.

    It is called with the observations (R, ...) under each key of ``names`` and the index (R,) of
    the state that each row is a copy of.

    :param batch: the states; what stands under other keys stays the same
    :param names: keys whose observations are arguments, in order
    """

    def __init__(self, batch: StateBatch, names: tuple[str, ...]) -> None:
        super().__init__()
        self.policy = batch.agent.view.policy  # where Captum looks for modules
        self.batch = batch
        self.names = names

    def forward(self, *arguments: Tensor) -> Tensor:
        *by_key, states = arguments
        scores = self.batch.target_scores(dict(zip(self.names, by_key, strict=True)), states)
        scalar = self.batch.scalar
        if scalar is not None and not scores.requires_grad and torch.is_grad_enabled():
            instead = find_alternative(self.batch.agent, gradients=False)
            raise ExplainError(
                f"{scalar.name} has no gradient with respect to the observation: explain it by a "
                f"method that perturbs, such as {instead}"
            )
        # makes the derivative by a key that the agent ignores 0; autograd would raise an error
        return scores + sum(0 * observed.sum() for observed in by_key)


def find_whole_keys(parts: Mapping[str, Tensor]) -> list[str]:
    """Find the keys of an observation all of whose features are of a kind.

    :param parts: (...) whether each feature is, by key
    """
    return [key for key, each in parts.items() if bool(each.all())]


def attribute_with_captum(
    method: Any,
    batch: StateBatch,
    copies: Mapping[str, Tensor] | None = None,
    states: Tensor | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """Compute the attributions of the targets by a method of Captum.

    :param method: class of ``captum.attr`` whose only argument is a module
    :param batch: the states
    :param copies: (R, ...) observations by key that are explained instead of the states
    :param states: (R,) index of the state that each of them is a copy of
    :param options: further arguments of Captum's ``attribute``
    :return: (R, ...) attributions by key
    """
    by_key = batch.by_key if copies is None else copies
    if states is None:
        states = torch.arange(len(batch), device=batch.device)
    inputs = tuple(observed.clone().requires_grad_() for observed in by_key.values())
    attributed = method(TargetScores(batch, tuple(by_key))).attribute(
        inputs, target=batch.target[states], additional_forward_args=states, **options
    )
    return dict(zip(by_key, attributed, strict=True))


def compute_guided_gradients(batch: StateBatch) -> dict[str, Tensor]:
    """Compute the scores' gradients, with negative values set to 0 at every ReLU on the way back.

    Captum's own class finds ReLUs that are modules alone, and not those that are called as
    functions (Springenberg et al., 2015, figure 1).
    """
    from captum.attr import Saliency

    with WatchReLUs(guide):
        return attribute_with_captum(Saliency, batch, abs=False)


def guide(output: Tensor) -> None:
    """Set what is negative in the gradient of a ReLU's output to 0, when a gradient passes.

    The ReLU's own derivative sets it to 0 where the unit is not active. Both together are guided
    backpropagation (Springenberg et al., 2015, figure 1).

    :param output: output of a ReLU
    """
    output.register_hook(lambda gradient: gradient.clamp_min(0))  # type: ignore[no-untyped-call]


def find_target_layers(batch: StateBatch) -> dict[str, str]:
    """Find the last convolution between each image and a scalar target.

    The value may have a network of its own, which the scores do not pass.

    :param batch: the states, whose target is scalar
    :return: name of the layer by key of the image
    :raises ExplainError: if no image passes a convolution on its way to the target
    """
    agent, scalar = batch.agent, batch.scalar
    assert scalar is not None
    found = find_image_layers(
        agent, nn.Conv2d, lambda observations: scalar.read(Outputs(agent, observations))
    )
    if not found:
        raise ExplainError(
            f"no image passes a convolution on its way to {scalar.name}: explain it by "
            f"{find_alternative(agent)}"
        )
    return {name: layers[-1] for name, layers in found.items()}


def compute_grad_cam(batch: StateBatch, layers: Mapping[str, str]) -> dict[str, Tensor]:
    """Compute ReLU(sum_k a_k A^k) at an image's size: Selvaraju et al. (2017), equations 1 and 2.

    A^k are the channels of the layer's output, and a_k the means over their positions of the
    derivative of the target's score. The result is resized bilinearly, and is the same in all of
    the image's channels.

    :param batch: the states
    :param layers: name of the layer for each image, by key
    :return: (B, C, H, W) attributions of the images by key
    """
    from captum.attr import LayerGradCam

    states = torch.arange(len(batch), device=batch.device)
    found = {}
    for name, layer in layers.items():
        image = batch.by_key[name]
        coarse = LayerGradCam(
            TargetScores(batch, (name,)), batch.agent.view.policy.get_submodule(layer)
        ).attribute(
            image.clone().requires_grad_(),
            target=batch.target,
            additional_forward_args=states,
            relu_attributions=True,
        )
        height, width = image.shape[2:]
        found[name] = resize(widen(coarse.detach()), (height, width)).expand(image.shape)
    return found
