"""Local blur: the perturbation that Greydanus and SARFA share, a local blur at the points of a
grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.baselines import gaussian_blur
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import grid_masks, read_blends


@dataclass(frozen=True)
class LocalBlur:
    """s' = s * (1 - M) + blur(s) * M (Greydanus et al., 2018, eq. 1), for M at each grid point.

    M(y, x) = exp(-((y - i)^2 + (x - j)^2) / (2 radius^2)) at the point (i, j), whose maximum is 1.
    Points are the pixels 0, stride, 2 * stride, ... of each axis, of images of any size. The blur
    reaches 4 sigma far; at the edges the image is reflected.

    Explainers with the same local blur share the agent's passes through
    :meth:`sb3_explain.states.batch.StateBatch.kept`.

    :param sigma: of the Gaussian blur, in pixels
    :param radius: standard deviation of the Gaussians, in pixels
    :param stride: pixels between grid points
    :raises ExplainError: if one of them is not positive
    """

    sigma: float = 3.0
    radius: float = 5.0
    stride: int = 5

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and self.radius > 0 and self.stride >= 1):
            raise ExplainError(
                f"sigma={self.sigma}, radius={self.radius}, stride={self.stride}: give positive "
                "numbers of pixels"
            )

    def points(self, size: int) -> Tensor:
        """(n,) grid points of an axis of ``size`` pixels."""
        return torch.arange(0, size, self.stride)

    def forwards(self, shape: tuple[int, ...]) -> int:
        """Copies of an image of shape (C, H, W): one for each point, and the image itself."""
        return 1 + len(self.points(shape[1])) * len(self.points(shape[2]))

    def profiles(self, like: Tensor, size: int) -> Tensor:
        """(n, size) Gaussians along an axis; M is the product of one along y and one along x."""
        pixels = torch.arange(size, device=like.device, dtype=like.dtype)
        distance = pixels - self.points(size).to(pixels)[:, None]
        return torch.exp(-0.5 * (distance / self.radius) ** 2)

    def scores(self, batch: StateBatch, name: str, chunk: int) -> Tensor:
        """(B, 1 + P, K) scores of the states as they are, then with each Gaussian.

        :param batch: of the states
        :param name: the key that is perturbed, an image
        :param chunk: rows of one forward pass
        """
        scores: Tensor = batch.read_once(
            (self, name), lambda: self._read(batch, name, chunk, values=False)
        )
        return scores

    def values(self, batch: StateBatch, name: str, chunk: int) -> Tensor:
        """(B, 1 + P) values, as :meth:`scores` has scores; NaN of an agent that has none."""
        values: Tensor = batch.read_once(
            (self, name, "values"), lambda: self._read(batch, name, chunk, values=True)
        )
        return values

    def _read(self, batch: StateBatch, name: str, chunk: int, *, values: bool) -> Tensor:
        state = batch.by_key[name]
        kernel_size = 2 * int(4 * self.sigma + 0.5) + 1
        change = gaussian_blur(state, kernel_size, self.sigma) - state
        rows, columns = (self.profiles(state, size) for size in state.shape[2:])
        agent = batch.values if values else batch.scores
        blends = read_blends(
            lambda copies, states: agent({name: copies}, states),
            state,
            change,
            grid_masks(rows, columns, chunk),
            chunk,
        )
        return torch.cat([told for _, told in blends], dim=1)

    def upsampled(self, scores: Tensor, image: Tensor) -> Tensor:
        """Scores (B, P) of the points as maps (B, C, H, W), the same in all channels.

        Bilinear between grid points, whose pixels have their own scores; beyond the last point of
        an axis its score goes on.
        """
        along_y, along_x = (self._hats(image, size) for size in image.shape[2:])
        grid = scores.to(image).reshape(-1, len(along_y), len(along_x))
        attributions: Tensor = along_y.T @ grid @ along_x
        return attributions[:, None].expand_as(image)

    def _hats(self, like: Tensor, size: int) -> Tensor:
        """(n, size) weight of each grid point at each pixel of an axis."""
        points = self.points(size).to(like)
        pixels = torch.arange(size, device=like.device, dtype=like.dtype).clamp_max(points[-1])
        return (1 - (pixels - points[:, None]).abs() / self.stride).clamp_min(0)
