"""Which keys of an observation a policy's convolutions read, and by which axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sb3_explain.agents.policy_views import PolicyView
from sb3_explain.agents.trial_pass import trial_pass
from sb3_explain.envs.picture_axes import PictureAxes
from sb3_explain.envs.spaces import join_keys, spaces_by_key

#: functions whose input has rows and columns as its last two axes; modules call them, too
CONVOLUTIONS = (torch.conv2d, torch.conv3d)
#: a gradient moves along an axis if its center does by more than this number of elements
MOVED = 0.4
#: largest spread of a gradient along an axis that it moves along, as a share of the axis; that of
#: one without a place is 0.29
SPREAD = 0.2


class ConvolutionInputs(TorchFunctionMode):
    """Records the inputs of all convolutions in the ``with`` block, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in CONVOLUTIONS:
            self.inputs.append(args[0] if args else kwargs["input"])
        return func(*args, **kwargs)


def find_convolved(view: PolicyView, space: spaces.Space[Any]) -> dict[str, PictureAxes]:
    """Find the keys that a convolution of the policy reads as pictures.

    One observation is passed. The gradient of one place of a convolution's input is at the pixels
    that this place shows; another place in another row has its gradient in another row of the
    picture. So the axes are found whatever the policy does to an observation before it. Numbers
    that are looked up (tokens) have no gradient, and what a linear layer has mixed has no place:
    these are no pictures. No random state is changed.

    :param view: reads the scores off the policy
    :param space: observation space of the policy
    :return: axes of the pictures by key
    """
    by_key = spaces_by_key(space)
    pictures = [key for key, observed in by_key.items() if _may_be_picture(observed)]
    if not pictures:
        return {}
    with trial_pass(view.policy) as like:
        observed = draw_observation(space, like)
        leaves = {key: observed[key].requires_grad_() for key in pictures}
        with ConvolutionInputs() as watched:
            # a clone, because a policy may change what it is given
            view.scores(join_keys({key: part.clone() for key, part in observed.items()}), None)
        axes = {key: _find_axes(leaf, watched.inputs) for key, leaf in leaves.items()}
    return {key: found for key, found in axes.items() if found is not None}


def draw_observation(space: spaces.Space[Any], like: Tensor) -> dict[str, Tensor]:
    """Draw one observation within the bounds of its space, always the same.

    A blank one would not do: where all pixels are equal, a policy that standardizes them divides by
    0.

    :param space: observation space
    :param like: tensor of the result's type and device
    :return: (1, ...) tensors by key; zeros for categories
    """
    rng = np.random.default_rng(0)
    drawn = {}
    for key, observed in spaces_by_key(space).items():
        values = np.zeros(observed.shape or ())
        if isinstance(observed, (spaces.Box, spaces.MultiBinary)):
            low, high = getattr(observed, "low", 0.0), getattr(observed, "high", 1.0)
            low, high = (np.clip(np.float64(bound), -255, 255) for bound in (low, high))
            values = rng.uniform(low, high, observed.shape)
        drawn[key] = torch.as_tensor(values, dtype=like.dtype, device=like.device)[None]
    return drawn


def _may_be_picture(space: spaces.Space[Any]) -> bool:
    numbers = isinstance(space, (spaces.Box, spaces.MultiBinary))
    return numbers and 2 <= len(space.shape or ()) <= 4


def _find_axes(leaf: Tensor, inputs: list[Tensor]) -> PictureAxes | None:
    """The axes by which the first convolution that depends on a key reads it."""
    for read in inputs:
        if not read.requires_grad or read.dim() < 3:
            continue
        height, width = read.shape[-2:]
        middle = _find_place(leaf, read, height // 2, width // 2)
        if middle is None:
            continue
        rows = _moved_axis(middle, _find_place(leaf, read, height // 4, width // 2))
        columns = _moved_axis(middle, _find_place(leaf, read, height // 2, width // 4))
        # along an axis of one pixel nothing can move
        single = [axis for axis, size in enumerate(leaf.shape[1:]) if size == 1]
        if rows is None:
            rows = next((axis for axis in single if axis != columns), None)
        if columns is None:
            columns = next((axis for axis in reversed(single) if axis != rows), None)
        if rows is None or columns is None or rows == columns:
            return None
        return PictureAxes(leaf.dim() - 1, rows, columns)
    return None


def _find_place(leaf: Tensor, read: Tensor, row: int, column: int) -> Tensor | None:
    """Where a place of a convolution's input comes from: (n, 2) center and spread for each axis."""
    (gradient,) = torch.autograd.grad(
        read[..., row, column].sum(), leaf, retain_graph=True, allow_unused=True
    )
    if gradient is None:
        return None
    # squares: what a policy subtracts from all pixels alike is everywhere, and small
    mass = gradient[0].double().square().cpu()
    if not mass.isfinite().all() or not mass.any():
        return None
    places = []
    for axis, size in enumerate(mass.shape):
        share = mass.sum(dim=[other for other in range(mass.dim()) if other != axis]) / mass.sum()
        at = torch.arange(size, dtype=share.dtype)
        center = (share * at).sum()
        places.append(torch.stack([center, (share * (at - center).square()).sum().sqrt() / size]))
    return torch.stack(places)


def _moved_axis(place: Tensor, other: Tensor | None) -> int | None:
    """The one axis along which two places differ, if both are narrow there."""
    if other is None:
        return None
    distance = (place[:, 0] - other[:, 0]).abs()
    moved = torch.nonzero(distance > MOVED).flatten().tolist()
    if len(moved) != 1 or max(float(place[moved[0], 1]), float(other[moved[0], 1])) >= SPREAD:
        return None
    return int(moved[0])
