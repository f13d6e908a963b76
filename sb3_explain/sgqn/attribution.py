"""How much each pixel matters to Q1(s, a), and the mask of those that matter most.

An attribution method is a function ``(q, images, values) -> (B, C, H, W)``. ``q`` maps images to
Q1(s, a) of the batch's actions, (B,); ``values`` is ``q(images)`` with its graph, for methods that
need no further forward pass. Bertoin et al. (2022), section 3, take M(s, a) = |dQ1 / ds| by guided
backpropagation.
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
    """Compute dQ1 / ds (Simonyan et al. 2014)."""
    (gradients,) = torch.autograd.grad(values.sum(), images, retain_graph=True)
    return gradients


def guided_backprop(q: QFunction, images: Tensor, values: Tensor) -> Tensor:
    """Compute dQ1 / ds with only positive gradients passing ReLUs (Springenberg et al. 2015)."""
    with guided_backpropagation():
        return gradient(q, images, values)


def input_x_gradient(q: QFunction, images: Tensor, values: Tensor) -> Tensor:
    """Compute s * dQ1 / ds (Shrikumar et al. 2017)."""
    return images.detach() * gradient(q, images, values)


def smoothgrad(
    q: QFunction, images: Tensor, values: Tensor, *, n_samples: int = 8, noise: float = 0.1
) -> Tensor:
    """Compute the mean gradient over states with Gaussian noise (Smilkov et al. 2017).

    :param n_samples: number of noisy copies of each state
    :param noise: standard deviation of the noise, as a share of the range of the pixels
    """
    total = torch.zeros_like(images)
    for _ in range(n_samples):
        noisy = images.detach() + noise * torch.randn_like(images)
        total += _gradient_at(q, noisy)
    return total / n_samples


def integrated_gradients(
    q: QFunction, images: Tensor, values: Tensor, *, n_steps: int = 16
) -> Tensor:
    """Compute s * the mean gradient from black to s (Sundararajan et al. 2017, equation 1).

    :param n_steps: number of points on the straight path from black to s; each is the midpoint of
        one of as many equal segments
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


def get_attribution(name: str | Attribution) -> Attribution:
    """Look up an attribution method.

    :param name: one of :data:`ATTRIBUTIONS`, or a function, which is returned as it is
    :raises ExplainError: if the name is unknown
    """
    if callable(name):
        return name
    if name not in ATTRIBUTIONS:
        raise unknown_name("attribution", name, ATTRIBUTIONS)
    return ATTRIBUTIONS[name]


def binarize(attributions: Tensor, quantile: float, n_stack: int) -> Tensor:
    """Compute the mask M_rho: True where a pixel reaches the rho-quantile of its frame.

    A pixel's importance is its |attribution|, the maximum over the channels of its frame; the
    quantile interpolates linearly. Pixels of equal importance are all in the mask or all outside,
    so that it may cover a larger share than 1 - rho: where more than a share rho of the pixels is
    zero, the quantile is zero, and the mask is True everywhere.

    :param attributions: (B, n_stack * C, H, W)
    :param quantile: rho, in [0, 1)
    :param n_stack: number of stacked frames
    :return: (B, n_stack * C, H, W) bool, in the channels-last memory format
    """
    n, depth, height, width = attributions.shape
    frames = attributions.abs().view(n, n_stack, depth // n_stack, height, width)
    importance = frames.amax(dim=2).flatten(2)  # (B, n_stack, H * W)
    # the quantile lies between two order statistics, which a partial sort finds
    n_pixels = importance.shape[-1]
    rank = quantile * (n_pixels - 1)
    below = int(rank)
    top = importance.topk(n_pixels - below, dim=-1).values
    lower, upper = top[..., -1:], top[..., max(-2, below - n_pixels), None]
    threshold = torch.lerp(lower, upper, rank - below)
    mask = (importance >= threshold).view(n, n_stack, 1, height, width).expand(frames.shape)
    return mask.flatten(1, 2).contiguous(memory_format=torch.channels_last)


def require_quantile(quantile: float) -> float:
    """Return rho if it is a valid quantile.

    :raises ExplainError: if it is outside [0, 1)
    """
    if not 0 <= quantile < 1:
        raise ExplainError(f"saliency_quantile is {quantile}: give a number in [0, 1)")
    return quantile
