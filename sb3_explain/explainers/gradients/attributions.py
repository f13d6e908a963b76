"""What the gradient methods share: the agent as Captum calls it, and which modules count."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sb3_explain.common.attributions import resize
from sb3_explain.states.batch import StateBatch


class TargetScores(nn.Module):
    """The scores of an agent's targets as a function of keys, the form in which Captum calls it.

    :param batch: the states; what is no argument of the call is held
    :param names: the keys that are arguments, in order; after them comes (R,) of which state
        each row is a copy
    """

    def __init__(self, batch: StateBatch, names: tuple[str, ...]) -> None:
        super().__init__()
        self.policy = batch.agent.view.policy  # where Captum looks for ReLUs
        self.batch = batch
        self.names = names

    def forward(self, *arguments: Tensor) -> Tensor:
        *by_key, states = arguments
        scores = self.batch.target_scores(dict(zip(self.names, by_key, strict=True)), states)
        # the derivative by a key that the agent ignores is 0, where autograd would refuse
        return scores + sum(0 * observed.sum() for observed in by_key)


def attribute_with_captum(
    method: Any,
    batch: StateBatch,
    copies: Mapping[str, Tensor] | None = None,
    states: Tensor | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """Captum's attributions of the targets to every key.

    :param method: a class of ``captum.attr`` that is made with a module alone
    :param batch: the states
    :param copies: (R, ...) by key, to explain in place of the states
    :param states: (R,) of which state each copy is
    :param options: further arguments of Captum's ``attribute``
    """
    by_key = batch.by_key if copies is None else copies
    if states is None:
        states = torch.arange(len(batch), device=batch.device)
    inputs = tuple(observed.clone().requires_grad_() for observed in by_key.values())
    attributed = method(TargetScores(batch, tuple(by_key))).attribute(
        inputs, target=batch.target[states], additional_forward_args=states, **options
    )
    return dict(zip(by_key, attributed, strict=True))


def guided_gradients(batch: StateBatch) -> dict[str, Tensor]:
    """The scores' gradients, with what is negative cut off at every ReLU on the way back.

    Captum hooks the agent's own ReLUs and removes the hooks, also when the pass fails. Springenberg
    et al. (2015), figure 1.
    """
    from captum.attr import GuidedBackprop

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU")
        return attribute_with_captum(GuidedBackprop, batch)


def grad_cam(batch: StateBatch, layers: Mapping[str, str]) -> dict[str, Tensor]:
    """ReLU(sum_k a_k A^k), at an image's size: Selvaraju et al. (2017), equations 1 and 2.

    A^k are the channels of the layer's output, a_k the means over their cells of the derivative of
    the target's score. The coarse map is resized bilinearly, and is the same in all of the image's
    channels.

    :param layers: by image key the name of its layer
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
        found[name] = resize(coarse.detach(), (height, width)).expand(image.shape)
    return found


# --- which agents have gradients, and where ------------------------------------------------
