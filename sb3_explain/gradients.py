"""What the gradient methods share: the agent as Captum calls it, and which modules count."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from captum.attr import GuidedBackprop, LayerGradCam
from torch import Tensor, nn

from sb3_explain import maps
from sb3_explain.agent import Agent
from sb3_explain.batch import StateBatch, entry_spaces


class Choices(nn.Module):
    """The scores of an agent's choices as a function of entries, the form in which Captum calls it.

    :param batch: the states; what is no argument of the call is held
    :param names: the entries that are arguments, in order; after them comes (R,) of which state
        each row is a copy
    """

    def __init__(self, batch: StateBatch, names: tuple[str, ...]) -> None:
        super().__init__()
        self.policy = batch.agent.view.policy  # where Captum looks for ReLUs
        self.batch = batch
        self.names = names

    def forward(self, *arguments: Tensor) -> Tensor:
        *entries, states = arguments
        scores = self.batch.choices(dict(zip(self.names, entries, strict=True)), states)
        # the derivative by an entry that the agent ignores is 0, where autograd would refuse
        return scores + sum(0 * entry.sum() for entry in entries)


def attributions(
    method: Any,
    batch: StateBatch,
    copies: Mapping[str, Tensor] | None = None,
    states: Tensor | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """Captum's attributions of the target choices to every entry.

    :param method: a class of ``captum.attr`` that is made with a module alone
    :param batch: the states
    :param copies: (R, ...) by entry, to explain in place of the states
    :param states: (R,) of which state each copy is
    :param options: further arguments of Captum's ``attribute``
    """
    entries = batch.entries if copies is None else copies
    if states is None:
        states = torch.arange(len(batch), device=batch.device)
    inputs = tuple(entry.clone().requires_grad_() for entry in entries.values())
    attributed = method(Choices(batch, tuple(entries))).attribute(
        inputs, target=batch.target[states], additional_forward_args=states, **options
    )
    return dict(zip(entries, attributed, strict=True))


def guided_gradients(batch: StateBatch) -> dict[str, Tensor]:
    """The scores' gradients, with what is negative cut off at every ReLU on the way back.

    Captum hooks the agent's own ReLUs and removes the hooks, also when the pass fails. Springenberg
    et al. (2015), figure 1.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU")
        return attributions(GuidedBackprop, batch)


def grad_cam(batch: StateBatch, layers: Mapping[str, str]) -> dict[str, Tensor]:
    """ReLU(sum_k a_k A^k), at an image's size: Selvaraju et al. (2017), equations 1 and 2.

    A^k are the channels of the layer's output, a_k the means over their cells of the derivative of
    the target's score. The coarse map is resized bilinearly, and is the same in all of the image's
    channels.

    :param layers: by image entry the name of its layer
    """
    states = torch.arange(len(batch), device=batch.device)
    found = {}
    for name, layer in layers.items():
        image = batch.entries[name]
        coarse = LayerGradCam(
            Choices(batch, (name,)), batch.agent.view.policy.get_submodule(layer)
        ).attribute(
            image.clone().requires_grad_(),
            target=batch.target,
            additional_forward_args=states,
            relu_attributions=True,
        )
        height, width = image.shape[2:]
        found[name] = maps.resize(coarse.detach(), (height, width)).expand(image.shape)
    return found


# --- which agents have gradients, and where ------------------------------------------------


def outputs_on_the_way(agent: Agent, entry: str, kind: type[nn.Module]) -> dict[str, Tensor]:
    """Outputs of the modules that an entry passes on its way to the scores, by name, in order.

    A policy also holds modules that its scores never pass: critics, target networks. So zeros are
    passed once, and the outputs that have a gradient with respect to the entry are those on its
    way. The agent does not count this pass.

    :param entry: its name, empty for the only one
    :param kind: class of the modules
    """
    policy = agent.view.policy
    outputs: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.requires_grad:
                outputs[name] = output.detach()

        return hook

    dtype = next((parameter.dtype for parameter in policy.parameters()), torch.float32)
    zeros = {
        name: torch.zeros(1, *space.shape, dtype=dtype, device=agent.device)  # type: ignore[misc]
        for name, space in entry_spaces(agent.observation_space).items()
    }
    zeros[entry].requires_grad_()
    hooks = [
        module.register_forward_hook(note(name))
        for name, module in policy.named_modules()
        if isinstance(module, kind)
    ]
    try:
        with torch.enable_grad():
            agent.view.scores(StateBatch.structured(zeros), None)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def layers_of_images(agent: Agent, kind: type[nn.Module]) -> dict[str, list[str]]:
    """Names of the modules with an output (B, C, h, w) that each image passes, in order.

    :return: by image entry; without the images that pass none
    """
    images = [
        name
        for name, space in entry_spaces(agent.observation_space).items()
        if len(space.shape or ()) == 3
    ]
    layers = {
        name: [
            layer
            for layer, output in outputs_on_the_way(agent, name, kind).items()
            if output.dim() == 4
        ]
        for name in images
    }
    return {name: passed for name, passed in layers.items() if passed}


def needs_relu(agent: Agent) -> str | None:
    """The obstacle of guided backpropagation, if no entry passes a ReLU that is a module."""
    entries = entry_spaces(agent.observation_space)
    if any(outputs_on_the_way(agent, name, nn.ReLU) for name in entries):
        return None
    return "it changes the gradient of nn.ReLU modules, and this agent's scores pass none"


def needs_convolution(agent: Agent) -> str | None:
    """The obstacle of Grad-CAM, if no image passes a convolution that is a module."""
    if layers_of_images(agent, nn.Conv2d):
        return None
    return "it explains images by a convolution (nn.Conv2d), and this agent's scores pass none"
