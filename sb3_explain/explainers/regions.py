"""Regions of an observation: what goes together when a part of it is removed, and what stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import measure, restoration
from torch import Tensor

from sb3_explain.common.attributions import highest, order
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import are_images
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch

Array = NDArray[Any]
Mask = NDArray[np.bool_]

#: fills a removed region of an image from what surrounds it
INPAINT = "inpaint"


@dataclass(frozen=True)
class Region:
    """Cells of one key of an observation that are removed together.

    :param key: its name; empty if the observation is no dict
    :param cells: (H, W) of an image, in all layers of which they are removed; else of the key's
        shape
    :param mass: sum of the map over the region, of a pixel its highest layer
    """

    key: str
    cells: Mask
    mass: float

    def where(self) -> str:
        """The region's place, for example ``"rows 34-40, columns 60-66"`` or ``"feature 3"``."""
        places = np.argwhere(self.cells)
        if self.cells.ndim != 2:
            return f"feature {int(np.flatnonzero(self.cells)[0])}"
        (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
        return f"rows {top}-{bottom}, columns {left}-{right}"


def image_regions(
    key: str, attribution: Tensor, share: float, labels: Array | None = None
) -> list[Region]:
    """Regions of positive mass of an image's map.

    :param attribution: (C, H, W)
    :param share: of the pixels that regions are made of
    :param labels: (H, W) regions by number, in place of those
    """
    pixels = attribution.detach().amax(dim=0).cpu()
    if labels is None:
        salient = highest(order(pixels[None]), share).reshape(pixels.shape).bool() & (pixels > 0)
        labels = measure.label(  # type: ignore[no-untyped-call]
            salient.numpy(), connectivity=2
        )
    if labels.shape != pixels.shape:
        raise ExplainError(f"regions of {labels.shape} for pixels of {tuple(pixels.shape)}")
    positive = pixels.double().clamp_min(0).numpy()
    numbered = [(labels == number) for number in np.unique(labels[labels > 0])]
    masses = [float(positive[cells].sum()) for cells in numbered]
    return [Region(key, c, mass) for c, mass in zip(numbered, masses, strict=True) if mass > 0]


def feature_regions(key: str, attribution: Tensor) -> list[Region]:
    """Every feature of a vector that is marked, as a region."""
    values = attribution.detach().double().cpu().numpy().reshape(-1)
    each = np.eye(len(values), dtype=bool).reshape(-1, *attribution.shape)
    # np.array: the cells of a category have no dimension, and are an array all the same
    marked = zip(each[values != 0], values[values != 0], strict=True)
    return [Region(key, np.array(cells), float(value)) for cells, value in marked]


def filler(
    batch: StateBatch, name: str, baseline: str | Baseline | Mapping[str, str | Baseline]
) -> Callable[[Mask], Tensor]:
    """What a key (1, ...) becomes without some of its cells.

    :raises ExplainError: if there is nothing to put in their place
    """
    observed = batch.by_key[name]
    chosen = baseline.get(name) if isinstance(baseline, Mapping) else baseline
    if chosen == INPAINT and are_images(observed):
        return lambda cells: inpainted(observed, cells)
    if chosen is None or isinstance(chosen, str):
        raise ExplainError(
            f"{chosen!r} cannot replace the features of {name or 'this observation'!r}: give "
            "baseline=fit_baselines('mean', states), or one by key"
        )
    replacement = chosen(observed)
    return lambda cells: torch.where(
        torch.as_tensor(cells).to(observed.device), replacement, observed
    )


def inpainted(image: Tensor, cells: Mask) -> Tensor:
    """An image (1, C, H, W) whose layers are filled from their surroundings, each by itself.

    By the biharmonic equation (Damelin and Hoang 2018), scikit-image.
    """
    layers = image[0].double().cpu().numpy()
    low, extent = layers.min(), np.ptp(layers) or 1.0
    filled = restoration.inpaint_biharmonic((layers - low) / extent, cells, channel_axis=0)
    return torch.from_numpy(filled * extent + low)[None].to(image)
