"""What stands in place of removed pixels of an image: guesses from the pixels that are left."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Array = NDArray[Any]

#: a pixel is this mean of its eight neighbors (Rong et al. 2022, section 4.2)
WEIGHTS = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}


def inpaint(images: Tensor, removed: Tensor, baseline: Tensor) -> Tensor:
    """Fill removed pixels from their surroundings, each channel by itself.

    Known pixels are averaged in blocks of 2, 4, 8 and so on; a removed pixel becomes the mean of
    the smallest of its blocks in which a pixel is known, with bilinear transitions between blocks
    (the push-pull method of Gortler et al. 1996).

    :param images: (B, C, H, W)
    :param removed: (B, C, H, W) which pixels to fill
    :param baseline: (B, C, H, W) what fills a channel of which no pixel is known
    """
    unknown = removed.flatten(2).all(dim=2)[..., None, None]
    filled = torch.where(unknown, baseline, _pull(images, (~removed).to(images)))
    return torch.where(removed, filled, images)


def _pull(means: Tensor, weights: Tensor) -> Tensor:
    """Fill where weights (B, C, H, W) are 0 from a picture of half the size."""
    height, width = means.shape[2:]
    if height == width == 1:
        return means
    pooled = functional.avg_pool2d(weights, 2, ceil_mode=True, count_include_pad=False)
    sums = functional.avg_pool2d(means * weights, 2, ceil_mode=True, count_include_pad=False)
    known = pooled > 0
    coarse = torch.where(known, sums / torch.where(known, pooled, 1.0), 0.0)
    filled = _pull(coarse, known.to(means))
    finer = functional.interpolate(filled, (height, width), mode="bilinear", align_corners=False)
    return torch.where(weights > 0, means, finer)


def impute_linearly(images: Tensor, removed: Tensor, baseline: Tensor, noise: Tensor) -> Tensor:
    """Replace removed pixels by the mean of their neighbors, removed ones among them, with noise.

    The noisy linear imputation of ROAD (Rong et al. 2022, section 4.2): one sparse linear system
    for each state, or for each of its channels where they differ in what is removed. Noise is drawn
    from the state, so that it is the same whatever is removed.

    :param images: (B, C, H, W)
    :param removed: (B, C, H, W) which pixels to replace
    :param baseline: (B, C, H, W) what replaces a channel of which no pixel is known
    :param noise: (C, H, W) standard deviation of the noise, in raw range
    """
    filled = torch.where(removed, baseline, images)
    for i, (image, mask) in enumerate(zip(images, removed, strict=True)):
        drawn = draw_noise(image) * noise
        alike = bool((mask == mask[:1]).all())
        for channels in [slice(None)] if alike else _each(len(image)):
            gone = mask[channels][0].cpu().numpy()
            if not gone.all():
                solved = _solve(image[channels].double().cpu().numpy(), gone)
                filled[i, channels, mask[channels][0]] = torch.from_numpy(solved).to(filled)
        filled[i] += torch.where(mask, drawn, 0.0)
    return filled


def draw_noise(image: Tensor) -> Tensor:
    """Draw standard normal noise of the shape of a state, the same for equal states."""
    generator = torch.Generator()
    generator.manual_seed(zlib.crc32(image.cpu().contiguous().numpy().tobytes()))
    return torch.randn(image.shape, generator=generator).to(image)


def _each(n: int) -> Iterator[slice]:
    return (slice(i, i + 1) for i in range(n))


def _solve(layers: Array, gone: Array) -> Array:
    """Solve for the removed pixels (C, R) of channels (C, H, W) that lack the same ones."""
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    n_removed = int(gone.sum())
    if not n_removed:
        return np.zeros((len(layers), 0))
    numbers = np.full(gone.shape, -1)
    numbers[gone] = np.arange(n_removed)
    totals = np.zeros(n_removed)
    known = np.zeros((n_removed, len(layers)))
    rows: list[Array] = []
    columns: list[Array] = []
    factors: list[Array] = []
    at = np.argwhere(gone)
    for (dy, dx), weight in WEIGHTS.items():
        for sign in (1, -1):
            y, x = (at + sign * np.array([dy, dx])).T
            inside = (y >= 0) & (y < gone.shape[0]) & (x >= 0) & (x < gone.shape[1])
            here, y, x = np.flatnonzero(inside), y[inside], x[inside]
            totals[here] += weight
            unknown = gone[y, x]
            rows.append(here[unknown])
            columns.append(numbers[y, x][unknown])
            factors.append(np.full(int(unknown.sum()), -weight))
            known[here[~unknown]] += weight * layers[:, y[~unknown], x[~unknown]].T
    diagonal = np.arange(n_removed)
    system = sparse.csc_matrix(
        (
            np.concatenate([totals, *factors]),
            (np.concatenate([diagonal, *rows]), np.concatenate([diagonal, *columns])),
        ),
        shape=(n_removed, n_removed),
    )
    solution: Array = np.asarray(spsolve(system, known)).reshape(n_removed, -1).T
    return solution
