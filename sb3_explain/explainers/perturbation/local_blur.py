"""Local blur: the perturbation of Greydanus and SARFA, a blur around each point of a grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.perturbation.gaussian_process import (
    MAX_COVARIANCES,
    choose_copies,
    find_covariance,
)
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.blur import gaussian_blur
from sb3_explain.states.forward_passes import (
    make_grid_masks,
    make_masks,
    pair_profiles,
    read_blends,
)

#: (R, ...) copies by key and (R,) indices of their states -> (R, ...) what the agent answers
Read = Callable[[dict[str, Tensor], Tensor], Tensor]


@dataclass(frozen=True)
class LocalBlur:
    """s' = s * (1 - M) + blur(s) * M (Greydanus et al., 2018, eq. 1), for M at each grid point.

    M(y, x) = exp(-((y - i)^2 + (x - j)^2) / (2 radius^2)) at the grid point (i, j), with a maximum
    of 1. Grid points are the pixels 0, stride, 2 * stride, ... of each axis, for images of any
    size. The kernel of the blur reaches 4 sigma far; at the edges the image is reflected.

    With a ``share`` below 1, only that share of the copies passes through the agent, for each state
    those that tell most; its outputs on the others are the mean of a Gaussian process whose
    covariance is that of a linear agent (see :mod:`.gaussian_process`).

    Explainers with the same local blur share forward passes through the cache of their
    :class:`~sb3_explain.StateBatch`.

    :param sigma: standard deviation of the blur in pixels
    :param radius: standard deviation of the masks M in pixels
    :param stride: distance of the grid points in pixels
    :param share: share of the grid points whose copies pass through the agent, in (0, 1]
    :raises ExplainError: if one of them is not positive, or the share is above 1
    """

    sigma: float = 3.0
    radius: float = 5.0
    stride: int = 5
    share: float = 1.0

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and self.radius > 0 and self.stride >= 1):
            raise ExplainError(
                f"sigma={self.sigma}, radius={self.radius}, stride={self.stride}: give positive "
                "numbers of pixels"
            )
        if not 0 < self.share <= 1:
            raise ExplainError(f"share={self.share}: give a share of the grid points in (0, 1]")

    def points(self, size: int) -> Tensor:
        """Compute the grid points (n,) of an axis of ``size`` pixels."""
        return torch.arange(0, size, self.stride)

    def forwards(self, shape: tuple[int, ...]) -> int:
        """Count the forward passes of an image (C, H, W): its copies, and the image itself."""
        return 1 + self._count_passed(len(self.points(shape[1])) * len(self.points(shape[2])))

    def _count_passed(self, n_points: int) -> int:
        return math.ceil(self.share * n_points)

    def profiles(self, like: Tensor, size: int) -> Tensor:
        """Compute the Gaussians along an axis; a mask M is the product of one along y and along x.

        :param like: tensor of the result's type and device
        :param size: length of the axis in pixels
        :return: (n, size) Gaussians
        """
        pixels = torch.arange(size, device=like.device, dtype=like.dtype)
        distance = pixels - self.points(size).to(pixels)[:, None]
        return torch.exp(-0.5 * (distance / self.radius) ** 2)

    def scores(self, batch: StateBatch, name: str, chunk: int) -> Tensor:
        """Compute the scores of the states, and of their copies with a blur around each grid point.

        :param batch: the states
        :param name: key of the image that is perturbed
        :param chunk: largest number of rows of a forward pass
        :return: (B, 1 + P, K) scores
        """
        scores: Tensor = batch.read_once(
            (self, name), lambda: self._read(batch, name, chunk, batch.scores)
        )
        return scores

    def target_scores(self, batch: StateBatch, name: str, chunk: int) -> Tensor:
        """Compute scores (B, 1 + P, C) of the targets as :meth:`scores` does those of the agent."""
        scores: Tensor = batch.read_once(
            (self, name, "targets"), lambda: self._read(batch, name, chunk, batch.target_scores)
        )
        return scores

    def values(self, batch: StateBatch, name: str, chunk: int) -> Tensor:
        """Compute values (B, 1 + P) as :meth:`scores` does scores; NaN if the agent has none."""
        values: Tensor = batch.read_once(
            (self, name, "values"), lambda: self._read(batch, name, chunk, batch.values)
        )
        return values

    def _read(self, batch: StateBatch, name: str, chunk: int, read: Read) -> Tensor:
        state = batch.by_key[name]
        kernel_size = 2 * int(4 * self.sigma + 0.5) + 1
        change = gaussian_blur(state, kernel_size, self.sigma) - state
        rows, columns = (self.profiles(state, size) for size in state.shape[2:])
        if self.share < 1:
            return self._predict(name, state, change, (rows, columns), chunk, read)
        blends = read_blends(
            lambda copies, states: read({name: copies}, states),
            state,
            change,
            make_grid_masks(rows, columns, chunk),
            chunk,
        )
        return torch.cat([outputs for _, outputs in blends], dim=1)

    def _predict(
        self,
        name: str,
        state: Tensor,
        change: Tensor,
        profiles: tuple[Tensor, Tensor],
        chunk: int,
        read: Read,
    ) -> Tensor:
        """Outputs as :meth:`_read` returns them, read at a share of the points alone."""
        rows, columns = profiles
        n_points = len(rows) * len(columns)
        n_passed, along_y, along_x = self._count_passed(n_points), *pair_profiles(rows, columns)
        outputs = []
        n_at_once = max(1, MAX_COVARIANCES // n_points**2)
        for some in torch.split(torch.arange(len(state)), n_at_once):
            covariance = find_covariance(change[some], rows, columns)
            chosen, weights = choose_copies(covariance, n_passed)
            for number, points, weight in zip(some.tolist(), chosen + 1, weights, strict=True):
                copies = torch.cat([points.new_zeros(1), points])
                masks = make_masks(along_y[copies], along_x[copies], chunk)
                one = slice(number, number + 1)

                def read_one(copies: Tensor, states: Tensor, number: int = number) -> Tensor:
                    return read({name: copies}, states + number)  # its number among all states

                blends = read_blends(read_one, state[one], change[one], masks, chunk)
                passed = torch.cat([each[0] for _, each in blends])
                moved = passed[1:] - passed[0]
                predicted = passed[0] + torch.tensordot(weight.to(moved), moved, dims=1)
                outputs.append(torch.cat([passed[:1], predicted]))
        return torch.stack(outputs)

    def upsample(self, scores: Tensor, image: Tensor) -> Tensor:
        """Interpolate the scores of the grid points to attributions of all pixels.

        The interpolation is bilinear, a grid point's pixel has the score itself, and pixels beyond
        the last grid point of an axis have the score of that point.

        :param scores: (B, P) scores of the grid points
        :param image: (B, C, H, W) images
        :return: (B, C, H, W) attributions, the same in all channels
        """
        along_y, along_x = (self._hats(image, size) for size in image.shape[2:])
        grid = scores.to(image).reshape(-1, len(along_y), len(along_x))
        attributions: Tensor = along_y.T @ grid @ along_x
        return attributions[:, None].expand_as(image)

    def _hats(self, like: Tensor, size: int) -> Tensor:
        """Weights (n, size) of each grid point at each pixel of an axis."""
        points = self.points(size).to(like)
        pixels = torch.arange(size, device=like.device, dtype=like.dtype).clamp_max(points[-1])
        return (1 - (pixels - points[:, None]).abs() / self.stride).clamp_min(0)
