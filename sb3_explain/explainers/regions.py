"""Regions of an observation that are removed together, and what replaces them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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

#: the baseline that fills a removed region of an image from its surroundings
INPAINT = "inpaint"


@dataclass(frozen=True)
class Region:
    """Pixels or features of one key of an observation that are removed together.

    :param key: key of the observation; empty if the observation is no dict
    :param mask: which pixels (H, W) of an image belong to the region, and are removed in all its
        channels; or which features, in the shape of what stands under the key
    :param mass: sum of the attributions over the region, where a pixel counts by its highest
        channel
    :param name: name of the feature, if it is one that has a name
    """

    key: str
    mask: Mask = field(repr=False)
    mass: float
    name: str = ""

    def where(self) -> str:
        """Say where it is: ``"rows 34-40, columns 60-66"``, ``"angle"`` or ``"feature 3"``."""
        if self.name:
            return self.name
        places = np.argwhere(self.mask)
        if self.mask.ndim != 2:
            return f"feature {int(np.flatnonzero(self.mask)[0])}"
        (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
        return f"rows {top}-{bottom}, columns {left}-{right}"


def find_image_regions(
    key: str, attribution: Tensor, share: float, labels: Array | None = None
) -> list[Region]:
    """Find the regions of an image with positive attributions.

    :param key: key of the image in the observation
    :param attribution: (C, H, W) attributions of the image
    :param share: the highest share of the pixels forms the regions, in (0, 1]; connected pixels (8
        neighbors) are one region
    :param labels: (H, W) number of the region that each pixel belongs to, 0 for none, instead
    :raises ExplainError: if the labels do not have the image's size
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
    masses = [float(positive[mask].sum()) for mask in numbered]
    return [Region(key, m, mass) for m, mass in zip(numbered, masses, strict=True) if mass > 0]


def find_feature_regions(key: str, attribution: Tensor, names: Sequence[str] = ()) -> list[Region]:
    """Make a region of every feature that has an attribution other than 0.

    :param key: key of the features in the observation
    :param attribution: (...) attributions of the features
    :param names: names of all features, if they have names
    """
    values = attribution.detach().double().cpu().numpy().reshape(-1)
    each = np.eye(len(values), dtype=bool).reshape(-1, *attribution.shape)
    # np.array: the mask of a category has no dimension, and stays an array
    return [
        Region(key, np.array(each[i]), float(values[i]), names[i] if names else "")
        for i in map(int, np.flatnonzero(values))
    ]


def make_filler(
    batch: StateBatch, name: str, baseline: str | Baseline | Mapping[str, str | Baseline]
) -> Callable[[Mask], Tensor]:
    """Make a function that removes pixels or features from what stands under a key.

    :param batch: one state
    :param name: key of the observation
    :param baseline: what replaces them: ``"inpaint"`` or a baseline, or a dict of these by key
    :return: mask of what is removed -> (1, ...) what stands under the key without it
    :raises ExplainError: if there is no baseline for this key
    """
    observed = batch.by_key[name]
    chosen = baseline.get(name) if isinstance(baseline, Mapping) else baseline
    if chosen == INPAINT and are_images(observed):
        return lambda removed: inpaint(observed, removed)
    if chosen is None or isinstance(chosen, str):
        raise ExplainError(
            f"{chosen!r} cannot replace the features of {name or 'this observation'!r}: give "
            "baseline=fit_baselines('mean', states), or one by key"
        )
    replacement = chosen(observed)
    return lambda removed: torch.where(
        torch.as_tensor(removed).to(observed.device), replacement, observed
    )


def inpaint(image: Tensor, removed: Mask) -> Tensor:
    """Fill removed pixels of an image from their surroundings, each channel by itself.

    The biharmonic equation is solved by scikit-image (Damelin and Hoang, 2018).

    :param image: (1, C, H, W) the image
    :param removed: (H, W) which pixels to fill
    :return: (1, C, H, W) the filled image
    """
    layers = image[0].double().cpu().numpy()
    low, extent = layers.min(), np.ptp(layers) or 1.0
    filled = restoration.inpaint_biharmonic((layers - low) / extent, removed, channel_axis=0)
    return torch.from_numpy(filled * extent + low)[None].to(image)
