"""How much each pixel matters to Q1(s, a), and the mask of those that matter most.

An attribution is a function ``(q, images, values) -> (B, C, H, W)``: ``q`` maps images to Q1 of the
batch's actions, (B,); ``values`` is ``q(images)`` with its graph, kept for those that need no
other pass. Bertoin et al. (2022), section 3: M(s, a) = |dQ1 / ds|, by guided backpropagation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.sgqn.networks import guided_backpropagation

QFunction = Callable[[Tensor], Tensor]
Attribution = Callable[[QFunction, Tensor, Tensor], Tensor]


def gradient(q: QFunction, images: Tensor, values: Tensor) -> Tensor:
    """dQ1 / ds (Simonyan et al. 2014)."""
    (gradients,) = torch.autograd.grad(values.sum(), images, retain_graph=True)
    return gradients


def guided_backprop(q: QFunction, images: Tensor, values: Tensor) -> Tensor:
    """dQ1 / ds, of which only the positive part passes a ReLU (Springenberg et al. 2015)."""
    with guided_backpropagation():
        return gradient(q, images, values)


def input_x_gradient(q: QFunction, images: Tensor, values: Tensor) -> Tensor:
    """s * dQ1 / ds (Shrikumar et al. 2017)."""
    return images.detach() * gradient(q, images, values)


def smoothgrad(
    q: QFunction, images: Tensor, values: Tensor, *, n_samples: int = 8, noise: float = 0.1
) -> Tensor:
    """The mean gradient of states with Gaussian noise (Smilkov et al. 2017).

    :param n_samples: draws of the noise
    :param noise: its standard deviation, as a share of the range of the pixels
    """
    total = torch.zeros_like(images)
    for _ in range(n_samples):
        noisy = images.detach() + noise * torch.randn_like(images)
        total += _gradient_at(q, noisy)
    return total / n_samples


def integrated_gradients(
    q: QFunction, images: Tensor, values: Tensor, *, n_steps: int = 16
) -> Tensor:
    """s * the mean gradient on the way from black to s (Sundararajan et al. 2017, equation 1).

    :param n_steps: points on the way, at the middles of as many equal parts
    """
    total = torch.zeros_like(images)
    for step in range(n_steps):
        total += _gradient_at(q, (step + 0.5) / n_steps * images.detach())
    return images.detach() * total / n_steps


def _gradient_at(q: QFunction, images: Tensor) -> Tensor:
    images = images.requires_grad_()
    (gradients,) = torch.autograd.grad(q(images).sum(), images)
    return gradients


ATTRIBUTIONS: dict[str, Attribution] = {
    function.__name__: function
    for function in (guided_backprop, gradient, input_x_gradient, smoothgrad, integrated_gradients)
}


def attribution_named(name: str | Attribution) -> Attribution:
    """The attribution of this name; a function is returned as it is.

    :raises ExplainError: for an unknown name
    """
    if callable(name):
        return name
    if name not in ATTRIBUTIONS:
        raise unknown_name("attribution", name, ATTRIBUTIONS)
    return ATTRIBUTIONS[name]


def binarized(attributions: Tensor, quantile: float, n_stack: int) -> Tensor:
    """M_rho: 1 where a pixel is at or above the quantile of its image's and its frame's pixels.

    |attribution|, maximum over the channels of a frame; the quantile interpolates linearly. All
    pixels of equal attribution share one side, so that more than 1 - rho may be 1: where more than
    rho are zero, the quantile is zero, and the mask is all ones.

    :param attributions: (B, n_stack * C, H, W)
    :param quantile: rho, in [0, 1)
    :param n_stack: frames
    :return: (B, n_stack * C, H, W) of bool, channels last in memory
    """
    n, depth, height, width = attributions.shape
    frames = attributions.abs().view(n, n_stack, depth // n_stack, height, width)
    importance = frames.amax(dim=2).flatten(2)  # (B, n_stack, H * W)
    # the quantile lies between two order statistics, which a partial sort finds
    n_cells = importance.shape[-1]
    rank = quantile * (n_cells - 1)
    below = int(rank)
    top = importance.topk(n_cells - below, dim=-1).values
    lower, upper = top[..., -1:], top[..., max(-2, below - n_cells), None]
    threshold = torch.lerp(lower, upper, rank - below)
    mask = (importance >= threshold).view(n, n_stack, 1, height, width).expand(frames.shape)
    return mask.flatten(1, 2).contiguous(memory_format=torch.channels_last)


def require_quantile(quantile: float) -> float:
    """Rho, if it is one.

    :raises ExplainError: if it is outside of [0, 1)
    """
    if not 0 <= quantile < 1:
        raise ExplainError(f"saliency_quantile is {quantile}: give a number in [0, 1)")
    return quantile
